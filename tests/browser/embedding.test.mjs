/** The player inside pages of somebody else's: another site, no cookies, no storage, a sandbox, origin rules. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, openBrowser, parentPage, PICTURES, play, Server, sign, until } from './support.mjs';

let server;
let browser;
let video;

before(async () => {
  server = await Server.serve();
  video = await server.video('private');
  // As Chromium does for a viewer who blocks third-party cookies; storage goes with them.
  browser = await openBrowser({ preferences: { profile: { cookie_controls_mode: 1, block_third_party_cookies: true } } });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The README's snippet, on a page at http://127.0.0.1, the player at https://localhost: two sites. */
async function embed(attributes = '', host = '127.0.0.1') {
  const src = server.embedUrl(video, { token: sign(server.key, video.videoId) }, 'localhost');
  const parent = await parentPage(
    `<iframe src="${src}" ${attributes} allow="autoplay; fullscreen; picture-in-picture" allowfullscreen width="800" height="450"></iframe>`,
  );
  const { page, seen } = await browser.page();
  const home = `http://${host}:${parent.port}`;
  await page.goto(`${home}/`);
  const frame = await until('the frame', () => page.frames()[1]);
  return { page, frame, seen, home, close: () => parent.close() };
}

/** The frame's own requests are the player's; the page around it is not ours to judge. */
function assertFrameClean({ seen, home }) {
  const requests = seen.requests.filter((url) => !url.startsWith(home));
  assertClean({ ...seen, requests }, `https://localhost:${server.port}`);
}

test('the video plays in a page of another site that blocks third-party cookies and storage', async () => {
  const embedded = await embed();
  try {
    await play(embedded.frame);
    const storage = await embedded.frame.evaluate(() => {
      try {
        return String(localStorage.length);
      } catch (refusal) {
        return refusal.name;
      }
    });
    assert.equal(storage, 'SecurityError', 'the test has to run without storage');
    await embedded.page.screenshot({ path: path.join(PICTURES, 'embedded.png') });
    assertFrameClean(embedded);
  } finally {
    embedded.close();
  }
});

test('the video plays in a sandboxed frame', async () => {
  for (const sandbox of ['allow-scripts allow-same-origin', 'allow-scripts']) {
    const embedded = await embed(`sandbox="${sandbox}"`);
    try {
      // Without an origin of its own the frame may not load our module: the browser's controls play the file.
      await play(embedded.frame, { isScripted: sandbox.includes('allow-same-origin') });
    } catch (failure) {
      failure.message += ` (sandbox="${sandbox}": ${embedded.seen.errors})`;
      throw failure;
    } finally {
      embedded.close();
    }
  }
});

test('the embedding page hears what the player does, and nothing of its addresses', async () => {
  const embedded = await embed();
  try {
    await embedded.page.evaluate(() => {
      globalThis.heard = [];
      addEventListener('message', ({ data }) => globalThis.heard.push(data));
      const say = (value) => frames[0].postMessage(JSON.stringify({ context: 'player.js', version: '0.0.11', ...value }), '*');
      for (const event of ['ready', 'play', 'timeupdate']) say({ method: 'addEventListener', value: event });
    });
    await play(embedded.frame);
    await embedded.page.waitForFunction(() => globalThis.heard.some((text) => text.includes('timeupdate')));
    const heard = (await embedded.page.evaluate(() => globalThis.heard)).map((text) => JSON.parse(text));
    for (const event of ['ready', 'play', 'timeupdate']) assert.ok(heard.some((message) => message.event === event), event);
    // The one exception: `ready` repeats the address that this very page gave the frame.
    const src = await embedded.page.evaluate(() => document.querySelector('iframe').src);
    for (const { event, value } of heard.filter((message) => message.event === 'ready')) assert.equal(value.src, src, event);
    const rest = JSON.stringify(heard).replaceAll(src, '');
    for (const secret of ['/media/', 'eyJ', 'p1.', 'r1.']) assert.ok(!rest.includes(secret), `${secret} left the player`);
  } finally {
    embedded.close();
  }
});

test('an origin rule lets the page in that it names, and no other', async () => {
  const place = async (host) => {
    const embedded = await embed('', host);
    await server.admin('PATCH', '/organization', { originRules: [`${host}:${new URL(embedded.home).port}`] });
    await embedded.page.reload();
    return embedded;
  };
  const allowed = await place('127.0.0.1');
  try {
    await play(await until('the frame', () => allowed.page.frames()[1]));
  } finally {
    allowed.close();
  }
  const blocked = await embed();
  try {
    await until('the browser refuses the frame', () => blocked.seen.errors.some((text) => text.includes('frame-ancestors')));
    const src = blocked.page.frames()[1].url();
    assert.ok(!src.includes('/embed/'), `the page of another site shows ${src}`);
  } finally {
    blocked.close();
    await server.admin('PATCH', '/organization', { originRules: [] });
  }
});
