/** The dashboard where no script runs: forms and links alone. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chooseFilms, FIXTURES, freshKey, makeSigningKey, SAMPLE, signIn, visit } from './dashboard.mjs';
import { assertClean, openBrowser, Server, sign, until } from './support.mjs';

let server;
let browser;
let page;
let seen;

before(async () => {
  server = await Server.empty();
  browser = await openBrowser({ javaScriptEnabled: false });
  ({ page, seen } = await browser.page());
  await signIn(page, server);
});

after(async () => {
  assertClean(seen, server.baseUrl);
  await browser?.close();
  await server?.stop();
});

const says = (sentence) => page.getByRole('status').filter({ hasText: sentence }).waitFor();
const chooseFile = async (label, file) => page.getByLabel(label).setInputFiles(path.join(FIXTURES, file));
const inCard = (heading) => page.getByRole('region', { name: heading, exact: true });

test('a film is uploaded, made private, named, captioned, given a poster, and deleted', async () => {
  await visit(page, 'Settings');
  await page.getByLabel('Token access').check();
  await page.getByRole('button', { name: 'Save settings' }).click();
  await says('Saved.');

  await visit(page, 'Videos');
  await chooseFilms(page, SAMPLE);
  await page.getByRole('button', { name: 'Upload' }).click();
  await says('Uploaded.');
  await page.getByRole('link', { name: 'sample', exact: true }).click();
  await until('it is ready', async () => {
    await page.reload();
    return (await page.locator('#status').textContent()).trim() === 'Ready';
  });

  await page.getByRole('link', { name: 'Security' }).click();
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await says('The video is private now.');
  await page.getByRole('link', { name: 'Film', exact: true }).click();

  await page.getByRole('textbox', { name: 'Title' }).fill('Lesson 1');
  await inCard('Title').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { level: 1, name: 'Lesson 1' }).waitFor();

  await page.getByLabel('Language tag').fill('pt-BR');
  await page.getByLabel('What viewers choose').fill('Português');
  await chooseFile('WebVTT or SubRip file', 'captions.srt');
  await inCard('Captions').getByRole('button', { name: 'Add' }).click();
  await says('The captions are stored.');
  await inCard('Captions').getByText('Português').first().waitFor();

  await chooseFile('JPEG, PNG, WebP or AVIF', 'poster.jpg');
  await inCard('Poster').getByRole('button', { name: 'Add' }).click();
  await says('The poster is stored.');

  const [video] = (await server.admin('GET', '/videos')).items;
  assert.deepEqual([video.title, video.visibility], ['Lesson 1', 'private']);
  await inCard('Captions').getByRole('button', { name: 'Delete Português…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await says('The captions are deleted.');

  await page.getByRole('button', { name: 'Delete this video…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Type delete to go on').fill('delete');
  await dialog.getByRole('button', { name: 'Delete it for good' }).click();
  await says('The video, its files and its embeds are deleted.');
  assert.deepEqual((await server.admin('GET', '/videos')).items, []);
});

test('a signing key is made, rotated and revoked', async () => {
  const video = await server.video('private');
  await server.packaged(video);
  await visit(page, 'Signing keys');
  const old = await makeSigningKey(page, 'backend');
  await page.getByRole('link', { name: 'I have stored it' }).click();
  await page.getByRole('link', { name: /^Rotate backend/ }).click();
  await page.getByRole('button', { name: 'Make the new key' }).click();
  const key = await freshKey(page);
  await page.getByRole('link', { name: 'I have stored it' }).click();
  const status = async (key) => (await server.playback(video, sign(key, video.videoId))).status;
  assert.deepEqual([await status(old), await status(key)], [200, 200]);

  await page.getByRole('button', { name: 'Revoke the old key…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Type revoke to go on').fill('revoke');
  await dialog.getByRole('button', { name: 'Revoke it' }).click();
  await says('The key is revoked.');
  assert.deepEqual([await status(old), await status(key)], [401, 200]);
});

test('whoever signs out is out', async () => {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await says('You are signed out.');
  await page.goto(`${server.baseUrl}/dashboard/settings`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
});
