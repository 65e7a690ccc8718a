/** The quality that is chosen: by the address, in the menu, by the embedding page. All three speak of the same. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameOf, withPage } from './embedder.mjs';
import { choose, gopVideo, lowVideo, openBrowser, openPlayer, play, Server, stir, until } from './support.mjs';

let server;
let browser;
let video;

before(async () => {
  // Making them takes longer than the server keeps an idle connection.
  gopVideo();
  lowVideo();
  server = await Server.serve();
  browser = await openBrowser();
  video = await server.video('public', { file: gopVideo() });
  await server.rendition(video, '180p', lowVideo());
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test('address, menu and embedding page choose the same quality', async () => {
  const src = server.embedUrl(video, { autoplay: 'muted', quality: '180' }, 'localhost');
  await withPage(browser, frameOf(src), async ({ page, hears }) => {
    await hears('ready');
    const frame = await until('the frame', () => page.frames()[1]);
    const showsLines = (lines) =>
      until(`${lines} lines`, () => frame.locator('#video').evaluate((video, lines) => video.videoHeight === lines, lines));
    const ask = (method) => page.evaluate((method) => globalThis.ask(method), method);
    const labelOf = async (id) => (await ask('getQualities')).find((quality) => quality.id === id)?.label ?? id;
    await frame.locator('media-controller .bar').waitFor();
    await showsLines(180);
    assert.deepEqual((await ask('getQualities')).map(({ label }) => label), ['360p', '180p']);
    assert.equal(await labelOf(await ask('getQuality')), '180p');

    await page.evaluate(() => {
      globalThis.listen('qualitychange');
      globalThis.say({ method: 'setQuality', value: '360' });
    });
    await showsLines(360);
    const { quality, playing } = await hears('qualitychange');
    assert.deepEqual([await labelOf(quality), playing.label], ['360p', '360p']);
    assert.match(await choose(page, 'Quality', '180p', frame), /360p/);
    await showsLines(180);
    assert.equal(await labelOf(await ask('getQuality')), '180p');

    await page.evaluate(() => globalThis.say({ method: 'setQuality', value: 'auto' }));
    await until('it is automatic', async () => (await ask('getQuality')) === 'auto');
    await stir(page);
    await frame.locator('.settings').click();
    assert.match(await frame.getByRole('menuitem', { name: 'Quality' }).textContent(), /Auto/);
  });
});

test('a quality that was chosen is there again after a refusal', async () => {
  const { page, video: element } = await openPlayer(browser, server.embedUrl(video));
  await play(page);
  const showsLines = (lines) => until(`${lines} lines`, () => element.evaluate((video, lines) => video.videoHeight === lines, lines));
  await choose(page, 'Quality', '180p');
  await showsLines(180);
  const refuse = (route) => route.fulfill({ status: 403, json: { code: 'session_too_old' } });
  for (const refused of ['**/*.m4s', '**/renew']) await page.route(refused, refuse);
  await element.evaluate((video) => (video.currentTime = 150));
  const again = page.getByRole('button', { name: 'Try again' });
  await again.waitFor();
  // What is being refused at this moment is refused before the next attempt, not in it.
  await page.unrouteAll({ behavior: 'wait' });
  const fetched = [];
  page.on('request', (request) => request.url().endsWith('.m4s') && fetched.push(request.url().split('/').at(-2)));
  await again.click();
  await until('it plays on', () => element.evaluate((video) => video.currentTime > 150.5));
  await showsLines(180);
  assert.equal(new Set(fetched).size, 1, 'the other quality was fetched');
  assert.match(await choose(page, 'Quality', 'Auto'), /180p/);
});
