/**
 * The first segments are appended by the page itself, and the library that plays the rest takes over what is there:
 * nobody sees or hears it, whatever comes late, fails, or is done meanwhile.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { briefVideo, gopVideo, moves, openBrowser, Server, stateOf, until } from './support.mjs';

/** 1.6 Mbit/s, as in start.test.mjs. */
const LINE = { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 94_000 };

let server;
let browser;
let video;

before(async () => {
  // Making it takes longer than the server keeps an idle connection.
  gopVideo();
  server = await Server.serve();
  browser = await openBrowser();
  video = await server.video('public', { file: gopVideo() });
  await server.packaged(video);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Counts what the page makes, and whether the picture ever waits once it is there. */
function watch() {
  globalThis.seen = { sources: 0, changes: 0, waits: [] };
  const { MediaSource } = globalThis;
  globalThis.MediaSource = class extends MediaSource {
    constructor() {
      super();
      globalThis.seen.sources++;
    }
  };
  const { changeType } = SourceBuffer.prototype;
  SourceBuffer.prototype.changeType = function (type) {
    globalThis.seen.changes++;
    return changeType.call(this, type);
  };
  let isBegun = false;
  document.addEventListener('playing', () => (isBegun = true), true);
  document.addEventListener('waiting', ({ target }) => isBegun && !target.seeking && globalThis.seen.waits.push(target.currentTime), true);
}

/** A page that is watched. `route` is laid before its requests, `line` is what it is on, `script` runs first. */
async function open(t, parameters, { route, line, script, of = video } = {}) {
  const { page } = await browser.page();
  t.after(() => page.close());
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname.split('/').at(-1)));
  await page.addInitScript(watch);
  if (script) await page.addInitScript(script);
  if (route) await page.route(...route);
  if (line) {
    const devtools = await browser.context.newCDPSession(page);
    await devtools.send('Network.enable');
    await devtools.send('Network.emulateNetworkConditions', line);
  }
  await page.goto(server.embedUrl(of, { resume: '0', ...parameters }));
  return { page, asked, seen: () => page.evaluate(() => globalThis.seen), at: async () => (await stateOf(page)).currentTime };
}

/** A gate before a route: nothing passes until it is opened. */
function gate() {
  let open;
  const isOpen = new Promise((resolve) => (open = resolve));
  return { open, pass: async (route) => (await isOpen, route.continue()) };
}

test('on a slow line the picture never stands while the library comes and takes over', async (t) => {
  const { page, asked, seen, at } = await open(t, { autoplay: 'muted' }, { line: LINE });
  await until('it has played past what was opened', async () => (await at()) > 9);
  assert.deepEqual(await seen(), { sources: 1, changes: 0, waits: [] });
  const segments = asked.filter((name) => name.endsWith('.m4s'));
  assert.deepEqual(segments, [...new Set(segments)], 'a segment was fetched twice');
  assert.ok(asked.indexOf('library.js') > asked.indexOf('1.m4s'));
});

test('a library that comes late finds a video that plays', async (t) => {
  const { open: release, pass } = gate();
  const { page, seen, at } = await open(t, { autoplay: 'muted' }, { route: ['**/library.js', pass] });
  await until('it plays on by itself', async () => (await at()) > 5);
  release();
  await until('the library loads', async () => {
    const end = await page.locator('#video').evaluate(({ buffered }) => buffered.end(buffered.length - 1));
    return (await at()) > 12 && end > 30;
  });
  assert.deepEqual(await seen(), { sources: 1, changes: 0, waits: [] });
});

test('a press on the picture counts before the controls have come, and once when they have', async (t) => {
  const { open: release, pass } = gate();
  const { page } = await open(t, {}, { route: [/\/interface[^/]*\.js/, pass] });
  const element = page.locator('#video');
  await until('a frame', () => element.evaluate((video) => video.readyState >= video.HAVE_CURRENT_DATA));
  assert.equal(await page.locator('media-controller').count(), 0);
  await element.click();
  await moves(page);
  release();
  await page.locator('media-controller .bar').waitFor();
  await moves(page);
  await element.click();
  await until('it stops', () => element.evaluate((video) => video.paused));
});

test('a library that the line loses twice is asked for again', async (t) => {
  let losses = 0;
  const route = [/library\.js/, (route) => (losses++ < 2 ? route.abort('connectionreset') : route.continue())];
  const { at } = await open(t, { autoplay: 'muted' }, { route });
  await until('the library has come', () => losses > 2);
  await until('it plays', async () => (await at()) > 3);
});

