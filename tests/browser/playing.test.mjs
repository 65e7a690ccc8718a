/** What a viewer sees who may watch. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, openBrowser, PICTURES, play, Server, stateOf } from './support.mjs';

let server;
let browser;

before(async () => {
  server = await Server.demo();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test('a private video plays with a valid token', async () => {
  const { page, seen } = await browser.page();
  const answer = await page.goto(server.embedUrl(server.made.privateVideo, { token: server.made.token }));
  assert.equal(answer.status(), 200);
  const state = await play(page);
  assert.ok(state.audioBytes > 0, 'no sound was decoded');
  assert.equal(await page.title(), 'A private video');
  await page.screenshot({ path: path.join(PICTURES, 'playing.png') });
  assertClean(seen, server.baseUrl);
});

test('the token does not stay in the address bar, nor in history', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.privateVideo, { token: server.made.token, t: '3' }));
  await page.waitForFunction(() => !location.search.includes('token'));
  assert.equal(page.url(), server.embedUrl(server.made.privateVideo, { t: '3' }));
  assert.equal(await page.evaluate(() => history.length), 2, 'about:blank and this page');
  assert.ok(Math.abs((await stateOf(page)).currentTime - 3) < 0.5, 'the rest of the address still counts');
});

test('a public video plays without a token, and with a wrong one', async () => {
  for (const parameters of [{}, { token: 'nonsense' }]) {
    const { page, seen } = await browser.page();
    await page.goto(server.embedUrl(server.made.publicVideo, parameters));
    await play(page);
    assertClean(seen, server.baseUrl);
  }
});

test('a video that has been asked to starts by itself, muted', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.publicVideo, { autoplay: 'muted', loop: '1' }));
  await page.waitForFunction(() => document.getElementById('video').currentTime > 0.5);
  assert.deepEqual(await page.locator('#video').evaluate(({ muted, loop }) => [muted, loop]), [true, true]);
});

test('the address says where to begin, how loud, and whether with controls', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.publicVideo, { t: '0m4s', muted: '1', controls: '0' }));
  await page.waitForFunction(() => document.getElementById('video').currentTime >= 4);
  assert.deepEqual(await page.locator('#video').evaluate(({ muted, controls }) => [muted, controls]), [true, false]);
  await play(page);
});

test('a seek far ahead goes on playing from there', async () => {
  const { page, seen } = await browser.page();
  await page.goto(server.embedUrl(server.made.privateVideo, { token: server.made.token }));
  await play(page);
  await page.locator('#video').evaluate((video) => (video.currentTime = 7));
  await page.waitForFunction(() => document.getElementById('video').currentTime > 7.5);
  assertClean(seen, server.baseUrl);
});

test('a private video plays with scripts switched off', async () => {
  const plain = await openBrowser({ javaScriptEnabled: false });
  try {
    const page = await plain.context.newPage();
    await page.goto(server.embedUrl(server.made.privateVideo, { token: server.made.token }));
    await play(page, { isScripted: false });
    assert.match(page.url(), /token=/, 'a script of the page has run after all');
  } finally {
    await plain.close();
  }
});
