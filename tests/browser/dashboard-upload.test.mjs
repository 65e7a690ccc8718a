/** Uploads over lines that break: cut, paused, left and taken up again, under a server that dies. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { chooseFilms, foreignFilm, inQueue, paddedFilm, SAMPLE, signIn } from './dashboard.mjs';
import { Line } from './proxy.mjs';
import { openBrowser, PICTURES, Server, until } from './support.mjs';

const MIB = 2 ** 20;
const FILM_BYTES = 32 * MIB;
/** Slow enough to do something in the middle. */
const LINE_BYTES_PER_S = 8 * MIB;
/** For how long nothing may come once an upload is paused, in milliseconds. */
const QUIET_MS = 1_000;

let server;
let browser;
let line;
let page;
/** Where each piece of the open page said that it begins. */
let offsets;
/** Uploads of earlier tests. */
let earlier;

before(async () => {
  server = await Server.serve({ config: '[media]\nmax_source_mib = 40\n' });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(async () => {
  line = await Line.to(server.port, LINE_BYTES_PER_S);
  ({ page } = await browser.page());
  offsets = [];
  earlier = new Set((await uploads()).map(({ id }) => id));
  page.on('request', (request) => {
    if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']));
  });
  // Whether to leave while something is sent: yes.
  page.on('dialog', (dialog) => dialog.accept());
  await browser.context.clearCookies();
  await signIn(page, { ...server, baseUrl: `https://127.0.0.1:${line.port}` });
});

afterEach(async () => {
  await page.close();
  line.close();
});

const uploads = async () => (await server.admin('GET', '/uploads')).items;
/** The upload of this test, as the server has it. */
const newest = async () => (await uploads()).find(({ id }) => !earlier.has(id));
/** What has come of an upload, as soon as it is so much. */
const received = (bytes) => until(`${bytes} bytes`, async () => {
  const upload = await newest();
  return upload?.status === 'open' && upload.offsetBytes >= bytes && upload;
});

/** What has come of an upload once nothing more comes. */
function settled() {
  let last;
  let since = 0;
  return until('nothing more comes', async () => {
    const { offsetBytes } = await newest();
    if (offsetBytes !== last) since = performance.now();
    last = offsetBytes;
    return performance.now() - since > QUIET_MS && last;
  });
}

/** The page says that the file is uploaded; the server has each byte of it. */
async function assertArrived(file) {
  await inQueue(page, file).getByText('is uploaded').waitFor({ timeout: 60_000 });
  const wanted = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  const { videoId } = await newest();
  const entry = await until('the source is stored', async () => {
    const { items } = await server.admin('GET', '/audit');
    return items.find(({ action, subject }) => action === 'video.source' && subject.id === videoId);
  });
  assert.deepEqual([entry.detail.sizeBytes, entry.detail.sha256], [fs.statSync(file).size, wanted]);
  await server.packaged({ videoId });
}

test('an upload survives two cut lines, a pause, and a page that is loaded again', async (t) => {
  const film = paddedFilm('broken line.mp4', FILM_BYTES);
  await chooseFilms(page, film);
  for (const mib of [4, 9]) {
    await received(mib * MIB);
    line.cut();
  }
  await received(14 * MIB);
  const row = inQueue(page, film);
  assert.match(await row.textContent(), /\d+ %, \d+ s left/);
  await row.getByRole('button', { name: 'Pause' }).click();
  await row.getByText('is paused').waitFor();
  const paused = await settled();
  await row.getByRole('button', { name: 'Go on' }).click();
  await received(paused + 4 * MIB);
  t.diagnostic(`pieces began at ${offsets}`);
  assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b), 'each piece goes on');
  assert.equal(offsets.filter((offset) => offset === 0).length, 1, 'it began anew');
  assert.equal(offsets.at(-1), paused, 'it goes on where it was paused');

  await page.reload();
  const left = await settled();
  assert.ok(left < FILM_BYTES);
  offsets = [];
  await chooseFilms(page, film);
  await assertArrived(film);
  assert.deepEqual(offsets, [left], 'it goes on where it was left');
  assert.equal((await server.admin('GET', '/videos')).items.filter(({ title }) => title === 'broken line').length, 1);
});

