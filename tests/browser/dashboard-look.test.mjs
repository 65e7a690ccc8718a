/**
 * Every page in each of its states, narrow and wide, light and dark: axe-core finds nothing, nothing stands out at the
 * side, the console is silent. Pictures go to target/browser/dashboard.
 */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import {
  FIXTURES, assertAccessible, assertNoSidewaysScroll, foreignFilm, freshKey, makeSigningKey, signIn, withAxe,
} from './dashboard.mjs';
import { PICTURES, assertClean, openBrowser, play, Server, sign, until } from './support.mjs';

const LOOKS = path.join(PICTURES, 'dashboard');
const WIDTHS = [320, 1440];
const SCHEMES = ['light', 'dark'];
/** A name that is written from right to left, with something in it that is not. */
const ARABIC = 'الدرس الأول: مقدمة في HTML (2026)';

let server;
let browser;
let page;
let seen;

before(async () => {
  fs.mkdirSync(LOOKS, { recursive: true });
  server = await Server.empty();
  // Turning to the next page would be cut short by what comes at once here.
  browser = await openBrowser({ reducedMotion: 'reduce' });
  await withAxe(browser.context);
  ({ page, seen } = await browser.page());
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const go = (address) => page.goto(`${server.baseUrl}/dashboard/${address}`);

/** Looks at the open page in all ways. `status` is that of a page that is meant to be refused: Chromium logs it. */
async function look(name, { refused = false } = {}) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of SCHEMES) {
      const what = `${name}, ${width} pixels, ${colorScheme}`;
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: path.join(LOOKS, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      await assertNoSidewaysScroll(page, what);
      await assertAccessible(page, what);
    }
  }
  if (refused) {
    assert.equal(seen.errors.length, 1, `${seen.errors}`);
    assert.match(seen.errors[0], /status of 4\d\d/);
    seen.errors.length = 0;
  }
  assertClean(seen, server.baseUrl);
}

