/** What the dashboard's pages weigh, as they are sent. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { FIXTURES, signIn } from './dashboard.mjs';
import { openBrowser, Server } from './support.mjs';

/** Bytes at most, of bodies as they are sent. */
const STYLE = 10_000;
const SCRIPT = 5_000;
/** More, where films are taken. */
const UPLOAD = 17_000;
/** A page with all it needs, but for posters and the player. */
const PAGE = 40_000;

let server;
let browser;

before(async () => {
  server = await Server.serve();
  browser = await openBrowser();
  const { page } = await browser.page();
  await signIn(page, server);
  await page.close();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test('every page is within its budget', async (t) => {
  const ready = await server.video('private');
  await server.admin('PUT', `/videos/${ready.videoId}/poster`, fs.readFileSync(path.join(FIXTURES, 'poster.jpg')));
  await server.packaged(ready);
  const pending = await server.pendingVideo('public');
  const video = `videos/${ready.videoId}`;
  for (const address of [
    'videos', video, `videos/${pending.videoId}`, `${video}/security`, `${video}/embed`, 'settings', 'signing-keys',
    `signing-keys/${server.key.id}/rotate`, 'publishable-keys', 'private-keys', 'audit', 'system', 'nothing',
  ]) {
    const { page } = await browser.page();
    // Each page as if it were the first.
    const session = await page.context().newCDPSession(page);
    await session.send('Network.setCacheDisabled', { cacheDisabled: true });
    const requests = [];
    page.on('requestfinished', (request) => request.frame() === page.mainFrame() && requests.push(request));
    await page.goto(`${server.baseUrl}/dashboard/${address}`, { waitUntil: 'networkidle' });
    const sent = { style: 0, script: 0, upload: 0, page: 0 };
    for (const request of requests) {
      const url = request.url();
      if (url.includes('/media/')) continue;
      const { responseBodySize: bytes } = await request.sizes();
      sent.page += bytes;
      const kind = request.resourceType();
      if (kind === 'stylesheet') sent.style += bytes;
      if (kind === 'script') sent[url.includes('upload') ? 'upload' : 'script'] += bytes;
    }
    t.diagnostic(`${address}: ${JSON.stringify(sent)}`);
    assert.ok(sent.page > 0 && sent.style > 0, `${address}: nothing was measured`);
    assert.ok(sent.style <= STYLE && sent.script <= SCRIPT && sent.upload <= UPLOAD && sent.page <= PAGE, `${address}: ${JSON.stringify(sent)}`);
    await page.close();
  }
});
