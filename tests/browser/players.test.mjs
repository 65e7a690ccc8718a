/**
 * Players that are not ours, from a page that is not ours: hls.js, Shaka Player, Chromium's own HLS, and ffmpeg. Each
 * plays what packaging made, through a grant that the page asked for across origins. And what Chromium thinks of the
 * codecs as our lists spell them.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, parentPage, PICTURES, Server, sign, stateOf, until } from './support.mjs';

const MODULES = path.resolve(import.meta.dirname, 'node_modules');
const FILM_S = 24;
const CLIP_S = 4;
const FRAMES_PER_S = 30;
const WIDTHS = { high: 640, low: 320 };
/** Sound and picture end within some codec frames of each other. */
const END_TOLERANCE_S = 0.1;

/** What a page does with each player: `load`, `choose` a width, and tell `errors`. Runs in the page. */
const PLAYERS = {
  'hls.js': { scripts: ['hls.js/dist/hls.js'], asset: 'master.m3u8', begin: beginHls },
  'hls.js, light': { scripts: ['hls.js/dist/hls.light.js'], asset: 'master.m3u8', begin: beginHls },
  'Shaka Player, HLS': { scripts: ['shaka-player/dist/shaka-player.compiled.js'], asset: 'master.m3u8', begin: beginShaka },
  'Shaka Player, DASH': { scripts: ['shaka-player/dist/shaka-player.compiled.js'], asset: 'manifest.mpd', begin: beginShaka },
  // It has no interface to choose a quality by.
  "Chromium's own HLS": { scripts: [], asset: 'master.m3u8', begin: beginNative, isChoosingItself: true },
};

const VP9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '200k', '-g', '50'];
const H264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '50'];
const OPUS = ['-c:a', 'libopus', '-b:a', '48k'];
/** Sources whose codecs are spelled in a way of their own. */
const CODECS = {
  'VP9 and Opus': { codecs: /^vp09\.[\d.]+,opus$/, arguments: [...VP9, ...OPUS] },
  'AV1 and Opus': { codecs: /^av01\.[\dMH.]+,opus$/, arguments: ['-c:v', 'libsvtav1', '-preset', '12', '-g', '50', ...OPUS] },
  'H.264 and FLAC': { codecs: /^avc1\.[\da-f]{6},flac$/, arguments: [...H264, '-c:a', 'flac', '-strict', '-2'] },
  'AAC alone': { codecs: /^mp4a\.40\.2$/, arguments: ['-vn', '-c:a', 'aac', '-b:a', '96k'], isSoundAlone: true },
  'Opus alone': { codecs: /^opus$/, arguments: ['-vn', ...OPUS], isSoundAlone: true },
};

let server;
let browser;
let parent;
let film;

before(async () => {
  const [high, low] = [filmOf(WIDTHS.high, 360, '500k'), filmOf(WIDTHS.low, 180, '150k')];
  server = await Server.serve();
  browser = await openBrowser();
  parent = await parentPage('<video id="video" width="640" height="360"></video>');
  // Nobody else's page may read the bytes.
  await server.admin('PATCH', '/organization', { originRules: [`127.0.0.1:${parent.port}`] });
  film = await published(high);
  const added = await server.admin('PUT', `/videos/${film.videoId}/renditions/180p`, fs.readFileSync(low));
  assert.deepEqual(added.alignment, { aligned: true, problems: [] });
});

after(async () => {
  parent?.close();
  await browser?.close();
  await server?.stop();
});

/** A film with a keyframe every two seconds, made once. */
function filmOf(width, height, rate) {
  return madeOnce(`players-${width}.mp4`, FILM_S, [
    '-vf', `scale=${width}:${height}`, '-c:v', 'libx264', '-preset', 'veryfast', '-b:v', rate, '-maxrate', rate, '-bufsize', rate,
    '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '96k',
  ]);
}

function madeOnce(name, seconds, options) {
  const file = path.join(PICTURES, name);
  if (fs.existsSync(file)) return file;
  const made = `${file}.${process.pid}.mp4`;
  // SVT-AV1 is not quiet when ffmpeg is.
  execFileSync('ffmpeg', [
    '-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=640x360:rate=${FRAMES_PER_S}`, '-f', 'lavfi', '-i', 'sine=frequency=330:sample_rate=48000',
    '-t', String(seconds), ...options, '-movflags', '+faststart', made,
  ], { stdio: 'pipe' });
  fs.renameSync(made, file);
  return file;
}

async function published(file) {
  const video = await server.video('private', { file });
  await server.packaged(video);
  return video;
}

/** The address of the list of all qualities, under a grant made for this program. */
async function masterOf(video) {
  const { status, body } = await server.playback(video, sign(server.key, video.videoId));
  assert.equal(status, 200, JSON.stringify(body));
  return body.playback.uri;
}

