/** A signing key is changed under viewers, and none of them notices before the old one is revoked. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { freshKey, signIn, visit } from './dashboard.mjs';
import { assertClean, longVideo, moves, openBrowser, play, Server, sign, stateOf, until } from './support.mjs';

let server;
let browser;
let viewers;
let video;

before(async () => {
  const file = longVideo();
  server = await Server.serve();
  // The shortest life of a URL, so that viewers renew theirs meanwhile.
  await server.admin('PATCH', '/organization', { assetUrlTtl: 30 });
  video = await server.video('private', { title: 'A long film', file });
  await server.packaged(video);
  [browser, viewers] = await Promise.all([openBrowser(), openBrowser()]);
});

after(async () => {
  await Promise.all([browser?.close(), viewers?.close()]);
  await server?.stop();
});

/** A viewer who watches by a token of this key, and every answer that refused them something. */
async function viewer(key) {
  const { page } = await viewers.page();
  const refused = [];
  const renewed = [];
  page.on('response', (response) => {
    if (response.status() >= 400) refused.push(`${response.status()} ${response.url()}`);
    if (response.url().endsWith('/renew') && response.ok()) renewed.push(response.url());
  });
  await page.goto(server.embedUrl(video, { token: sign(key, video.videoId) }));
  await play(page);
  return { page, refused, renewed };
}

const lastUsed = (page) => page.getByRole('row').filter({ hasText: server.key.id }).getByRole('cell').nth(2).textContent();

test('a rotation refuses nobody; revoking the old key cuts off its viewers alone', async (t) => {
  const { page, seen } = await browser.page();
  await signIn(page, server, `/dashboard/videos/${video.videoId}`);
  await play(await until('the preview', () => page.frames()[1]));
  await visit(page, 'Signing keys');
  assert.equal(await lastUsed(page), 'never', "the operator's own preview counts as use");

  const old = await viewer(server.key);
  await page.bringToFront();
  await page.reload();
  assert.match(await lastUsed(page), /UTC/);

  await page.getByRole('link', { name: /^Rotate/ }).click();
  const current = page.locator('[aria-current=step]');
  assert.match(await current.textContent(), /^\s*1\. Make the new key/);
  assert.equal(await page.getByRole('button', { name: 'Revoke the old key…' }).isDisabled(), true);
  await page.getByRole('button', { name: 'Make the new key' }).click();
  const key = await freshKey(page);
  await page.getByRole('link', { name: 'I have stored it' }).click();
  await page.getByText('Switch your backend to it').waitFor();
  assert.match(await current.textContent(), /^\s*2\. Switch/);
  assert.ok(!(await page.content()).includes(key.secret));
  const use = page.locator('#use');
  assert.match(await use.textContent(), /New key, last usednot yet.*Old key.*viewers? watching/s);

  await page.evaluate(() => (globalThis.isSamePage = true));
  const next = await viewer(key);
  await page.bringToFront();
  await until('the page shows that the new key is used', async () => /New key, last used.*UTC, 1 viewer watching/s.test(await use.textContent()));
  assert.equal(await page.evaluate(() => globalThis.isSamePage), true, 'the page was loaded again');

  await until('the old viewer has renewed under both keys', () => old.renewed.length > 0, 60_000);
  await moves(old.page);
  assert.deepEqual([old.refused, next.refused], [[], []]);

  await page.getByRole('button', { name: 'Revoke the old key…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Type revoke to go on').fill('revoke');
  const revoked = performance.now();
  await dialog.getByRole('button', { name: 'Revoke it' }).click();
  await page.getByText('The key is revoked.').waitFor();
  // What Chromium fetched ahead may still be shown (endings.test.mjs); nothing else.
  await old.page.locator('#video').evaluate((video) => (video.currentTime = 170));
  await old.page.locator('#blocked').waitFor();
  t.diagnostic(`the old viewer was cut off ${Math.round(performance.now() - revoked)} ms after the click`);
  await moves(next.page);
  assert.equal((await stateOf(next.page)).error, null);
  assert.deepEqual(next.refused, []);

  await page.goto(`${server.baseUrl}/dashboard/signing-keys/${server.key.id}/rotate?to=${key.id}`);
  await page.getByText('The rotation is done.').waitFor();
  assertClean(seen, server.baseUrl);
});

test('a wrong word revokes nothing', async () => {
  const { page } = await browser.page();
  await page.goto(`${server.baseUrl}/dashboard/signing-keys`);
  const active = page.getByRole('row').filter({ hasText: 'Active' }).first();
  const key = await active.locator('code').first().textContent();
  await active.getByRole('button', { name: /^Revoke/ }).click();
  const field = page.getByRole('dialog').getByLabel('Type revoke to go on');
  await field.fill('remove');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke it' }).click();
  assert.equal(await field.evaluate((input) => input.validity.patternMismatch), true);
  // A browser that checks nothing is refused by the server.
  await field.evaluate((input) => input.form.submit());
  await page.getByRole('alert').filter({ hasText: 'must be the word revoke' }).waitFor();
  assert.equal(await page.getByRole('row').filter({ hasText: key }).getByText('Active').count(), 1);
});
