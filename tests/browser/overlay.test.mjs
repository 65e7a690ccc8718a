/** Page assets of an operator's own. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, openBrowser, play, Server, temporaryDirectory } from './support.mjs';

let server;
let browser;
let overlay;

before(async () => {
  overlay = temporaryDirectory();
  fs.writeFileSync(path.join(overlay, 'player.css'), 'video { display: block; width: 100vw; } body { background: rgb(1, 2, 3); }');
  server = await Server.serve({ config: `[ui]\nstatic_dir = "${overlay}"\n` });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  fs.rmSync(overlay, { recursive: true });
});

test('a stylesheet in static_dir replaces the built-in one, and the rest stays built in', async () => {
  const { page, seen } = await browser.page();
  await page.goto(server.embedUrl(await server.video('public')));
  await play(page);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(1, 2, 3)');
  assertClean(seen, server.baseUrl);
});
