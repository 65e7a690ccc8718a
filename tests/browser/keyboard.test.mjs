/** The keys of the player, and how they are turned off. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, openPlayer, Server, until } from './support.mjs';

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

async function open(parameters = {}) {
  const { page, video } = await openPlayer(browser, server.embedUrl(server.made.publicVideo, parameters));
  await video.focus();
  const read = (name) => video.evaluate((video, name) => video[name], name);
  return { page, video, read };
}

test('keys play, mute, seek and change the speed', async () => {
  const { page, read } = await open();
  await page.keyboard.press('m');
  assert.equal(await read('muted'), true);
  await page.keyboard.press('>');
  assert.equal(await read('playbackRate'), 1.25);
  await page.keyboard.press('5');
  const half = await read('currentTime');
  assert.ok(Math.abs(half - (await read('duration')) / 2) < 0.1);
  await page.keyboard.press('.');
  assert.ok((await read('currentTime')) > half);
  await page.keyboard.press('Home');
  assert.equal(await read('currentTime'), 0);
  await page.keyboard.press('k');
  await until('it plays', async () => !(await read('paused')));
  await page.keyboard.press(' ');
  await until('it is paused', () => read('paused'));
});

test('a question mark lists the keys, Escape goes back', async () => {
  const { page } = await open();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await page.keyboard.press('Escape');
  await until('it is closed', async () => (await page.getByRole('dialog').count()) === 0);
});

test('a menu is operated by arrows, Enter and Escape', async () => {
  const { page } = await open();
  await page.getByRole('button', { name: 'Settings' }).press('Enter');
  await page.getByRole('menu').waitFor();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement === document.querySelector('[role=menu]').firstElementChild), true);
  await page.keyboard.press('Escape');
  await until('it is closed', async () => (await page.getByRole('menu').count()) === 0);
});

test('keyboard=0 turns single keys off', async () => {
  const { page, read } = await open({ keyboard: '0' });
  const wasMuted = await read('muted');
  await page.keyboard.press('m');
  await page.keyboard.press('5');
  assert.equal(await read('muted'), wasMuted);
  assert.equal(await read('currentTime'), 0);
});