test('a film that is chosen again for other viewers is not gone on with as it was', async () => {
  const film = paddedFilm('for whom.mp4', FILM_BYTES);
  await page.getByLabel('Who may watch').selectOption('public');
  await chooseFilms(page, film);
  await received(4 * MIB);
  await page.reload();
  const public_ = await newest();
  await page.getByLabel('Who may watch').selectOption('private');
  await chooseFilms(page, film);
  await inQueue(page, film).getByText('is uploaded').waitFor({ timeout: 60_000 });
  const { items } = await server.admin('GET', '/videos');
  const made = items.filter(({ title }) => title === 'for whom');
  assert.deepEqual(made.map(({ visibility, status }) => [visibility, status === 'pending_upload']).toSorted(), [['private', false], ['public', true]]);
  assert.equal(made.find(({ visibility }) => visibility === 'public').id, public_.videoId);
});

test('an upload survives a server that is killed', async (t) => {
  const film = paddedFilm('killed server.mp4', FILM_BYTES);
  await chooseFilms(page, film);
  const { id } = await received(8 * MIB);
  await server.crash();
  line.target = server.port;
  await assertArrived(film);
  assert.equal((await newest()).id, id);
  t.diagnostic(`pieces began at ${offsets}`);
  assert.ok(offsets.at(-1) > 0, 'it began anew');
});

test('several films are dropped at once, show how far they are, and are cancelled one by one', async () => {
  const sample = fs.readFileSync(SAMPLE).toString('base64');
  const dropped = await page.evaluateHandle(({ sample, names, bytes }) => {
    const film = Uint8Array.from(atob(sample), (char) => char.charCodeAt(0));
    const free = new Uint8Array(bytes);
    new DataView(free.buffer).setUint32(0, bytes);
    free.set(new TextEncoder().encode('free'), 4);
    const transfer = new DataTransfer();
    for (const name of names) transfer.items.add(new File([film, free], name, { type: 'video/mp4' }));
    return transfer;
  }, { sample, names: ['one.mp4', 'two.mp4', 'three.mp4'], bytes: 10 * MIB });
  const card = page.locator('form.drop');
  await card.dispatchEvent('dragover', { dataTransfer: dropped });
  await card.dispatchEvent('drop', { dataTransfer: dropped });

  const bar = (name) => inQueue(page, name).getByRole('progressbar').evaluate((bar) => bar.value);
  await until('two are under way', async () => (await bar('one.mp4')) > 0 && (await bar('two.mp4')) > 0);
  assert.match(await inQueue(page, 'three.mp4').textContent(), /waits for its turn/);
  const { items } = await server.admin('GET', '/videos');
  const two = items.find(({ title }) => title === 'two');
  await inQueue(page, 'two.mp4').getByRole('button', { name: 'Cancel' }).click();
  await inQueue(page, 'two.mp4').waitFor({ state: 'detached' });
  await until('the server has dropped it', async () =>
    !(await uploads()).some(({ videoId }) => videoId === two.id));
  await until('its video is gone', async () => !(await server.admin('GET', '/videos')).items.some(({ id }) => id === two.id));
  for (const name of ['one.mp4', 'three.mp4']) {
    await inQueue(page, name).getByText('is uploaded').waitFor();
    const row = page.locator('.videos li').filter({ has: page.getByRole('link', { name: path.parse(name).name, exact: true }) });
    await until(`${name} is ready`, async () => (await row.locator('.badge').count()) === 1);
  }
});

test('a film that cannot be played is called that, with the reason, where one waits for it', async () => {
  const { videoId } = await server.pendingVideo('public', 'Not yet a film');
  await page.goto(`https://127.0.0.1:${line.port}/dashboard/videos/${videoId}`);
  await page.evaluate(() => (globalThis.isSamePage = true));
  await chooseFilms(page, foreignFilm());
  await page.locator('#status').getByText("Can't be played").waitFor();
  const { statusDetail } = await server.admin('GET', `/videos/${videoId}`);
  await page.getByText(statusDetail).waitFor();
  assert.equal(await page.evaluate(() => globalThis.isSamePage), true, 'the page was loaded again');
  await page.goto(`https://127.0.0.1:${line.port}/dashboard/videos`);
  const row = page.locator('.videos li').filter({ hasText: 'Not yet a film' });
  assert.match(await row.textContent(), /Can't be played/);
});

test('a file that is too large is refused before it is sent', async () => {
  const file = path.join(PICTURES, 'too large.mp4');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 41 * MIB);
  await chooseFilms(page, file);
  await inQueue(page, file).getByText(/was refused: The source is larger than/).waitFor();
  assert.deepEqual(offsets, []);
});
