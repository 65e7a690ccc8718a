/** Viewing that goes on past an address's life, and viewing that is ended from outside. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, longVideo, moves, openBrowser, PICTURES, play, Server, sign, stateOf, until } from './support.mjs';

/**
 * The picture goes on until what Chromium has fetched ahead is shown: 2 to 15 s of this video's 180 were seen. How much it
 * fetches ahead is Chromium's affair; that the server sends no more within a second is tested on sockets.
 */
const CUT_MS = 45_000;

let server;
let browser;
let long;

before(async () => {
  long = longVideo();
  server = await Server.serve();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function watch(video, key) {
  const { page, seen } = await browser.page();
  await page.goto(server.embedUrl(video, { token: sign(key, video.videoId, { exp: Math.floor(Date.now() / 1000) + 15 }) }));
  await play(page);
  return { page, seen };
}

async function assertEnds(page, what) {
  const began = performance.now();
  await page.locator('#blocked').waitFor({ timeout: CUT_MS });
  console.log(`# ${what}: blocked after ${Math.round(performance.now() - began)} ms`);
  assert.equal(await page.locator('#video').isVisible(), false);
  assert.equal(await page.locator('#video').evaluate((video) => video.paused || !video.currentSrc), true);
}

test('a running playback stops, once what is buffered has been shown, after its key is revoked', async () => {
  const video = await server.video('private', { file: long });
  const key = await server.admin('POST', '/signing-keys', {});
  const { page } = await watch(video, key);
  await server.admin('POST', `/signing-keys/${key.id}/revoke`);
  await assertEnds(page, 'key revoked');
  await page.screenshot({ path: path.join(PICTURES, 'revoked-while-playing.png') });
});

test('a running playback stops, once what is buffered has been shown, after its session is ended', async () => {
  const video = await server.video('private', { file: long });
  const { page } = await watch(video, server.key);
  const { items } = await server.admin('GET', '/sessions');
  await server.admin('DELETE', `/sessions/${items.find((session) => session.videoId === video.videoId).id}`);
  await assertEnds(page, 'session ended');
});

test('playing goes on past the life of token and address, with a seek', async () => {
  await server.admin('PATCH', '/organization', { assetUrlTtl: 30 });
  try {
    const video = await server.video('private', { file: long });
    const { page, seen } = await watch(video, server.key);
    const began = performance.now();
    const renewals = () => seen.requests.filter((url) => url.endsWith('/renew')).length;
    await until('the first address has expired', () => performance.now() - began > 36_000, 60_000);
    assert.ok(renewals() >= 1, 'the session was not renewed');
    await page.locator('#video').evaluate((video) => (video.currentTime = 150));
    await until('the seek', async () => (await stateOf(page)).currentTime > 150.3);
    const state = await moves(page);
    assert.equal(state.error, null);
    assert.equal(await page.locator('#blocked').count(), 0);
    assert.equal(await page.locator('#notice').textContent(), '');
    assertClean(seen, server.baseUrl);
  } finally {
    await server.admin('PATCH', '/organization', { assetUrlTtl: 300 });
  }
});
