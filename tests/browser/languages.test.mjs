/** The interface and the blocked page in the viewer's language. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, Server } from './support.mjs';

const EXPECTED = {
  en: ['Settings', 'This video is private'],
  pt: ['Configurações', 'Este vídeo é privado'],
  es: ['Ajustes', 'Este vídeo es privado'],
  de: ['Einstellungen', 'Dieses Video ist privat'],
  fr: ['Paramètres', 'Cette vidéo est privée'],
  ja: ['設定', 'この動画は非公開です'],
  ar: ['الإعدادات', 'هذا الفيديو خاص'],
};

let server;
let browser;

before(async () => {
  server = await Server.demo();
  browser = await openBrowser({ locale: 'de-AT' });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const [lang, [settings, heading]] of Object.entries(EXPECTED)) {
  test(`the interface and the blocked page speak ${lang}`, async () => {
    const { page } = await browser.page();
    await page.goto(server.embedUrl(server.made.publicVideo, { lang }));
    await page.getByRole('button', { name: settings }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), lang);
    // Time runs from left to right in every language.
    assert.equal(await page.locator('.bar').evaluate((bar) => getComputedStyle(bar).direction), 'ltr');
    await page.goto(server.embedUrl(server.made.privateVideo, { lang }));
    await page.getByRole('heading', { name: heading }).waitFor();
  });
}

test("without a wish the browser's language is spoken", async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.publicVideo));
  await page.getByRole('button', { name: EXPECTED.de[0] }).waitFor();
});
