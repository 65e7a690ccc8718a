/** What is remembered of a viewer, and what a viewer finds: captions, pictures on the bar, the whole screen. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, choose, gopVideo, moves, openBrowser, openPlayer, PICTURES, play, Server, stateOf, stir, until } from './support.mjs';

const FIXTURES = path.resolve(import.meta.dirname, '../fixtures');

let server;
let browser;
let video;

before(async () => {
  // Making it takes longer than the server keeps an idle connection.
  gopVideo();
  server = await Server.serve({ config: '[transcode]\nenabled = true\nnice = 0\n' });
  video = await server.video('public', { title: 'A film with everything' });
  for (const [language, label] of [['en', 'English'], ['pt', 'Português']]) {
    const query = `?label=${encodeURIComponent(label)}`;
    await server.admin('PUT', `/videos/${video.videoId}/captions/${language}${query}`, fs.readFileSync(path.join(FIXTURES, 'captions.vtt')));
  }
  await until('poster and storyboard are made', async () => {
    const { posterUrl, storyboardUrl } = await answer();
    return posterUrl && storyboardUrl;
  }, 120_000);
});

after(async () => {
  await server?.stop();
});

const answer = async () => (await server.playback(video)).body;

/** A viewer who was never here before. */
async function withViewer(run) {
  browser = await openBrowser();
  try {
    await run(browser);
  } finally {
    await browser.close();
  }
}

const open = (parameters = {}) =>
  openPlayer(browser, server.embedUrl(video, parameters), { hasBar: parameters.controls !== '0' });

const near = (seconds, wanted) => assert.ok(Math.abs(seconds - wanted) < 0.6, `${seconds} s, wanted ${wanted} s`);

test('whoever leaves in the middle comes back there, and after the end to the beginning', () => withViewer(async () => {
  const first = await open();
  await play(first.page);
  const duration = await first.video.evaluate((video) => video.duration);
  const left = Math.floor(duration * 0.6);
  await first.video.evaluate((video, left) => (video.currentTime = left), left);
  await moves(first.page);
  await first.video.evaluate((video) => video.pause());
  const at = (await stateOf(first.page)).currentTime;
  await first.page.close();

  const second = await open();
  await until('it stands where it was left', async () => (await stateOf(second.page)).currentTime > 0);
  // Whole seconds are remembered.
  near((await stateOf(second.page)).currentTime, Math.floor(at));
  await play(second.page);
  assert.ok((await stateOf(second.page)).currentTime > Math.floor(at));
  await second.video.evaluate((video) => video.pause());
  const began = await open({ t: '2' });
  near((await stateOf(began.page)).currentTime, 2);
  const anew = await open({ resume: '0' });
  near((await stateOf(anew.page)).currentTime, 0);

  await second.page.bringToFront();
  await second.video.evaluate((video) => ((video.currentTime = video.duration - 0.5), video.play()));
  await until('the end', async () => (await stateOf(second.page)).ended);
  await second.page.close();
  const third = await open();
  assert.equal((await stateOf(third.page)).currentTime, 0);
  assertClean(second.seen, server.baseUrl);
}));

test('t and end play a part, and then no end is in the way', () => withViewer(async () => {
  const { page, video: element } = await open({ t: '2', end: '4' });
  near((await stateOf(page)).currentTime, 2);
  await play(page);
  await until('it stops', async () => (await stateOf(page)).paused);
  near((await stateOf(page)).currentTime, 4);
  await element.click();
  await until('it plays on', async () => (await stateOf(page)).currentTime > 5);
}));

test('sound, speed and captions are as the viewer left them', () => withViewer(async () => {
  const first = await open();
  await first.video.click();
  await moves(first.page);
  await first.video.click();
  await first.page.keyboard.press('ArrowDown');
  await first.page.keyboard.press('ArrowDown');
  await first.page.keyboard.press('m');
  await choose(first.page, 'Speed', '1.25×');
  await choose(first.page, 'Captions', 'Português');
  await first.page.close();
  const { page, video: element } = await open();
  const left = await element.evaluate((video) => ({
    volume: video.volume,
    muted: video.muted,
    rate: video.playbackRate,
    shown: [...video.textTracks].filter(({ mode }) => mode === 'showing').map(({ language }) => language),
  }));
  assert.deepEqual(left, { volume: 0.9, muted: true, rate: 1.25, shown: ['pt'] });
  // What the address asks for comes first.
  const asked = await open({ rate: '1', captions: 'off', muted: '0' });
  const found = await asked.video.evaluate((video) => [video.playbackRate, video.muted, [...video.textTracks].some(({ mode }) => mode === 'showing')]);
  assert.deepEqual(found, [1, false, false]);
  await page.close();
}));

test('captions are chosen in the menu, shown, and switched off by their button', () => withViewer(async () => {
  const { page, seen, video: element } = await open();
  const shown = () => element.evaluate((video) => [...video.textTracks].filter(({ mode }) => mode === 'showing').map(({ label }) => label));
  assert.deepEqual(await shown(), []);
  await choose(page, 'Captions', 'English');
  assert.deepEqual(await shown(), ['English']);
  await element.click();
  await until('a cue shows', () => element.evaluate((video) => [...video.textTracks].some(({ mode, activeCues }) => mode === 'showing' && activeCues?.length > 0)));
  await page.screenshot({ path: path.join(PICTURES, 'captions.png') });
  await stir(page);
  await page.locator('.captions').click();
  assert.deepEqual(await shown(), []);
  await page.locator('.captions').click();
  assert.deepEqual(await shown(), ['English']);
  await choose(page, 'Captions', 'Off');
  assert.deepEqual(await shown(), []);
  assertClean(seen, server.baseUrl);
}));

