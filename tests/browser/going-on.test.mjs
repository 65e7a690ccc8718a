/**
 * Playing goes on past the life of its URLs, at the shortest life they may have: seeks, other qualities, a pause.
 * LONG=1 takes ten minutes, with a pause of one.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gopVideo, openBrowser, Server, sign, until } from './support.mjs';

const LONG = process.env.LONG === '1';
/** Longer than the URLs live, so that each round needs new ones. */
const ROUNDS = LONG ? 12 : 1;
const PLAY_MS = LONG ? 40_000 : 20_000;
const PAUSE_MS = LONG ? 60_000 : 32_000;
const GAP_MS = 250;

let server;
let browser;

before(async () => {
  // Making it takes longer than the server keeps an idle connection.
  gopVideo();
  server = await Server.serve();
  await server.admin('PATCH', '/organization', { assetUrlTtl: 30 });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Plays for so long, by the wall clock. */
const pass = (what, ms) => {
  const began = performance.now();
  return until(what, () => performance.now() - began >= ms, ms + 10_000);
};

test('ten minutes in small: no stall, no gap, no refusal', { timeout: 900_000 }, async () => {
  const video = await server.video('private', { file: gopVideo() });
  await until('the video is packaged', async () => (await server.admin('GET', `/videos/${video.videoId}`)).status === 'ready');
  const { page, seen } = await browser.page();
  const refusals = [];
  page.on('response', (answer) => answer.status() >= 400 && refusals.push(`${answer.status()} ${new URL(answer.url()).pathname}`));
  await page.addInitScript(() => {
    globalThis.stalls = [];
    globalThis.gaps = [];
    // A seek into what is not there yet has to wait; nothing else has.
    const note = (video) => video.seeking || video.paused || !globalThis.isBegun || globalThis.stalls.push(video.currentTime);
    document.addEventListener('waiting', ({ target }) => note(target), true);
    let last = 0;
    for (const event of ['seeking', 'pause', 'play']) document.addEventListener(event, () => (last = 0), true);
    document.addEventListener('seeked', () => (last = 0), true);
    document.addEventListener('DOMContentLoaded', () => {
      const video = document.getElementById('video');
      const frame = (now) => {
        globalThis.isBegun = true;
        if (last && !video.seeking && !video.paused) {
          globalThis.longest = Math.max(globalThis.longest ?? 0, now - last);
          if (now - last > 250) globalThis.gaps.push(`${Math.round(now - last)} ms at ${video.currentTime.toFixed(1)} s`);
        }
        last = video.seeking || video.paused ? 0 : now;
        video.requestVideoFrameCallback(frame);
      };
      video.requestVideoFrameCallback(frame);
    });
  });
  // The shortest token that a backend would make: playing outlives it.
  const token = sign(server.key, video.videoId, { exp: Math.floor(Date.now() / 1000) + 20 });
  await page.goto(server.embedUrl(video, { token, autoplay: 'muted', loop: '1' }));
  await page.waitForFunction(() => globalThis.isBegun);
  const element = page.locator('#video');
  assert.match(await element.evaluate((video) => video.currentSrc), /^blob:/, 'it is no segments that play');
  const choose = (index) => element.evaluate((video, index) => (video.videoRenditions.selectedIndex = index), index);
  const qualities = await element.evaluate((video) => video.videoRenditions.length);
  for (let round = 0; round < ROUNDS; round++) {
    await pass('playing', PLAY_MS);
    await element.evaluate((video, round) => (video.currentTime = (37 * round + 90) % (video.duration - 60)), round);
    await page.waitForFunction(() => !document.getElementById('video').seeking);
    if (qualities > 1) await choose(round % 2);
    await pass('playing on', PLAY_MS / 2);
    if (qualities > 1) await choose(-1);
    if (round % 4 === 0) {
      await element.evaluate((video) => video.pause());
      await pass('a pause', PAUSE_MS);
      await element.evaluate((video) => video.play());
      await pass('after the pause', 5000);
    }
  }
  const saw = await page.evaluate(() => ({ stalls: globalThis.stalls, gaps: globalThis.gaps, longest: globalThis.longest }));
  const renewals = seen.requests.filter((url) => url.endsWith('/renew')).length;
  console.log(`# ${renewals} renewals, ${qualities} qualities, the longest frame stood ${Math.round(saw.longest)} ms`);
  assert.deepEqual(saw.stalls, []);
  assert.deepEqual(saw.gaps, [], `more than ${GAP_MS} ms`);
  assert.deepEqual(refusals, []);
  assert.ok(renewals >= 1, 'nothing was renewed: the test shows nothing');
  assert.equal(await page.locator('#blocked').count(), 0);
});