/** Text behind a grant. */
function textOf(url) {
  return new Promise((resolve, reject) => {
    https.get(url, { agent: server.agent }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${response.statusCode} ${text}`));
    }).on('error', reject);
  });
}

/** The same address with another MAC. */
function tampered(url) {
  const [, before, last, rest] = /^(.*\/media\/[^/]+\/[^/]*)(.)(.{8}\/[^/]+)$/.exec(url);
  return `${before}${last === 'A' ? 'B' : 'A'}${rest}`;
}

/** A page of another site that has a player and asks, as a site's page would, for the playback of `video`. */
async function sitePage(player, video) {
  const { page, seen } = await browser.page();
  await page.goto(`http://127.0.0.1:${parent.port}/`);
  for (const script of player.scripts) await page.addScriptTag({ path: path.join(MODULES, script) });
  const uri = await page.evaluate(async ({ address, key, token, asset }) => {
    const headers = { authorization: `Bearer ${key}`, 'x-moviie-playback-token': token };
    const answer = await fetch(address, { headers });
    const { playback } = await answer.json();
    return new URL(asset, playback.uri).href;
  }, {
    address: `${server.baseUrl}/api/v1/embeds/${video.embedId}/playback`,
    key: server.publishableKey,
    token: sign(server.key, video.videoId),
    asset: player.asset,
  });
  return { page, seen, uri };
}

/** hls.js. A stall is the machine's, whatever else it complains of is ours. */
function beginHls(uri) {
  const video = document.getElementById('video');
  const { Hls } = globalThis;
  const hls = new Hls();
  globalThis.errors = [];
  globalThis.widths = () => hls.levels.map(({ width }) => width);
  globalThis.choose = (width) => (hls.nextLevel = hls.levels.findIndex((level) => level.width === width));
  hls.on(Hls.Events.ERROR, (_, { details, response, error, fatal }) => {
    if (details === Hls.ErrorDetails.BUFFER_STALLED_ERROR && !fatal) return;
    globalThis.errors.push(`${details} ${response?.code ?? error?.message ?? ''}`);
  });
  hls.loadSource(uri);
  hls.attachMedia(video);
}

async function beginShaka(uri) {
  const video = document.getElementById('video');
  globalThis.errors = [];
  const player = new globalThis.shaka.Player();
  const note = ({ code, data }) => globalThis.errors.push(`${code} ${data?.[1] ?? ''}`);
  player.addEventListener('error', ({ detail }) => note(detail));
  globalThis.widths = () => player.getVariantTracks().map(({ width }) => width);
  globalThis.choose = (width) => {
    player.configure({ abr: { enabled: false } });
    player.selectVariantTrack(player.getVariantTracks().find((track) => track.width === width), true);
  };
  await player.attach(video);
  await player.load(uri).catch(note);
}

function beginNative(uri) {
  const video = document.getElementById('video');
  globalThis.errors = [];
  video.addEventListener('error', () => globalThis.errors.push(`${video.error.code} ${video.error.message}`));
  video.crossOrigin = 'anonymous';
  video.src = uri;
}

const errorsOf = (page) => page.evaluate(() => globalThis.errors);

/** Waits for something in the page, and says what the player complained of if it does not come. */
async function sees(page, what, condition, argument) {
  try {
    return await until(what, () => page.locator('#video').evaluate(condition, argument));
  } catch (failure) {
    failure.message += `; errors ${JSON.stringify(await errorsOf(page))}; ${JSON.stringify(await stateOf(page))}`;
    throw failure;
  }
}

/** Plays on for at least half a second of film, with pictures. */
async function goesOn(page, what) {
  const { currentTime, frames } = await stateOf(page);
  await sees(page, what, (video, { currentTime, frames }) =>
    video.currentTime > currentTime + 0.5 && video.getVideoPlaybackQuality().totalVideoFrames > frames, { currentTime, frames });
}

/** Jumps, and waits until a picture of that moment is shown: what plays meanwhile is little. */
async function seek(page, seconds) {
  await page.locator('#video').evaluate((video, seconds) => {
    globalThis.shown = undefined;
    video.addEventListener('seeked', () => video.requestVideoFrameCallback((_, { mediaTime }) => (globalThis.shown = mediaTime)), { once: true });
    video.currentTime = seconds;
  }, seconds);
  const shown = await sees(page, `a picture at ${seconds} s`, () => globalThis.shown);
  assert.ok(shown > seconds - 0.1 && shown < seconds + 1.5, `the picture of ${shown} s is shown, not of ${seconds} s`);
}

for (const [name, player] of Object.entries(PLAYERS)) {
  test(`${name}: start, seek, both qualities, the end`, { timeout: 180_000 }, async () => {
    const { page, seen, uri } = await sitePage(player, film);
    await page.evaluate(player.begin, uri);
    await page.locator('#video').evaluate((video) => video.play());
    await goesOn(page, 'it starts');
    assert.ok((await stateOf(page)).currentTime < 15, 'it starts at the beginning');
    await seek(page, 13.3);
    await goesOn(page, 'it goes on after a seek');
    await seek(page, 3.7);
    await goesOn(page, 'it goes on after a seek backwards');
    const { high, low } = WIDTHS;
    if (player.isChoosingItself) {
      assert.ok([high, low].includes(await page.locator('#video').evaluate((video) => video.videoWidth)));
    } else {
      assert.deepEqual((await page.evaluate(() => globalThis.widths())).toSorted(), [low, high].toSorted());
      for (const width of [low, high, low]) {
        await page.evaluate((width) => globalThis.choose(width), width);
        await sees(page, `the quality ${width} wide`, (video, width) => video.videoWidth === width, width);
        await goesOn(page, `it goes on, ${width} wide`);
      }
    }
    await seek(page, FILM_S - 3);
    await sees(page, 'the end', (video) => video.ended);
    const state = await stateOf(page);
    assert.ok(Math.abs(state.currentTime - FILM_S) < END_TOLERANCE_S, `it ends at ${state.currentTime} s`);
    assert.ok(state.audioBytes > 0, 'no sound was decoded');
    assert.equal(state.error, null);
    assert.deepEqual(await errorsOf(page), []);
    assert.deepEqual(seen.errors, []);
    await page.close();
  });

  test(`${name}: a tampered grant plays nothing`, async () => {
    const { page, seen, uri } = await sitePage(player, film);
    const refused = [];
    page.on('response', (answer) => answer.url().includes('/media/') && refused.push(answer.status()));
    await page.evaluate(player.begin, tampered(uri));
    await page.locator('#video').evaluate((video) => void video.play().catch(() => {}));
    await sees(page, 'a complaint', () => globalThis.errors.length > 0);
    const state = await page.locator('#video').evaluate((video) => [video.readyState, video.currentTime, video.videoWidth]);
    assert.deepEqual(state, [0, 0, 0]);
    assert.ok(refused.length > 0 && refused.every((status) => status === 403), `answers: ${refused}`);
    const media = seen.requests.filter((url) => url.includes('/media/'));
    assert.ok(media.every((url) => url.endsWith(player.asset)), 'something behind the list was asked for');
    await page.close();
  });
}

/** Hashes of the frames that ffmpeg decodes of a file or URL, with the width of the picture. */
function decoded(url, options) {
  const { status, stdout, stderr } = spawnSync(
    'ffmpeg',
    ['-nostdin', '-v', 'error', '-copyts', '-i', url, ...options, '-fps_mode', 'passthrough', '-f', 'framemd5', '-'],
    { encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  const width = Number(/^#dimensions 0: (\d+)x/m.exec(stdout)?.[1]);
  const lines = stdout.split('\n').filter((line) => line.startsWith('0,'));
  const frames = lines.map((line) => line.split(',').at(-1).trim());
  return { status, stderr, width, frames };
}

test('ffmpeg: each quality as in its file, and a seek', async () => {
  const url = await masterOf(film);
  const originals = { [WIDTHS.high]: path.join(PICTURES, `players-${WIDTHS.high}.mp4`), [WIDTHS.low]: path.join(PICTURES, `players-${WIDTHS.low}.mp4`) };
  const widths = [];
  for (const program of [0, 1]) {
    const made = decoded(url, ['-map', `0:p:${program}:v:0`]);
    assert.deepEqual([made.status, made.stderr], [0, '']);
    const original = decoded(originals[made.width], ['-map', '0:v:0']);
    assert.equal(made.frames.length, FILM_S * FRAMES_PER_S);
    assert.deepEqual(made.frames, original.frames);
    const sound = decoded(url, ['-map', `0:p:${program}:a:0`]);
    assert.ok(sound.status === 0 && sound.frames.length > FILM_S * 40, 'each quality has sound');
    widths.push(made.width);
  }
  assert.deepEqual(widths, [WIDTHS.low, WIDTHS.high], 'the lowest bit rate stands first');
  // Decodes up to there. `-ss` before the input, which jumps, finds nothing with ffmpeg 5.1 in fragmented HLS of any origin,
  // its own included; in MPEG-TS it does.
  const { frames, status, stderr } = decoded(url, ['-ss', '13.3', '-map', '0:p:1:v:0']);
  assert.deepEqual([status, stderr], [0, '']);
  const whole = decoded(originals[WIDTHS.high], ['-map', '0:v:0']);
  assert.equal(frames.length, Math.round((FILM_S - 13.3) * FRAMES_PER_S));
  assert.deepEqual(frames, whole.frames.slice(-frames.length));
  assert.notEqual(decoded(tampered(url), ['-map', '0:v:0']).status, 0);
});

for (const [name, kind] of Object.entries(CODECS)) {
  test(`${name}: the codecs are spelled as Chromium knows them, and play`, async () => {
    const video = await published(madeOnce(`players-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.mp4`, CLIP_S, kind.arguments));
    const master = await textOf(await masterOf(video));
    const codecs = [...master.matchAll(/^#EXT-X-STREAM-INF:.*CODECS="([^"]+)"/gm)].map(([, codecs]) => codecs);
    assert.equal(codecs.length, 1, master);
    assert.match(codecs[0], kind.codecs);
    // Somebody else's player.
    const player = PLAYERS['hls.js'];
    const { page, uri } = await sitePage(player, video);
    const type = `${kind.isSoundAlone ? 'audio' : 'video'}/mp4; codecs="${codecs[0]}"`;
    assert.ok(await page.evaluate((type) => MediaSource.isTypeSupported(type), type), type);
    assert.ok(!(await page.evaluate((type) => MediaSource.isTypeSupported(type), type.replace('codecs="', 'codecs="x'))), 'it takes anything');
    await page.evaluate(player.begin, uri);
    await page.locator('#video').evaluate((video) => video.play());
    await playsToEnd(page, kind);
    assert.deepEqual(await errorsOf(page), []);
    await page.close();
    // Ours.
    const { page: embed, seen } = await browser.page();
    await embed.goto(server.embedUrl(video, { token: sign(server.key, video.videoId) }));
    await until('metadata', () => embed.locator('#video').evaluate((video) => video.readyState >= video.HAVE_METADATA));
    await embed.locator('#video').evaluate((video) => void video.play());
    await playsToEnd(embed, kind);
    assert.deepEqual(seen.errors, []);
    await embed.close();
  });
}

test('MP3: no player of segments takes it in Chromium; its file plays', async () => {
  const video = await published(madeOnce('players-mp3.mp4', CLIP_S, [...H264, '-c:a', 'libmp3lame', '-b:a', '96k']));
  const master = await masterOf(video);
  const [, codecs] = /^#EXT-X-STREAM-INF:.*CODECS="([^"]+)"/m.exec(await textOf(master));
  assert.match(codecs, /^avc1\.[\da-f]{6},mp4a\.6B$/);
  const player = PLAYERS['hls.js'];
  const { page, uri } = await sitePage(player, video);
  const type = `video/mp4; codecs="${codecs}"`;
  // It knows the spelling, and takes it from a file but not in segments.
  const known = (type) => [document.createElement('video').canPlayType(type), MediaSource.isTypeSupported(type)];
  assert.deepEqual(await page.evaluate(known, type), ['probably', false]);
  await page.evaluate(player.begin, uri);
  await sees(page, 'a complaint', () => globalThis.errors.length > 0);
  assert.match((await errorsOf(page)).join('\n'), /^manifestIncompatibleCodecsError .*mp4a\.6B/);
  await page.close();
  const file = await sitePage({ scripts: [], asset: /^([^/\n]+)\/index\.m3u8/m.exec(await textOf(master))[1] + '.mp4' }, video);
  await file.page.evaluate(beginNative, file.uri);
  await file.page.locator('#video').evaluate((video) => video.play());
  await playsToEnd(file.page, {});
  assert.deepEqual(await errorsOf(file.page), []);
  await file.page.close();
});

test('MP3: the embed page plays the file instead', async () => {
  const video = await published(madeOnce('players-mp3.mp4', CLIP_S, [...H264, '-c:a', 'libmp3lame', '-b:a', '96k']));
  const { page, seen } = await browser.page();
  await page.goto(server.embedUrl(video, { token: sign(server.key, video.videoId) }));
  await page.locator('media-controller .bar').waitFor();
  await page.locator('#video').evaluate((video) => void video.play().catch(() => {}));
  await playsToEnd(page, {});
  assert.deepEqual(seen.errors, []);
  await page.close();
});

/** All of a clip, with pictures unless it has none. */
async function playsToEnd(page, { isSoundAlone }) {
  await sees(page, 'the end', (video) => video.ended);
  const state = await stateOf(page);
  assert.ok(Math.abs(state.currentTime - CLIP_S) < END_TOLERANCE_S, `it ends at ${state.currentTime} s`);
  assert.ok(state.audioBytes > 0, 'no sound was decoded');
  assert.equal(state.frames > 60, isSoundAlone !== true, `${state.frames} pictures`);
  assert.equal(state.error, null);
}
