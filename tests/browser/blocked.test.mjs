/** What a viewer sees who may not watch: words, a code, nothing of the video. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertBlocked, openBrowser, PICTURES, play, Server, sign, signExpired } from './support.mjs';

let server;
let browser;
let video;

before(async () => {
  server = await Server.demo();
  browser = await openBrowser();
  video = server.made.privateVideo;
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(parameters) {
  const { page, seen } = await browser.page();
  const answer = await page.goto(server.embedUrl(video, parameters));
  // Chromium reports the page's own status; nothing else may be amiss.
  const others = seen.errors.filter((text) => !text.includes(`the server responded with a status of ${answer.status()}`));
  assert.deepEqual(others, []);
  assert.deepEqual(seen.violations, []);
  return { page, status: answer.status() };
}

test('without a token the video is private', async () => {
  const { page, status } = await open({});
  assert.equal(status, 401);
  await assertBlocked(page, 'playback_token_missing');
  await page.getByRole('heading', { name: 'This video is private' }).waitFor();
  await page.screenshot({ path: path.join(PICTURES, 'blocked.png') });
});

test('with an expired token the link has expired', async () => {
  const { page, status } = await open({ token: signExpired(server.key, video.videoId) });
  assert.equal(status, 401);
  await assertBlocked(page, 'playback_token_expired');
  // Addresses are copied and shared from here, too.
  await page.waitForFunction(() => !location.search.includes('token'));
});

test('with a token for another video the link is for another video', async () => {
  const { page, status } = await open({ token: sign(server.key, server.made.publicVideo.videoId) });
  assert.equal(status, 403);
  await assertBlocked(page, 'playback_token_wrong_video');
});

test('with a token that nobody signed the link is not valid', async () => {
  const forged = sign({ id: server.key.id, secret: 'mvi_sign_guessed' }, video.videoId);
  const { page, status } = await open({ token: forged });
  assert.equal(status, 401);
  await assertBlocked(page, 'playback_token_invalid');
});

test('an embed that does not exist is not found', async () => {
  const { page } = await browser.page();
  const answer = await page.goto(`${server.baseUrl}/embed/00000000-0000-4000-8000-000000000000`);
  assert.equal(answer.status(), 404);
  await assertBlocked(page, 'not_found');
});

test('once its key is revoked a token that played is refused', async () => {
  const key = await server.admin('POST', '/signing-keys', {});
  const token = sign(key, video.videoId);
  const { page } = await open({ token });
  await play(page);
  await server.admin('POST', `/signing-keys/${key.id}/revoke`);
  const refused = await open({ token });
  assert.equal(refused.status, 401);
  await assertBlocked(refused.page, 'playback_token_revoked');
});

test('the panel can be read in a small frame and its code copied', async () => {
  const { page } = await open({});
  await page.getByRole('button', { name: 'Copy the reference' }).waitFor();
  for (const [width, height] of [[320, 180], [200, 120]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate(() => new Promise(requestAnimationFrame));
    const heading = await page.locator('h1').boundingBox();
    assert.ok(heading.x >= 0 && heading.y >= 0 && heading.x + heading.width <= width, 'the heading is cut off');
    await page.screenshot({ path: path.join(PICTURES, `blocked-${width}.png`) });
  }
});
