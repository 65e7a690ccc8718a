/**
 * Lighthouse's accessibility score of the player's pages, by hand: `npm exec --package=lighthouse@12 -- node lighthouse.mjs`.
 * Not one of the tests, which ask axe-core itself, in more states than Lighthouse sees; this is the figure others quote.
 * Exits 1 where a page has less than 100.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Server, sign } from './support.mjs';

const run = promisify(execFile);
const FLAGS = '--headless=new --no-sandbox --ignore-certificate-errors --disable-background-networking --autoplay-policy=no-user-gesture-required';
const environment = { ...process.env, CHROME_PATH: process.env.CHROMIUM ?? '/usr/bin/chromium' };
const server = await Server.demo();

/** The score of 100, and what cost the rest. */
async function score(url, preset) {
  // Pages in place of the player are answered with the status of their refusal.
  const options = ['--only-categories=accessibility', '--output=json', '--quiet', '--ignore-status-code', `--chrome-flags=${FLAGS}`, ...preset];
  const { stdout } = await run('lighthouse', [url, ...options], { env: environment, maxBuffer: 64 << 20 });
  const { categories, audits, lighthouseVersion, environment: { hostUserAgent } } = JSON.parse(stdout);
  const faults = Object.values(audits).filter((audit) => audit.score !== null && audit.score < 1).map(({ id }) => id);
  return { score: Math.round(categories.accessibility.score * 100), faults, lighthouseVersion, hostUserAgent };
}

try {
  const { publicVideo, privateVideo } = server.made;
  const pages = {
    'the player': server.embedUrl(publicVideo),
    'the player, playing by itself': server.embedUrl(publicVideo, { autoplay: 'muted' }),
    'the player of a private video': server.embedUrl(privateVideo, { token: sign(server.key, privateVideo.videoId) }),
    'the player in Arabic': server.embedUrl(publicVideo, { lang: 'ar' }),
    'the page in its place': server.embedUrl(privateVideo),
    'the page of a video in preparation': server.embedUrl(await server.pendingVideo('public')),
  };
  for (const [form, preset] of [['telephone', []], ['desktop', ['--preset=desktop']]]) {
    for (const [name, url] of Object.entries(pages)) {
      const told = await score(url, preset);
      if (told.score < 100) process.exitCode = 1;
      console.log(`${told.score} ${name}, ${form} ${told.faults.join(' ')}`.trim());
      if (name === 'the player') console.log(`# Lighthouse ${told.lighthouseVersion}, ${told.hostUserAgent}`);
    }
  }
} finally {
  await server.stop();
}
