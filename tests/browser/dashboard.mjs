/** What an operator does with the dashboard's pages, and what every one of them has to keep to. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PICTURES } from './support.mjs';

export const FIXTURES = path.resolve(import.meta.dirname, '../fixtures');
export const SAMPLE = path.resolve(import.meta.dirname, '../../static/sample.mp4');

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** Types the key into the page that asks for it, on the way to another. */
export async function signIn(page, server, to = '/dashboard') {
  await page.goto(`${server.baseUrl}${to}`);
  await page.getByLabel('Private key').fill(server.privateKey);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
}

/** Goes to a page by the navigation. */
export async function visit(page, name) {
  await page.getByRole('navigation', { name: 'Dashboard' }).getByRole('link', { name, exact: true }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
}

/** Chooses files where the page asks for films. */
export async function chooseFilms(page, ...files) {
  const opening = page.waitForEvent('filechooser');
  await page.getByLabel('Film', { exact: true }).click();
  await (await opening).setFiles(files);
}

/** The row of a file in the page's queue. */
export const inQueue = (page, file) => page.locator('.queue li').filter({ hasText: path.basename(file) });

/** Makes a signing key by its page. Answers what that shows: id and secret. */
export async function makeSigningKey(page, label) {
  await page.getByLabel('What it is for').fill(label);
  await page.getByRole('button', { name: 'Create a signing key' }).click();
  return freshKey(page);
}

/** The key that the page shows, once. */
export async function freshKey(page) {
  return { id: await page.getByLabel(/^Key id/).inputValue(), secret: await page.getByLabel(/^Secret/).inputValue() };
}

/** The sample, made as long as asked for with a box that players skip. Made once. */
export function paddedFilm(name, bytes) {
  const file = path.join(PICTURES, name);
  if (fs.existsSync(file) && fs.statSync(file).size === bytes) return file;
  const sample = fs.readFileSync(SAMPLE);
  const free = Buffer.alloc(bytes - sample.length);
  free.writeUInt32BE(free.length);
  free.write('free', 4, 'latin1');
  // Not all alike, so that a piece in the wrong place would be seen.
  for (let at = 8; at + 4 <= free.length; at += 4096) free.writeUInt32BE(at, at);
  const made = `${file}.${process.pid}`;
  fs.writeFileSync(made, Buffer.concat([sample, free]));
  fs.renameSync(made, file);
  return file;
}

/** A film whose pictures no browser plays. Made once. */
export function foreignFilm() {
  const file = path.join(PICTURES, 'foreign.mp4');
  if (fs.existsSync(file)) return file;
  const made = `${file}.${process.pid}.mp4`;
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=10', '-t', '1', '-c:v', 'mpeg4', made]);
  fs.renameSync(made, file);
  return file;
}

/** Brings axe into every page from now on. The pages' policy is kept: it holds for what they load, not for this. */
export const withAxe = (context) => context.addInitScript(AXE);

/** axe-core finds nothing against WCAG 2.2 A and AA. */
export async function assertAccessible(page, what) {
  const violations = await page.evaluate((tags) => globalThis.axe.run({ runOnly: tags }).then(({ violations }) => violations), TAGS);
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' ')}`), [], what);
}

/** Nothing stands out at the side. */
export async function assertNoSidewaysScroll(page, what) {
  const { width, inner } = await page.evaluate(() => ({ width: document.scrollingElement.scrollWidth, inner: document.documentElement.clientWidth }));
  assert.ok(width <= inner, `${what}: ${width} pixels wide where there are ${inner}`);
}
