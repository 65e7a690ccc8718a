/** axe-core finds nothing against WCAG 2.2 A and AA, in any state of the player. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { openBrowser, Server } from './support.mjs';

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

let server;
let browser;

before(async () => {
  server = await Server.demo();
  // axe is brought into the page, whose policy lets in no script of others.
  browser = await openBrowser({ bypassCSP: true });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function assertAccessible(page) {
  await page.evaluate(AXE);
  const violations = await page.evaluate((tags) => globalThis.axe.run({ runOnly: tags }).then(({ violations }) => violations), TAGS);
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
}

for (const [name, viewport] of [['wide', { width: 960, height: 540 }], ['narrow', { width: 320, height: 180 }]]) {
  for (const lang of ['en', 'ar']) {
    test(`bar, menu and list of keys: ${name}, ${lang}`, async () => {
      const { page } = await browser.page();
      await page.setViewportSize(viewport);
      await page.goto(server.embedUrl(server.made.publicVideo, { lang }));
      await page.locator('.settings').waitFor();
      await assertAccessible(page);
      await page.locator('.settings').click();
      await page.getByRole('menu').waitFor();
      await assertAccessible(page);
      await page.getByRole('menuitem').last().click();
      await page.getByRole('dialog').waitFor();
      await assertAccessible(page);
    });
  }
}

test('the blocked page', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(server.made.privateVideo));
  await page.locator('#blocked').waitFor();
  await assertAccessible(page);
});

test('the page of a video in preparation', async () => {
  const { page } = await browser.page();
  await page.goto(server.embedUrl(await server.pendingVideo('public')));
  await page.getByRole('button', { name: 'Try again' }).waitFor();
  await assertAccessible(page);
});
