/** A video that is being prepared: what its viewer sees meanwhile, and that it comes by itself. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { frameOf, withPage } from './embedder.mjs';
import { assertBlocked, moves, openBrowser, PICTURES, Server, sign, stateOf, until } from './support.mjs';

/** So many seconds does the token of a viewer live who waits for longer. */
const SHORT_S = 4;

let server;
let browser;

before(async () => {
  server = await Server.serve();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const shortLived = (video) => sign(server.key, video.videoId, { exp: Math.floor(Date.now() / 1000) + SHORT_S });

test('a private video that is being prepared comes by itself, as the address asks for it', async () => {
  const video = await server.pendingVideo('private', 'A private video');
  const { page, seen } = await browser.page();
  const answer = await page.goto(server.embedUrl(video, { token: sign(server.key, video.videoId), t: '2', autoplay: 'muted' }));
  assert.equal(answer.status(), 409);
  await assertBlocked(page, 'video_not_ready');
  await page.getByRole('status').getByRole('heading', { name: 'Almost ready' }).waitFor();
  assert.equal(await page.getByRole('progressbar').count(), 0, 'nothing is known of its progress');
  await page.waitForFunction(() => !location.search.includes('token'));
  await server.upload(video);
  const { currentTime } = await moves(page);
  assert.ok(currentTime >= 2, `it plays at ${currentTime} s`);
  assert.equal(page.url(), server.embedUrl(video, { t: '2', autoplay: 'muted' }));
  assert.equal(await page.evaluate(() => history.length), 2, 'about:blank and this page');
  // Chromium reports each 409; nothing else may be amiss.
  assert.deepEqual(seen.errors.filter((text) => !text.includes('status of 409')), []);
  assert.deepEqual(seen.violations, []);
});

test('a public video comes by itself, even to a spot that stands behind a number sign', async () => {
  const video = await server.pendingVideo('public');
  const { page } = await browser.page();
  await page.goto(`${server.embedUrl(video)}#t=3`);
  await page.getByRole('heading', { name: 'Almost ready' }).waitFor();
  await server.upload(video);
  await until('it stands at its spot', async () => (await page.locator('#video').count()) > 0 && (await stateOf(page)).currentTime >= 3);
});

test('whoever may not watch learns nothing of a video in preparation', async () => {
  const video = await server.pendingVideo('private', 'A private video');
  const { page } = await browser.page();
  const answer = await page.goto(server.embedUrl(video));
  assert.equal(answer.status(), 401);
  await assertBlocked(page, 'playback_token_missing');
  assert.ok(!(await page.content()).includes('prepared'));
});

test('how far it is is shown, and told to the embedding page', async () => {
  const video = await server.pendingVideo('private');
  const parts = [0.25, 0.5, null];
  const src = server.embedUrl(video, { token: sign(server.key, video.videoId) }, 'localhost');
  const { context } = browser;
  let looks = 0;
  // The server's own page; how far it is by then is a matter of moments, and stands in for here.
  await context.route(`**/embed/${video.embedId}*`, async (route) => {
    const answer = await route.fetch();
    const progress = parts[Math.min(looks++, parts.length - 1)];
    const row = `<p class="progress"><progress aria-labelledby="heading" value="${progress}"></progress><span aria-hidden="true">${progress * 100} %</span></p>`;
    const body = (await answer.text()).replace('<p class="help"', `${progress === null ? '' : row}$&`);
    await route.fulfill({ response: answer, body });
  });
  try {
    await withPage(browser, frameOf(src), async ({ page }) => {
      const frame = await until('the frame', () => page.frames()[1]);
      const bar = frame.getByRole('progressbar', { name: 'Almost ready' });
      await bar.waitFor();
      await page.screenshot({ path: path.join(PICTURES, 'waiting.png') });
      assert.match(await frame.locator('#blocked').textContent(), /25 %/);
      await until('half of it', async () => (await bar.evaluate((bar) => bar.value)) === 0.5);
      assert.match(await frame.locator('#blocked').textContent(), /50 %/);
      await until('nothing is known', async () => (await bar.count()) === 0);
      const told = await page.evaluate(() => globalThis.heard.filter(({ event }) => event === 'processing').map(({ value }) => value));
      assert.deepEqual(told, parts.map((progress) => ({ progress })));
      await page.evaluate(() => {
        globalThis.heard.length = 0;
        globalThis.listen('processing');
      });
      await page.waitForFunction(() => globalThis.heard.some(({ event, listener }) => event === 'processing' && listener === 'test'));
    });
  } finally {
    await context.unroute(`**/embed/${video.embedId}*`);
  }
});

test('the embedding page hears that it has to wait, and then of a player under the address that it knows', async () => {
  const video = await server.pendingVideo('private');
  const src = server.embedUrl(video, { token: sign(server.key, video.videoId), t: '1', loop: '1' }, 'localhost');
  await withPage(browser, frameOf(src), async ({ page, hears }) => {
    assert.deepEqual(await hears('processing'), { progress: null });
    await server.upload(video);
    // The client library of the protocol waits for this very address.
    assert.equal((await hears('ready')).src, src);
    const { events, heard } = await page.evaluate(() => ({ events: globalThis.first('ready').value.events, heard: globalThis.heard }));
    assert.ok(events.includes('processing'));
    assert.ok(!heard.some(({ event }) => event === 'blocked' || event === 'error'), JSON.stringify(heard));
  });
});

test('a token that expires meanwhile is replaced by one that the embedding page brings', async () => {
  const video = await server.pendingVideo('private');
  const src = server.embedUrl(video, { token: shortLived(video), t: '2' }, 'localhost');
  await withPage(browser, frameOf(src), async ({ page, hears }) => {
    await hears('processing');
    await hears('tokenexpiring');
    await page.evaluate((value) => {
      globalThis.heard.length = 0;
      globalThis.say({ method: 'setToken', value });
    }, sign(server.key, video.videoId));
    await hears('processing');
    await server.upload(video);
    assert.equal(new URL((await hears('ready')).src).searchParams.get('t'), '2');
    assert.ok(!(await page.evaluate(() => globalThis.heard)).some(({ event }) => event === 'blocked'));
  });
});

test('where nobody brings another token the link has expired', async () => {
  const video = await server.pendingVideo('private');
  const { page } = await browser.page();
  await page.goto(server.embedUrl(video, { token: shortLived(video) }));
  await page.getByRole('heading', { name: 'Almost ready' }).waitFor();
  await page.getByRole('heading', { name: 'This link has expired' }).waitFor();
  await assertBlocked(page, 'playback_token_expired');
  const src = server.embedUrl(video, { token: shortLived(video) }, 'localhost');
  await withPage(browser, frameOf(src), async ({ hears }) => {
    await hears('processing');
    assert.deepEqual(await hears('blocked'), { reason: 'playback_token_expired', status: 401 });
  });
});

test('with scripts switched off the page looks again by itself', async () => {
  const video = await server.pendingVideo('private');
  const plain = await openBrowser({ javaScriptEnabled: false });
  try {
    const page = await plain.context.newPage();
    const src = server.embedUrl(video, { token: sign(server.key, video.videoId) });
    await page.goto(src);
    await page.getByRole('heading', { name: 'Almost ready' }).waitFor();
    await server.upload(video);
    await page.locator('video').waitFor();
    assert.equal(page.url(), src);
  } finally {
    await plain.close();
  }
});
