/** The dashboard without a mouse, without movement, and without jumps. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { paddedFilm, visit } from './dashboard.mjs';
import { assertClean, openBrowser, Server, sign, until } from './support.mjs';

/** More presses of Tab than any of these pages takes. */
const ENOUGH = 80;

let server;
let browser;
let page;
let seen;
let video;

before(async () => {
  server = await Server.serve();
  video = await server.video('private', { title: 'A film' });
  browser = await openBrowser();
  ({ page, seen } = await browser.page());
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const focused = () => page.evaluate(() => {
  const { tagName, id, name, textContent } = document.activeElement;
  return `${tagName.toLowerCase()} ${id || name || textContent.trim()}`;
});

/** Presses Tab until something with this name has the focus. */
async function tabTo(name) {
  for (let press = 0; press < ENOUGH; press++) {
    await page.keyboard.press('Tab');
    const is = await page.evaluate(() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim());
    if (is.startsWith(name)) return;
  }
  assert.fail(`no Tab leads to ${name}`);
}

test('signing in takes a key and Enter', async () => {
  await page.goto(`${server.baseUrl}/dashboard`);
  assert.equal(await focused(), 'input key', 'the field is there to type in');
  await page.keyboard.type(server.privateKey);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Videos' }).waitFor();
});

test('the first Tab offers to skip the navigation', async () => {
  await page.goto(`${server.baseUrl}/dashboard/settings`);
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the page' });
  assert.equal(await skip.evaluate((link) => link === document.activeElement && link.getBoundingClientRect().top >= 0), true);
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'main main');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'input tokenAccess');
});

test('a question opens with Enter, closes with Escape, and gives the focus back', async () => {
  await page.goto(`${server.baseUrl}/dashboard/signing-keys`);
  await tabTo('Revoke');
  const opener = await page.evaluateHandle(() => document.activeElement);
  const dialog = page.getByRole('dialog');
  for (const close of [
    () => page.keyboard.press('Escape'),
    async () => {
      await tabTo('Cancel');
      await page.keyboard.press('Enter');
    },
  ]) {
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    assert.equal(await dialog.getByLabel('Type revoke to go on').evaluate((field) => field === document.activeElement), true);
    await close();
    await dialog.waitFor({ state: 'hidden' });
    assert.equal(await opener.evaluate((button) => button === document.activeElement), true);
  }
});

test('a question stays open while the list around it changes', async () => {
  await server.packaged(video);
  const begin = () => server.playback(video, sign(server.key, video.videoId));
  await begin();
  await page.goto(`${server.baseUrl}/dashboard/videos/${video.videoId}/security`);
  await page.getByRole('button', { name: /^End/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  await begin();
  // The page asks, and leaves the list alone.
  await page.waitForResponse((response) => response.url() === page.url());
  await page.waitForResponse((response) => response.url() === page.url());
  assert.equal(await dialog.isVisible(), true);
  await page.keyboard.press('Escape');
  await page.getByText('2 viewers.').waitFor();
});

test('Tab comes by everything that can be used, and shows where it is', async () => {
  const id = video.videoId;
  for (const address of ['videos', 'settings', 'signing-keys', 'publishable-keys', 'private-keys', 'audit', 'system', `videos/${id}/security`, `videos/${id}/embed`]) {
    await page.goto(`${server.baseUrl}/dashboard/${address}`);
    // Each choice of a group is reached by the arrows; what is hidden from screen readers is there a second time.
    const wanted = await page.evaluate(() => {
      const all = document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]');
      const usable = [...all].filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0 && (one.type !== 'radio' || one.checked));
      usable.forEach((one, index) => (one.dataset.number = index));
      return usable.length;
    });
    const reached = new Set();
    for (let press = 0; press < wanted; press++) {
      await page.keyboard.press('Tab');
      const { number, name, isShown } = await page.evaluate(() => {
        const one = document.activeElement;
        const { outlineStyle } = getComputedStyle(one);
        return { number: one.dataset.number, name: one.outerHTML.slice(0, 80), isShown: outlineStyle !== 'none' };
      });
      assert.ok(isShown, `${address}: nothing shows that the focus is on ${name}`);
      reached.add(number);
    }
    assert.equal(reached.size, wanted, `${address}: ${[...reached]}`);
  }
  assertClean(seen, server.baseUrl);
});

test('whoever wants no movement sees none', async () => {
  const still = await openBrowser({ reducedMotion: 'reduce' });
  try {
    const { page } = await still.page();
    await page.addInitScript(() => {
      globalThis.moved = [];
      for (const event of ['transitionrun', 'animationstart']) addEventListener(event, () => globalThis.moved.push(event), true);
      addEventListener('pagereveal', ({ viewTransition }) => viewTransition && globalThis.moved.push('view transition'));
    });
    await page.goto(`${server.baseUrl}/dashboard`);
    await page.getByLabel('Private key').fill(server.privateKey);
    await page.keyboard.press('Enter');
    for (const name of ['Settings', 'Signing keys', 'Videos']) {
      await visit(page, name);
      assert.deepEqual(await page.evaluate(() => [globalThis.moved, document.getAnimations().length]), [[], 0], name);
    }
  } finally {
    await still.close();
  }
});

test('nothing on the list of videos jumps, neither at first nor while a film is processed', async (t) => {
  await page.addInitScript(() => {
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) globalThis.shifts.push(value);
    }).observe({ type: 'layout-shift', buffered: true });
  });
  const shift = () => page.evaluate(() => globalThis.shifts.reduce((sum, value) => sum + value, 0));
  for (const width of [320, 960, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${server.baseUrl}/dashboard/videos`, { waitUntil: 'networkidle' });
    const first = await shift();
    const title = `At ${width} pixels`;
    await server.upload(await server.pendingVideo('public', title), paddedFilm('broken line.mp4', 32 * 2 ** 20));
    await page.goto(`${server.baseUrl}/dashboard/videos`);
    const row = page.locator('.videos li').filter({ hasText: title });
    await until('it is ready', async () => (await row.locator('.badge').count()) === 1);
    const later = await shift();
    t.diagnostic(`${width} pixels: layout shift ${first} at first, ${later} while a film is processed`);
    assert.ok(first <= 0.01 && later <= 0.01, `${width} pixels: ${first}, ${later}`);
  }
});
