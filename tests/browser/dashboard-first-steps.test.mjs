/** From an empty server to a private video in a page of somebody else's, by pages alone. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chooseFilms, inQueue, makeSigningKey, SAMPLE, signIn, visit } from './dashboard.mjs';
import { assertBlocked, assertClean, openBrowser, parentPage, play, Server, sign, until } from './support.mjs';

const PAGES = ['Videos', 'Settings', 'Signing keys', 'Publishable keys', 'Private keys', 'Audit log', 'System'];

let server;
let browser;

before(async () => {
  server = await Server.empty();
  browser = await openBrowser({ permissions: ['clipboard-read', 'clipboard-write'] });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Somebody else's page with this HTML in it, on another site. */
async function withEmbedder(html, act) {
  const parent = await parentPage(html);
  const { page, seen } = await browser.page();
  try {
    await page.goto(`http://localhost:${parent.port}/`);
    await act(await until('the frame', () => page.frames()[1]), page, seen);
  } finally {
    parent.close();
    await page.close();
  }
}

test('an empty server, a browser, and a private video plays on another site', async (t) => {
  const { page, seen } = await browser.page();
  const began = performance.now();
  const step = (what) => t.diagnostic(`${Math.round(performance.now() - began)} ms: ${what}`);

  await signIn(page, server);
  const steps = page.getByRole('region', { name: 'To your first private video' });
  assert.equal(await steps.getByText('done', { exact: true }).count(), 0);
  step('signed in');

  await steps.getByRole('link', { name: 'Turn token access on' }).click();
  await page.getByLabel('Token access').check();
  await page.getByRole('button', { name: 'Save settings' }).click();
  await page.getByText('Saved.').waitFor();
  assert.equal(await page.getByLabel('Token access').isChecked(), true);
  step('token access is on');

  await visit(page, 'Videos');
  await steps.getByRole('link', { name: 'Create a signing key' }).click();
  const shown = await makeSigningKey(page, 'backend');
  const copied = async (label) => {
    await page.locator('copy-text').filter({ has: page.getByLabel(label) }).getByRole('button').click();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  const key = { secret: await copied(/^Secret/), id: await copied(/^Key id/) };
  assert.deepEqual(key, shown, 'what is copied is what is shown');
  await page.getByRole('link', { name: 'I have stored it' }).click();
  step('a key is made');
  for (const name of PAGES) {
    await visit(page, name);
    assert.ok(!(await page.content()).includes(key.secret), `the secret is on the page ${name}`);
  }

  await visit(page, 'Videos');
  await page.getByLabel('Who may watch').selectOption({ label: 'Public: everyone' });
  await page.evaluate(() => (globalThis.isSamePage = true));
  await chooseFilms(page, SAMPLE);
  await inQueue(page, SAMPLE).getByText('is uploaded').waitFor();
  const row = page.locator('.videos li');
  await row.waitFor();
  await until('the video is ready', async () => (await row.locator('.badge').allTextContents()).join() === 'Public');
  assert.equal(await page.evaluate(() => globalThis.isSamePage), true, 'the page was loaded again');
  step('the film is uploaded and ready');

  await row.getByRole('link', { name: 'sample' }).click();
  await page.getByRole('link', { name: 'Security' }).click();
  await page.getByRole('radio', { name: /^Private/ }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The video is private now.').waitFor();
  step('it is private');

  await page.getByRole('link', { name: 'Embed', exact: true }).click();
  assert.ok(!(await page.content()).includes(key.secret), "the secret is on the video's page");
  const snippet = await page.getByRole('region', { name: 'Embed code' }).textContent();
  const sample = await page.locator('#sample-node').textContent();
  const [, video] = sample.match(/sub: "([^"]+)"/);
  assert.ok(sample.includes(`keyid: "${key.id}"`), 'the sample names the key');
  assert.equal(snippet.split('TOKEN').length, 2, snippet);

  await withEmbedder(snippet.replace('TOKEN', sign(key, video)), async (frame, _, seen) => {
    await play(frame);
    step('the picture moves in a page of another site');
    assert.deepEqual(seen.errors.filter((text) => !text.includes('favicon')), []);
  });
  await withEmbedder(snippet.replace('?token=TOKEN', ''), async (frame) => {
    await assertBlocked(frame, 'playback_token_missing', 'sample');
  });
  await withEmbedder(snippet, async (frame) => assertBlocked(frame, 'playback_token_invalid', 'sample'));

  await visit(page, 'Videos');
  assert.equal(await steps.count(), 0, 'the first steps stay after they are taken');
  assertClean(seen, server.baseUrl);
});

test('a fresh secret is not left by accident', async () => {
  const { page } = await browser.page();
  await page.goto(`${server.baseUrl}/dashboard/signing-keys`);
  const { secret } = await makeSigningKey(page, 'second');
  const asked = page.waitForEvent('dialog');
  const leaving = page.getByRole('link', { name: 'Videos', exact: true }).click({ noWaitAfter: true });
  const dialog = await asked;
  assert.equal(dialog.type(), 'beforeunload');
  await dialog.dismiss();
  await leaving;
  assert.equal(await page.getByLabel(/^Secret/).inputValue(), secret);
  await page.getByRole('link', { name: 'I have stored it' }).click();
  await page.getByLabel(/^Secret/).waitFor({ state: 'detached' });
  assert.ok(!(await page.content()).includes(secret));
});