test('a seek while the library is on its way is shown when it is there', async (t) => {
  const { open: release, pass } = gate();
  const { page, at } = await open(t, {}, { route: ['**/library.js', pass] });
  const element = page.locator('#video');
  await until('a frame', () => element.evaluate((video) => video.readyState >= video.HAVE_CURRENT_DATA));
  await element.evaluate((video) => (video.currentTime = 100));
  release();
  await until('the picture at 100 s', () => element.evaluate((video) => !video.seeking && video.readyState >= video.HAVE_CURRENT_DATA));
  assert.ok(Math.abs((await at()) - 100) < 0.1);
  await element.evaluate((video) => ((video.muted = true), video.play()));
  await moves(page);
});

test('a seek back before the segment has come is not undone by it', async (t) => {
  const { open: release, pass } = gate();
  const { open: releaseSegments, pass: passSegments } = gate();
  const { page, asked, at } = await open(t, {}, { route: ['**/library.js', pass] });
  const element = page.locator('#video');
  await until('a frame', () => element.evaluate((video) => video.readyState >= video.HAVE_CURRENT_DATA));
  await page.route('**/*.m4s', passSegments);
  const opened = asked.length;
  await element.evaluate((video) => (video.currentTime = 100));
  release();
  await until('the segment at 100 s is asked for', () => asked.slice(opened).some((name) => name.endsWith('.m4s')));
  await element.evaluate((video) => (video.currentTime = 0));
  await until('the beginning is shown', () => element.evaluate((video) => !video.seeking));
  releaseSegments();
  await element.evaluate((video) => ((video.muted = true), video.play()));
  await until('it plays on', async () => (await at()) > 5);
  assert.ok((await at()) < 50);
});

test('a start in the middle is opened there', async (t) => {
  const { open: release, pass } = gate();
  const { asked, seen, at } = await open(t, { autoplay: 'muted', t: '61' }, { route: ['**/library.js', pass] });
  await until('it plays without the library', async () => (await at()) > 62);
  assert.deepEqual(asked.filter((name) => name.endsWith('.m4s')).slice(0, 2), ['31.m4s', '32.m4s']);
  release();
  await until('it plays on with it', async () => (await at()) > 66);
  assert.deepEqual(await seen(), { sources: 1, changes: 0, waits: [] });
});

for (const [what, spoil] of [
  ['lost', (route) => route.abort('connectionreset')],
  ['refused once', (route) => route.fulfill({ status: 503 })],
  ['another than it should be', (route) => route.fulfill({ body: Buffer.alloc(5000, 7), contentType: 'video/iso.segment' })],
]) {
  test(`a first segment that is ${what} is fetched again`, async (t) => {
    let asked = 0;
    const { page } = await open(t, { autoplay: 'muted' }, { route: ['**/1.m4s', (route) => (asked++ ? route.continue() : spoil(route))] });
    await until('it was asked for again', () => asked > 1);
    await moves(page);
  });
}

test('a buffer that is full is handed over as it is', async (t) => {
  const full = () => {
    const { appendBuffer } = SourceBuffer.prototype;
    let appended = 0;
    SourceBuffer.prototype.appendBuffer = function (bytes) {
      // Behind the init segment and the first one.
      if (++appended === 3) throw new DOMException('full', 'QuotaExceededError');
      return appendBuffer.call(this, bytes);
    };
  };
  const { open: release, pass } = gate();
  const { page, seen, at } = await open(t, { autoplay: 'muted' }, { route: ['**/library.js', pass], script: full });
  const element = page.locator('#video');
  await until('a frame', () => element.evaluate((video) => video.readyState >= video.HAVE_CURRENT_DATA));
  release();
  await until('it plays on', async () => (await at()) > 4);
  assert.equal((await seen()).sources, 1);
});

test('a video of one segment plays to its end, and from its beginning again', async (t) => {
  const brief = await server.video('public', { file: briefVideo() });
  await server.packaged(brief);
  const { page, at } = await open(t, { autoplay: 'muted' }, { of: brief });
  await until('its end', async () => (await stateOf(page)).ended);
  await page.locator('#video').evaluate((video) => video.play());
  await until('its beginning', async () => (await at()) < 1);
  await moves(page);
});
