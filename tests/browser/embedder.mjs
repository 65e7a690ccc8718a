/** A page of somebody else's that speaks the protocol by hand with the frame in it. */

import { parentPage } from './support.mjs';

/** The documentation's frame. */
export const frameOf = (src, attributes = '') =>
  `<iframe src="${src}" ${attributes} allow="autoplay; fullscreen; picture-in-picture" allowfullscreen width="800" height="450"></iframe>`;

/** A page with this HTML; `heard` gathers every message, `say` sends one to the frame. */
async function open(browser, html, host) {
  const parent = await parentPage(html);
  const { page, seen } = await browser.page();
  await page.addInitScript(() => {
    globalThis.heard = [];
    addEventListener('message', ({ data, origin, source }) => {
      globalThis.heard.push({ ...JSON.parse(data), origin, isFrame: source === globalThis.frames[0] });
    });
    globalThis.say = (message) => globalThis.frames[0].postMessage(JSON.stringify({ context: 'player.js', version: '0.0.11', ...message }), '*');
    /** One question and its answer. */
    globalThis.ask = (method) => new Promise((resolve) => {
      const listener = Math.random().toString();
      addEventListener('message', ({ data }) => JSON.parse(data).listener === listener && resolve(JSON.parse(data).value));
      globalThis.say({ method, listener });
    });
    globalThis.listen = (...events) => events.forEach((event) => globalThis.say({ method: 'addEventListener', value: event, listener: 'test' }));
    globalThis.first = (event) => globalThis.heard.find((message) => message.event === event);
  });
  await page.goto(`http://${host}:${parent.port}/`);
  return {
    page,
    seen,
    /** Waits until the page has heard of an event; its value. */
    hears: async (event) => {
      await page.waitForFunction((event) => globalThis.first(event), event);
      return page.evaluate((event) => globalThis.first(event).value, event);
    },
    close: async () => {
      parent.close();
      await page.close();
    },
  };
}

/** Does something with such a page, and closes it. */
export async function withPage(browser, html, act, host = '127.0.0.1') {
  const opened = await open(browser, html, host);
  try {
    await act(opened);
  } finally {
    await opened.close();
  }
}
