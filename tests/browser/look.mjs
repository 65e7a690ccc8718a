/**
 * Plays a video of yours in the demo and says what it saw: node tests/browser/look.mjs FILE. Pictures of the player and
 * of the page without a token go to target/browser; with static/sample.mp4 they are those of the README.
 * docs/demo-on-a-real-video.md shows it at work.
 */

import path from 'node:path';
import { assertClean, openBrowser, PICTURES, play, Server, stateOf, until } from './support.mjs';

const server = await Server.demo('--video', path.resolve(process.argv[2]));
const browser = await openBrowser();
try {
  const { privateVideo: video, token } = server.made;
  const blocked = await browser.page();
  await blocked.page.goto(server.embedUrl(video));
  console.log(`without a token: "${await blocked.page.locator('h1').textContent()}"`);
  await blocked.page.locator('.copy').waitFor();
  await blocked.page.screenshot({ path: path.join(PICTURES, 'look-blocked.png') });

  const { page, seen } = await browser.page();
  await page.goto(server.embedUrl(video, { token }));
  await play(page);
  const { width, height, duration } = await page.locator('#video').evaluate((element) => ({
    width: element.videoWidth, height: element.videoHeight, duration: element.duration,
  }));
  // The bar comes when something moves.
  for (const x of [400, 420]) await page.mouse.move(x, 300);
  const middle = Math.min(2.5, duration / 2);
  const state = await until('the middle', async () => {
    const now = await stateOf(page);
    return now.currentTime >= middle && now;
  });
  await page.screenshot({ path: path.join(PICTURES, 'look.png') });
  console.log(`playing: ${width}x${height}, ${duration} s; at ${state.currentTime.toFixed(1)} s ${state.frames} frames decoded, ${state.audioBytes} bytes of sound`);
  const end = await until('the end', async () => {
    const now = await stateOf(page);
    return now.ended && now;
  }, duration * 1000 + 30_000);
  assertClean(seen, server.baseUrl);
  console.log(`at the end: ${end.frames} frames, ${end.error ?? 'no error'}, nothing on the console, no request to another host`);

  const ask = () => server.playback(video, token);
  const { status, body } = await ask();
  console.log(`playback API: ${status}, ${body.videoWidthPx}x${body.videoHeightPx}, ${body.variants[0].label}`);
  await server.admin('POST', `/signing-keys/${server.key.id}/revoke`);
  console.log(`after the key was revoked: ${(await ask()).body.code}`);
} finally {
  await browser.close();
  await server.stop();
}