test('signing in', async () => {
  await go('videos');
  await look('sign-in');
  await page.getByLabel('Private key').fill('mvi_priv_wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await look('sign-in-wrong', { refused: true });
  await signIn(page, server);
});

test('videos, none yet', async () => {
  await page.getByRole('heading', { name: 'To your first private video' }).waitFor();
  await look('videos-empty');
});

test('signing keys: none, a fresh one, several', async () => {
  await go('signing-keys');
  await look('signing-keys-empty');
  await makeSigningKey(page, 'backend');
  await look('signing-keys-fresh');
  await page.getByRole('link', { name: 'I have stored it' }).click();
  const { id } = await server.admin('POST', '/signing-keys', { label: ARABIC });
  await server.admin('POST', `/signing-keys/${id}/revoke`);
  await go('signing-keys');
  await page.getByText('Revoked').waitFor();
  await look('signing-keys');
  await page.getByRole('button', { name: /^Revoke backend/ }).click();
  await page.getByRole('dialog').waitFor();
  await look('dialog');
  await page.getByRole('button', { name: 'Cancel' }).click();
});

test('settings, and a setting that is not taken', async () => {
  await server.admin('PATCH', '/organization', { tokenAccess: true });
  await go('settings');
  await look('settings');
  await page.getByLabel(/^One in each line/).fill('acme.com\nhttps://not a rule');
  await page.getByRole('button', { name: 'Save settings' }).click();
  await page.getByRole('alert').waitFor();
  assert.equal(await page.getByLabel(/^One in each line/).getAttribute('aria-invalid'), 'true');
  await look('settings-wrong', { refused: true });
});

test('rotating a key, each step', async () => {
  const key = await server.admin('POST', '/signing-keys', { label: 'shop' });
  await go(`signing-keys/${key.id}/rotate`);
  await look('rotate-1');
  await page.getByRole('button', { name: 'Make the new key' }).click();
  const { id } = await freshKey(page);
  await look('rotate-1-fresh');
  // It answers a form, so that asking for it again would be refused, and the console is looked at below.
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await page.getByRole('link', { name: 'I have stored it' }).click();
  await page.getByText(id).waitFor();
  await look('rotate-2');
  await server.admin('POST', `/signing-keys/${key.id}/revoke`);
  await page.reload();
  await page.getByText('The rotation is done.').waitFor();
  await look('rotate-3');
});

test('a video: waiting for its film, ready, not to be played', async () => {
  const pending = await server.pendingVideo('private', ARABIC);
  await go(`videos/${pending.videoId}`);
  await look('video-pending');

  const ready = await server.video('private', { title: 'A film with everything: captions, a poster, a title too long for a phone' });
  const put = (what, file) => server.admin('PUT', `/videos/${ready.videoId}/${what}`, fs.readFileSync(path.join(FIXTURES, file)));
  await put('captions/en?label=English', 'captions.vtt');
  await put('captions/ar?label=%D8%A7%D9%84%D8%B9%D8%B1%D8%A8%D9%8A%D8%A9', 'captions.vtt');
  await put('poster', 'poster.jpg');
  await server.packaged(ready);
  await go(`videos/${ready.videoId}`);
  const player = await until('the preview', () => page.frames()[1]);
  await player.locator('.bar').waitFor();
  await look('video-ready');

  const broken = await server.pendingVideo('public', 'Not a film');
  await server.admin('PUT', `/videos/${broken.videoId}/source`, fs.readFileSync(foreignFilm())).catch(() => {});
  await go(`videos/${broken.videoId}`);
  await page.locator('#status').getByText("Can't be played").waitFor();
  await look('video-error');

  const viewer = await browser.page();
  const key = await server.admin('POST', '/signing-keys', { label: 'website' });
  const token = sign(key, ready.videoId);
  await viewer.page.goto(server.embedUrl(ready, { token }));
  await play(viewer.page);
  await page.bringToFront();
  await go(`videos/${ready.videoId}/security`);
  await page.getByRole('region', { name: 'Watching now' }).getByText('website').waitFor();
  await page.getByLabel('Token', { exact: true }).fill(token);
  await page.getByRole('button', { name: 'Check it' }).click();
  await page.getByText('It plays.').waitFor();
  await look('video-security');
  await page.getByLabel('Token', { exact: true }).fill(`${token}x`);
  await page.getByRole('button', { name: 'Check it' }).click();
  await page.getByText('It is refused').waitFor();
  await look('video-security-refused');
  await viewer.page.close();

  await go(`videos/${ready.videoId}/embed`);
  await look('video-embed-private');
  await page.getByRole('button', { name: 'Preview token' }).click();
  await page.getByRole('region', { name: 'Preview token' }).waitFor();
  await look('video-embed-token');
  const open = await server.video('public', { title: 'For everyone' });
  await go(`videos/${open.videoId}/embed`);
  await look('video-embed-public');
});

test('an upload that broke off, and what discarding it does', async () => {
  const { page: sender } = await browser.page();
  await sender.goto(`${server.baseUrl}/dashboard/videos`);
  await sender.evaluate(async () => {
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5000000', 'Upload-Metadata': `title ${btoa('A long way up')}` };
    await fetch('/admin/v1/uploads', { method: 'POST', headers });
  });
  await sender.close();
  await go('videos');
  await page.getByRole('heading', { name: 'Unfinished uploads' }).waitFor();
  await look('videos-unfinished');
  await page.getByRole('button', { name: 'Discard A long way up…' }).click();
  await page.getByRole('dialog').waitFor();
  await look('dialog-discard');
  await page.getByRole('dialog').getByRole('button', { name: 'Discard' }).click();
  await page.getByText('The unfinished upload is discarded.').waitFor();
});

test('videos, some, and none that is looked for', async () => {
  await go('videos');
  await until('posters', () => page.locator('.videos img').evaluateAll((all) => all.some((img) => img.naturalWidth > 0)));
  await look('videos');
  await page.getByRole('searchbox').fill('no such film');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('No video has').waitFor();
  await look('videos-not-found');
});

test('publishable and private keys', async () => {
  await go('publishable-keys');
  await look('publishable-keys');
  await page.getByText('Only for certain sites or apps').click();
  await page.getByLabel('What it is for').fill('shop');
  await page.getByLabel(/^Sites that may/).fill('shop.acme.com\n*.a-rather-long-name-of-a-site.example.com');
  await page.getByRole('button', { name: 'Create a publishable key' }).click();
  await page.getByText('The key is made').waitFor();
  await look('publishable-keys-fresh');
  await page.getByRole('link', { name: 'I have stored it' }).click();

  await go('private-keys');
  await page.getByLabel('Whose it is').fill('Ana');
  await page.getByRole('button', { name: 'Create a private key' }).click();
  await page.getByText('The key is made').waitFor();
  await look('private-keys-fresh');
  await page.getByRole('link', { name: 'I have stored it' }).click();
  await page.getByRole('button', { name: /^Revoke Ana/ }).waitFor();
  await look('private-keys');
});

test('the audit log, the system, and a page that is not there', async () => {
  await go('audit');
  await look('audit');
  await go('system');
  await look('system');
  await go('nothing');
  await look('problem', { refused: true });
});

test('turned right to left, a page holds together', async () => {
  for (const name of ['videos', 'settings']) {
    await go(name);
    await page.evaluate(() => (document.documentElement.dir = 'rtl'));
    await look(`rtl-${name}`);
  }
});
