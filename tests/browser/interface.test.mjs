/** What viewers operate: bar, menu, captions, speed, and what is remembered of it. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { assertClean, moves, openBrowser, openPlayer, PICTURES, Server, until } from './support.mjs';

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

const open = (parameters = {}) => openPlayer(browser, server.embedUrl(server.made.publicVideo, parameters));

test('a click on the picture plays, another one pauses', async () => {
  const { page, seen, video } = await open();
  await video.click();
  await moves(page);
  await page.screenshot({ path: path.join(PICTURES, 'interface.png') });
  await video.click();
  await until('it is paused', () => video.evaluate((video) => video.paused));
  assertClean(seen, server.baseUrl);
});

test('the menu sets the speed, which the next visit begins with', async () => {
  const { page } = await open();
  const settings = page.getByRole('button', { name: 'Settings' });
  await settings.click();
  await page.getByRole('menuitem', { name: 'Speed' }).click();
  await page.getByRole('menuitemradio', { name: '1.5×' }).click();
  const rate = (page) => page.locator('#video').evaluate((video) => video.playbackRate);
  assert.equal(await rate(page), 1.5);
  assert.equal(await page.getByRole('menu').count(), 0);
  assert.equal(await settings.evaluate((button) => button === document.activeElement), true);
  const again = await open();
  await until('the speed is remembered', async () => (await rate(again.page)) === 1.5);
});

test('without controls a click still plays and stops', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.publicVideo, { controls: '0' }));
  const video = page.locator('#video');
  await until('it can be operated', () => video.evaluate((video) => video.hasAttribute('tabindex') && !video.controls && video.readyState > 0));
  assert.equal(await page.locator('.bar').count(), 0);
  await video.click();
  await moves(page);
  await video.press(' ');
  await until('it is paused', () => video.evaluate((video) => video.paused));
});
