/** Trying again from the page that says why nothing plays: where that may help, and nowhere else. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { frameOf, withPage } from './embedder.mjs';
import { openBrowser, Server, sign, signExpired, until } from './support.mjs';

const RETRY = {
  en: 'Try again', pt: 'Tentar de novo', es: 'Reintentar', de: 'Noch einmal versuchen', fr: 'Réessayer', ja: '再試行', ar: 'حاول مجددًا',
};

let server;
let browser;
let video;

before(async () => {
  server = await Server.serve();
  browser = await openBrowser();
  video = await server.video('private');
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const retryOf = (page, lang = 'en') => page.getByRole('button', { name: RETRY[lang] });

/** By keyboard alone. */
async function press(page, button) {
  for (let steps = 0; !(await button.evaluate((button) => button === document.activeElement)); steps++) {
    assert.ok(steps < 10, 'the button is not reached by Tab');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
}

/** A server that soon has enough, and the address of a video there that was asked for too often. */
async function withStrictServer(open, act) {
  const strict = await Server.serve({ config: '[limits]\nplayback_per_second = 1\nplayback_burst = 2\n' });
  try {
    const wanted = await strict.video('private');
    const src = strict.embedUrl(wanted, { token: sign(strict.key, wanted.videoId), t: '2' });
    const page = await open();
    await until('a refusal', async () => (await page.goto(src)).status() === 429);
    await act(page, src, strict.embedUrl(wanted, { t: '2' }));
  } finally {
    await strict.stop();
  }
}

test('after too many requests the video plays once it is asked for again', async () => {
  await withStrictServer(async () => (await browser.page()).page, async (page, _, stripped) => {
    await page.getByRole('heading', { name: 'Too many requests' }).waitFor();
    await page.waitForFunction(() => !location.search.includes('token'));
    await until('the player', async () => {
      const button = retryOf(page);
      if (await button.isVisible()) await Promise.all([page.waitForEvent('load'), press(page, button)]);
      return (await page.locator('#video').count()) > 0;
    });
    assert.equal(page.url(), stripped);
  });
});

test('after a failure of the server the video plays once that is mended', async () => {
  // Never played: nothing of it is in memory.
  const wanted = await server.video('private');
  await server.packaged(wanted);
  const media = path.join(server.directory, 'state/media');
  const { page } = await browser.page();
  fs.renameSync(media, `${media}-away`);
  try {
    const answer = await page.goto(server.embedUrl(wanted, { token: sign(server.key, wanted.videoId) }));
    assert.equal(answer.status(), 503);
  } finally {
    fs.renameSync(`${media}-away`, media);
  }
  await press(page, retryOf(page));
  await page.locator('#video').waitFor();
});

for (const lang of Object.keys(RETRY)) {
  test(`the button speaks ${lang}`, async () => {
    const pending = await server.pendingVideo('public');
    const { page } = await browser.page();
    await page.goto(server.embedUrl(pending, { lang }));
    await retryOf(page, lang).waitFor();
    assert.equal(await page.locator('.again').count(), 1);
  });
}

test('an expired link is tried again with the token that the embedding page brings', async () => {
  const src = server.embedUrl(video, { token: signExpired(server.key, video.videoId) }, 'localhost');
  await withPage(browser, frameOf(src), async ({ page, hears }) => {
    await hears('blocked');
    const button = retryOf(page.frames()[1]);
    assert.equal(await button.isVisible(), false, 'nobody has said that a token could be had');
    await page.evaluate(() => globalThis.listen('tokenexpiring'));
    await button.waitFor();
    assert.equal(await page.evaluate(() => globalThis.first('tokenexpiring')), undefined);
    await button.press('Enter');
    await hears('tokenexpiring');
    await page.evaluate((value) => globalThis.say({ method: 'setToken', value }), sign(server.key, video.videoId));
    await hears('ready');
  });
});

test('where trying again can not help there is no button', async () => {
  const other = await server.video('private');
  for (const [parameters, code] of [
    [{}, 'playback_token_missing'],
    [{ token: 'x.y.z' }, 'playback_token_invalid'],
    [{ token: signExpired(server.key, video.videoId) }, 'playback_token_expired'],
    [{ token: sign(server.key, other.videoId) }, 'playback_token_wrong_video'],
  ]) {
    const { page } = await browser.page();
    await page.goto(server.embedUrl(video, parameters));
    // The script has run: the other button is its work.
    await page.getByRole('button', { name: 'Copy the reference' }).waitFor();
    assert.equal(await page.locator('#blocked').getAttribute('data-code'), code);
    assert.equal(await page.locator('.again:visible').count(), 0, code);
    await page.close();
  }
});

test('with scripts switched off a link leads to the same address', async () => {
  const plain = await openBrowser({ javaScriptEnabled: false });
  try {
    await withStrictServer(() => plain.context.newPage(), async (page, src) => {
      await until('the player', async () => {
        const link = page.getByRole('link', { name: 'Try again' });
        if (await link.isVisible()) await Promise.all([page.waitForEvent('load'), link.press('Enter')]);
        return (await page.locator('video').count()) > 0;
      });
      assert.equal(page.url(), src);
    });
  } finally {
    await plain.close();
  }
});