/** A browser whose style sheets don't reach the cues: Firefox. */
const withoutCueBox = (page) => page.addInitScript(() => {
  const { supports } = CSS;
  CSS.supports = (...condition) => !String(condition).includes('text-track-container') && supports.apply(CSS, condition);
});

test('captions stand above the bar while it is there, and where they belong without it', () => withViewer(async () => {
  const own = await server.video('public', { file: gopVideo() });
  const vtt = 'WEBVTT\n\n00:00.000 --> 02:50.000\nTwo lines\nof words\n\n00:00.000 --> 02:50.000 line:10%\nAt a place of its own\n';
  await server.admin('PUT', `/videos/${own.videoId}/captions/en`, Buffer.from(vtt));
  const url = server.embedUrl(own, { captions: 'en', autoplay: 'muted' });
  for (const prepare of [() => {}, withoutCueBox]) {
    const { page, video } = await openPlayer(browser, url, { prepare });
    const linesOf = () => video.evaluate(({ textTracks }) => [...(textTracks[0].cues ?? [])].map(({ line }) => line));
    /** By how many pixels, at least. */
    const lift = async () => {
      const raised = await video.evaluate((video) => parseFloat(getComputedStyle(video).getPropertyValue('--raised')) || 0);
      const [line] = await linesOf();
      // Two lines of a font that is a twentieth of the video's height.
      return line === 'auto' ? raised : (-line - 2) * 0.05 * 540;
    };
    const barGoes = () =>
      until('the bar is gone', () => page.locator('media-controller').evaluate((controller) => controller.hasAttribute('userinactive')));
    await barGoes();
    await until('they are at the bottom', async () => (await linesOf()).length === 2 && (await lift()) === 0);
    await stir(page);
    const { height } = await page.locator('media-controller .bar').boundingBox();
    await until('they are above the bar', async () => (await lift()) > height);
    await barGoes();
    await until('they are back', async () => (await lift()) === 0);
    assert.deepEqual(await linesOf(), ['auto', 10], 'a cue with a place of its own stays there');
    await page.close();
  }
}));

test('a pointer over the bar shows the picture of that spot', () => withViewer(async () => {
  const { page, seen } = await open();
  await play(page);
  const bar = await page.locator('.timeline').boundingBox();
  const image = page.locator('media-preview-thumbnail[slot=preview] img');
  /** Where the sheet of pictures is moved to, behind a window as large as one of them. */
  const spotAt = async (part) => {
    await page.mouse.move(bar.x + bar.width * part, bar.y + bar.height / 2);
    return until('the picture', () => image.evaluate((img) => img.naturalWidth > 0 && img.checkVisibility({ visibilityProperty: true }) && getComputedStyle(img).transform));
  };
  await stir(page);
  const early = await spotAt(0.12);
  await until('another picture', async () => (await spotAt(0.82)) !== early);
  await page.screenshot({ path: path.join(PICTURES, 'storyboard.png') });
  assert.ok(seen.requests.some((url) => url.endsWith('/storyboard.vtt')), 'the list of pictures was not fetched');
  assertClean(seen, server.baseUrl);
}));

test('no picture of the bar is fetched before somebody looks for a spot', () => withViewer(async () => {
  const { page, seen } = await open();
  await play(page);
  assert.deepEqual(seen.requests.filter((url) => url.includes('storyboard')), []);
}));

test('two clicks fill the screen, two more bring the page back', () => withViewer(async () => {
  const { page, video: element } = await open();
  const isFull = () => page.evaluate(() => document.fullscreenElement !== null);
  await element.dblclick();
  await until('it fills the screen', isFull);
  assert.equal(await page.locator('media-controller').evaluate((controller) => controller === document.fullscreenElement), true);
  await element.dblclick();
  await until('the page is back', async () => !(await isFull()));
  await page.keyboard.press('f');
  await until('the key fills the screen', isFull);
}));

test('picture in picture is offered, unless the address says no', () => withViewer(async () => {
  const { page } = await open();
  assert.equal(await page.locator('media-pip-button').count(), 1);
  const without = await open({ pip: '0' });
  assert.equal(await without.page.locator('media-pip-button').count(), 0);
  assert.equal(await without.video.evaluate((video) => video.disablePictureInPicture), true);
  await page.close();
}));

test('the system is told what plays', () => withViewer(async () => {
  const { page } = await open();
  const told = await page.evaluate(() => {
    const { title, artist, artwork } = navigator.mediaSession.metadata;
    return { title, artist, artwork: artwork.map(({ src }) => src) };
  });
  const { branding } = await answer();
  assert.deepEqual([told.title, told.artist], [video.title, branding.organizationName]);
  assert.equal(told.artwork.length, 1);
  assert.match(told.artwork[0], new RegExp(`^${server.baseUrl}/media/.*/poster\\.`));
  // The lock screen fetches it like anybody else.
  assert.equal(await page.evaluate(async (src) => (await fetch(src)).status, told.artwork[0]), 200);
}));

test('a film behind a page plays by itself, without sound and without a bar', () => withViewer(async () => {
  const { page, video: element } = await open({ background: '1', controls: '0' });
  await moves(page);
  assert.deepEqual(await element.evaluate(({ muted, loop, controls }) => [muted, loop, controls]), [true, true, false]);
  assert.equal(await page.locator('.bar').count(), 0);
  assert.equal(await page.evaluate(() => navigator.mediaSession.metadata), null);
}));
