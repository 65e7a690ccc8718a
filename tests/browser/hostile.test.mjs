/** Texts that would be scripts, pages that would frame what is not theirs, and what a played token leaves behind. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { signIn } from './dashboard.mjs';
import { assertClean, moves, openBrowser, openPlayer, parentPage, play, Server, sign } from './support.mjs';

const HOSTILE = '</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\'"><svg onload=alert(1)>{{7*7}}<!--';
const CAPTIONS = `WEBVTT

STYLE
::cue { content: "</style><script>alert(1)</script>" }

NOTE <script>alert(1)</script>

00:00.000 --> 00:30.000
<script>alert(1)</script><img src=x onerror=alert(1)>seen
`;

let server;
let browser;
let video;

before(async () => {
  server = await Server.serve();
  video = await server.video('public', { title: HOSTILE });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A page in which nothing may open a dialog. */
async function quietPage() {
  const opened = await browser.page();
  const dialogs = [];
  opened.page.on('dialog', (dialog) => {
    dialogs.push(dialog.message());
    dialog.dismiss();
  });
  return { ...opened, dialogs };
}

test('a hostile title and hostile captions are shown as text, and a whole film violates no policy', async () => {
  const headers = { authorization: `Bearer ${server.privateKey}`, 'content-type': 'text/vtt' };
  const route = `/admin/v1/videos/${video.videoId}/captions/en?label=${encodeURIComponent(HOSTILE)}`;
  const put = await server.request('PUT', route, headers, CAPTIONS);
  assert.equal(put.status, 200, JSON.stringify(put.body));
  const { page, seen, dialogs } = await quietPage();
  await page.goto(server.embedUrl(video, { captions: 'en' }));
  assert.equal(await page.title(), HOSTILE);
  await play(page);
  const element = page.locator('#video');
  assert.deepEqual(await element.evaluate((video) => [...video.textTracks].map(({ label }) => label)), [HOSTILE]);
  await element.evaluate((video) => {
    video.currentTime = video.duration - 0.5;
  });
  await page.waitForFunction(() => document.getElementById('video').ended);
  assert.deepEqual(dialogs, []);
  assertClean(seen, server.baseUrl);
  await page.close();
});

test('the dashboard shows a hostile title as text', async () => {
  const { page, seen, dialogs } = await quietPage();
  await signIn(page, server, '/dashboard/videos');
  await page.getByText(HOSTILE, { exact: true }).first().click();
  await page.getByRole('heading', { level: 1 }).waitFor();
  assert.ok((await page.getByRole('heading', { level: 1 }).textContent()).includes(HOSTILE));
  assert.deepEqual(dialogs, []);
  assert.deepEqual(seen.violations, []);
  await page.close();
});

test('a played token is in no storage, no cookie and no referrer, and no worker stays behind', async () => {
  const video = await server.video('private');
  const token = sign(server.key, video.videoId);
  const referrers = [];
  const { page, seen } = await openPlayer(browser, server.embedUrl(video, { token }), {
    prepare: (page) => page.on('request', async (request) => {
      const { referer } = await request.allHeaders();
      if (referer) referrers.push(`${request.url()} from ${referer}`);
    }),
  });
  await play(page);
  await moves(page);
  const left = await page.evaluate(async () => JSON.stringify({
    local: { ...localStorage },
    session: { ...sessionStorage },
    cookie: document.cookie,
    databases: await indexedDB.databases(),
    caches: await caches.keys(),
    workers: (await navigator.serviceWorker.getRegistrations()).length,
    name: window.name,
    address: location.href,
  }));
  for (const secret of ['eyJ', 'p1.', 'r1.', token.split('.')[2]]) assert.ok(!left.includes(secret), left);
  assert.deepEqual(JSON.parse(left).databases, []);
  assert.deepEqual(JSON.parse(left).caches, []);
  assert.equal(JSON.parse(left).workers, 0);
  assert.deepEqual(referrers, []);
  assertClean(seen, server.baseUrl);
  await page.close();
});

test('another site frames the embed page, and neither the dashboard nor the page to sign in', async () => {
  const framed = ['/dashboard/sign-in', '/dashboard/videos', '/dashboard', '/dashboard/nothing', `/embed/${video.embedId}`];
  // A browser that is signed in: what would be framed is there.
  const home = await browser.page();
  await home.page.goto(`${server.baseUrl}/dashboard`);
  await home.page.getByRole('button', { name: 'Sign out' }).waitFor();
  const parent = await parentPage(framed.map((path) => `<iframe src="${server.baseUrl}${path}"></iframe>`).join(''));
  try {
    const { page } = await browser.page();
    await page.goto(`http://127.0.0.1:${parent.port}/`, { waitUntil: 'load' });
    const frames = page.frames().slice(1);
    assert.equal(frames.length, framed.length);
    await frames.at(-1).locator('#video').waitFor();
    for (const frame of frames.slice(0, -1)) assert.ok(frame.url().startsWith('chrome-error://'), `${frame.url()} is framed`);
    await page.close();
  } finally {
    parent.close();
    await home.page.close();
  }
});
