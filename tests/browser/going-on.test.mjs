/**
 * Playing goes on past the life of its URLs, at the shortest life they may have: seeks, other qualities, a pause, a
 * session that may not be renewed, a line that is cut. LONG=1 takes ten minutes for the first, with a pause of one.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { choose, gopVideo, lowVideo, moves, openBrowser, parentPage, Server, sign, stateOf, until } from './support.mjs';

const LONG = process.env.LONG === '1';
/** Longer than the URLs live, so that each round needs new ones. */
const ROUNDS = LONG ? 9 : 1;
const PLAY_MS = LONG ? 30_000 : 20_000;
const PAUSE_MS = LONG ? 60_000 : 32_000;
const GAP_MS = 250;

let server;
let browser;

before(async () => {
  // Making it takes longer than the server keeps an idle connection.
  gopVideo();
  lowVideo();
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

/**
 * Notes what a viewer would see: waits, and pictures that stand, once the first one is there. While the machine is so
 * busy that the page itself can't draw, a picture that stands says nothing of the player: that is counted apart.
 */
function gauge() {
  globalThis.stalls = [];
  globalThis.gaps = [];
  globalThis.longest = 0;
  globalThis.excused = 0;
  // A seek into what is not there yet has to wait; nothing else has.
  const note = (video) => video.seeking || video.paused || !globalThis.isBegun || globalThis.stalls.push(video.currentTime);
  document.addEventListener('waiting', ({ target }) => note(target), true);
  let last = 0;
  let drawn = performance.now();
  let undrawn = 0;
  const draw = (now) => {
    undrawn = Math.max(undrawn, now - drawn);
    drawn = now;
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
  for (const event of ['seeking', 'seeked', 'pause', 'play']) document.addEventListener(event, () => (last = 0), true);
  document.addEventListener('DOMContentLoaded', () => {
    const video = document.getElementById('video');
    const frame = (now) => {
      globalThis.isBegun = true;
      if (last && !video.seeking && !video.paused) {
        const stood = now - last;
        const isMachine = stood > 250 && Math.max(undrawn, now - drawn) > stood / 2;
        if (isMachine) globalThis.excused++;
        else globalThis.longest = Math.max(globalThis.longest, stood);
        if (stood > 250 && !isMachine) globalThis.gaps.push(`${Math.round(stood)} ms at ${video.currentTime.toFixed(1)} s`);
      }
      undrawn = 0;
      last = video.seeking || video.paused ? 0 : now;
      video.requestVideoFrameCallback(frame);
    };
    video?.requestVideoFrameCallback(frame);
  });
}

/** A page whose frames are gauged, with the answers that its requests should not have had. */
async function gauged() {
  const { page, seen } = await browser.page();
  const refusals = [];
  page.on('response', (answer) => answer.status() >= 400 && refusals.push(`${answer.status()} ${new URL(answer.url()).pathname}`));
  await page.addInitScript(gauge);
  return { page, seen, refusals };
}

async function assertSmooth(frame) {
  const { stalls, gaps } = await frame.evaluate(() => ({ stalls: globalThis.stalls, gaps: globalThis.gaps }));
  assert.deepEqual(stalls, []);
  assert.deepEqual(gaps, [], `more than ${GAP_MS} ms`);
  assert.equal(await frame.locator('#blocked').count(), 0);
}

test('ten minutes in small: no stall, no gap, no refusal', { timeout: 900_000 }, async () => {
  const video = await server.video('private', { file: gopVideo() });
  await server.rendition(video, '180p', lowVideo());
  const { page, seen, refusals } = await gauged();
  // The shortest token that a backend would make: playing outlives it.
  const token = sign(server.key, video.videoId, { exp: Math.floor(Date.now() / 1000) + 20 });
  const began = performance.now();
  await page.goto(server.embedUrl(video, { token, autoplay: 'muted', loop: '1' }));
  await page.waitForFunction(() => globalThis.isBegun);
  const element = page.locator('#video');
  assert.match(await element.evaluate((video) => video.currentSrc), /^blob:/, 'it is no segments that play');
  const height = () => element.evaluate((video) => video.videoHeight);
  for (let round = 0; round < ROUNDS; round++) {
    await pass('playing', PLAY_MS);
    await element.evaluate((video, round) => (video.currentTime = (37 * round + 90) % (video.duration - 60)), round);
    await page.waitForFunction(() => !document.getElementById('video').seeking);
    for (const [label, lines] of [['180p', 180], ['360p', 360]]) {
      await choose(page, 'Quality', label);
      await until(`${label} is shown`, async () => (await height()) === lines);
    }
    await pass('playing on', PLAY_MS / 3);
    assert.match(await choose(page, 'Quality', 'Auto'), /360p/);
    if (round % 4 === 0) {
      await element.evaluate((video) => video.pause());
      await pass('a pause', PAUSE_MS);
      await element.evaluate((video) => video.play());
      await pass('after the pause', 5000);
    }
  }
  const { longest, excused } = await page.evaluate(() => ({ longest: globalThis.longest, excused: globalThis.excused }));
  const renewals = seen.requests.filter((url) => url.endsWith('/renew')).length;
  const took = Math.round((performance.now() - began) / 1000);
  console.log(`# ${took} s, ${ROUNDS} rounds, ${renewals} renewals, the longest frame stood ${Math.round(longest)} ms`);
  console.log(`# ${excused} times nothing was drawn for more than ${GAP_MS} ms: the machine was busy`);
  assert.deepEqual(refusals, []);
  await assertSmooth(page);
  assert.ok(renewals >= 1, 'nothing was renewed: the test shows nothing');
});

test('a session that may not be renewed goes on with tokens that the page brings', { timeout: 120_000 }, async () => {
  await server.admin('PATCH', '/organization', { sessionMaxAge: 0 });
  const video = await server.video('private', { file: gopVideo() });
  await server.packaged(video);
  const fresh = () => sign(server.key, video.videoId);
  const src = server.embedUrl(video, { token: fresh(), autoplay: 'muted' }, 'localhost');
  const parent = await parentPage(`
    <iframe src="${src}" allow="autoplay" width="800" height="450"></iframe>
    <script>
      addEventListener('message', async ({ data, source }) => {
        if (JSON.parse(data).event !== 'tokenexpiring') return;
        const message = { context: 'player.js', version: '0.0.11', method: 'setToken', value: await globalThis.freshToken() };
        source.postMessage(JSON.stringify(message), '*');
      });
    </script>`);
  try {
    const { page } = await gauged();
    let brought = 0;
    await page.exposeFunction('freshToken', () => (brought++, fresh()));
    await page.goto(`http://127.0.0.1:${parent.port}/`);
    const frame = await until('the frame', () => page.frames()[1]);
    await frame.waitForFunction(() => globalThis.isBegun);
    const began = performance.now();
    await until('the page is asked for a token', () => brought > 0);
    await until('the first URLs have lapsed', () => performance.now() - began > 35_000, 60_000);
    await frame.locator('#video').evaluate((video) => (video.currentTime = 150));
    await until('the seek', async () => (await stateOf(frame)).currentTime > 150.3);
    await moves(frame);
    await assertSmooth(frame);
    assert.ok(brought <= 3, `${brought} tokens within 40 s`);
  } finally {
    parent.close();
    await server.admin('PATCH', '/organization', { sessionMaxAge: 43_200 });
  }
});

test('a line that is cut: what is there plays, a notice comes, and all goes on when the line is back', async () => {
  const video = await server.video('private', { file: gopVideo() });
  await server.packaged(video);
  const { page } = await gauged();
  await page.goto(server.embedUrl(video, { token: sign(server.key, video.videoId), autoplay: 'muted' }));
  await page.waitForFunction(() => globalThis.isBegun);
  const element = page.locator('#video');
  const notice = page.locator('#notice');
  const ahead = () => element.evaluate((video) => video.buffered.end(video.buffered.length - 1) - video.currentTime);
  await until('some is buffered', async () => (await ahead()) > 8);
  await browser.context.setOffline(true);
  try {
    const cutAt = (await stateOf(page)).currentTime;
    await until('it plays on', async () => (await stateOf(page)).currentTime > cutAt + 4);
    await assertSmooth(page);
    await element.evaluate((video) => (video.playbackRate = 4));
    await until('nothing is left', () => element.evaluate((video) => video.readyState < video.HAVE_FUTURE_DATA));
    await until('the notice', async () => (await notice.textContent()) !== '');
    assert.equal((await stateOf(page)).paused, false);
    assert.equal(await page.locator('#blocked').count(), 0);
  } finally {
    await browser.context.setOffline(false);
  }
  await moves(page);
  await until('the notice goes', async () => (await notice.textContent()) === '');
});
