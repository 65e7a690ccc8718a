/** What the player reads out of its address: ours, other vendors', and nothing out of nonsense. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildSync } from 'esbuild';
import { openBrowser } from './support.mjs';

const SOURCE = path.resolve(import.meta.dirname, '../../static/player/parameters.ts');
let browser;
let page;

before(async () => {
  browser = await openBrowser();
  ({ page } = await browser.page());
  const [{ text }] = buildSync({ entryPoints: [SOURCE], bundle: true, write: false, format: 'iife', globalName: 'parameters' }).outputFiles;
  // Chromium's own URL and CSS: Node has no CSS.
  await page.addScriptTag({ content: text });
});

after(() => browser?.close());

/** Reads every query at once. */
const wishesOf = (queries) => page.evaluate(
  (queries) => queries.map((query) => parameters.readWishes(new URL(`https://video.example.com/embed/x${query}`))),
  queries,
);

/** Each query against what it has to give. */
async function assertWishes(expected) {
  const read = await wishesOf(expected.map(([query]) => query));
  expected.forEach(([query, wishes], i) => assert.deepEqual(read[i], wishes, query));
}

test('an address that asks for nothing leaves everything as it is', async () => {
  await assertWishes([['', {}], ['?token=x.y.z', {}], ['?unknown=1&utm_source=a', {}], ['?&&=&=1', {}]]);
});

test('a flag is on by being there, and off in words', async () => {
  const flags = ['muted', 'loop', 'controls', 'speed', 'resume', 'keyboard', 'pip', 'title', 'autoplay'];
  const on = ['', '=', '=1', '=true', '=TRUE', '=yes', '=on'];
  const off = ['=0', '=false', '=False', '=no', '=off'];
  const neither = ['=2', '=null', '=undefined', '=%00', '=truefalse'];
  await assertWishes(flags.flatMap((flag) => [
    ...on.map((text) => [`?${flag}${text}`, { [flag]: true }]),
    ...off.map((text) => [`?${flag}${text}`, { [flag]: false }]),
    ...neither.map((text) => [`?${flag}${text}`, {}]),
  ]));
});

test('autoplay may be asked for without sound', async () => {
  await assertWishes([
    ['?autoplay=muted', { autoplay: 'muted', muted: true }],
    ['?autoplay=Muted&muted=0', { autoplay: 'muted', muted: false }],
    ['?autoplay=any', { autoplay: true }],
  ]);
});

test('a time is seconds, units or a clock', async () => {
  const times = [
    ['90', 90], ['90s', 90], ['1m30s', 90], ['1M30S', 90], ['1h2m3s', 3723], ['2m', 120], ['1h', 3600], ['0', 0],
    ['12.5', 12.5], ['1:30', 90], ['1:02:03', 3723], [' 7 ', 7],
  ];
  await assertWishes(times.map(([text, startSeconds]) => [`?t=${encodeURIComponent(text)}`, { startSeconds }]));
  const bad = ['', '-5', 'abc', '1e9', 'Infinity', 'NaN', '1s2h', '10 20', '0x10', '1:2:3:4', ':', 's', '99999999999'];
  await assertWishes(bad.map((text) => [`?t=${encodeURIComponent(text)}`, {}]));
});

test('an end comes after its start', async () => {
  await assertWishes([
    ['?t=10&end=20', { startSeconds: 10, endSeconds: 20 }],
    ['?end=5', { endSeconds: 5 }],
    ['?t=20&end=10', { startSeconds: 20 }],
    ['?t=20&end=20', { startSeconds: 20 }],
    ['?end=0', {}],
    ['#t=10', { startSeconds: 10 }],
    ['#t=10,20', { startSeconds: 10, endSeconds: 20 }],
    ['?t=3#t=10', { startSeconds: 3 }],
  ]);
});

test('only a plain colour is a colour', async () => {
  await assertWishes([
    ['?color=%23ff0088', { color: '#ff0088' }], ['?color=FF0088', { color: '#ff0088' }], ['?color=f08', { color: '#f08' }],
    ['?color=f08c', { color: '#f08c' }], ['?color=ff0088cc', { color: '#ff0088cc' }],
    ['?color=RebeccaPurple', { color: 'rebeccapurple' }], ['?color=red', { color: 'red' }],
    ['?color=rgb(1,2,3)', { color: 'rgb(1,2,3)' }], ['?color=rgba(1,2,3,.5)', { color: 'rgba(1,2,3,.5)' }],
    ['?color=rgb(1%202%203%20/%2050%25)', { color: 'rgb(1 2 3 / 50%)' }], ['?color=hsl(120,50%25,50%25)', { color: 'hsl(120,50%,50%)' }],
    ...[
      '#ff', 'ff008', 'nocolour', 'inherit', 'currentColor', 'transparent', 'url(//evil.example)', 'red;background:url(x)',
      'red}*{', 'var(--x)', 'rgb(1,2,3);x', 'rgb(a,b,c)', 'expression(1)', 'rgb()', '', '<b>', 'red/**/', '\\72 ed', 'color(srgb 1 0 0)',
    ].map((text) => [`?color=${encodeURIComponent(text)}`, {}]),
  ]);
});

test('rates, qualities, languages and preloading have bounds', async () => {
  await assertWishes([
    ['?rate=1.5', { rate: 1.5 }], ['?rate=0.25', { rate: 0.25 }], ['?rate=4', { rate: 4 }],
    ...['0', '0.1', '5', '-1', 'fast', '1e0', ''].map((text) => [`?rate=${text}`, {}]),
    ['?quality=720', { quality: 720 }], ['?quality=1080p', { quality: 1080 }], ['?quality=4K', { quality: 2160 }],
    ['?quality=auto', { quality: 'auto' }], ...['1', '-720', 'hd', '72000', ''].map((text) => [`?quality=${text}`, {}]),
    ['?captions=pt-BR', { captions: 'pt-BR' }], ['?captions=off', { captions: 'off' }], ['?captions=0', { captions: 'off' }],
    ...['1', 'on', 'e', '../x', 'en%22%3E', ''].map((text) => [`?captions=${text}`, {}]),
    ['?lang=zh-Hant-TW', { lang: 'zh-Hant-TW' }], ['?lang=%3Cb%3E', {}],
    ['?preload=none', { preload: 'none' }], ['?preload=AUTO', { preload: 'auto' }], ['?preload', { preload: 'auto' }],
    ['?preload=some', {}],
  ]);
});

test('a background moves in silence, whatever else is asked', async () => {
  const background = { background: true, autoplay: 'muted', muted: true, loop: true, controls: false };
  await assertWishes([
    ['?background=1', background],
    ['?background&muted=0&controls=1&loop=0&autoplay=0', background],
    ['?background=0', { background: false }],
  ]);
});

test('snippets of other vendors are understood', async () => {
  await assertWishes([
    // YouTube
    ['?autoplay=1&mute=1&loop=1&playlist=x&start=30&end=60&cc_lang_pref=fr&hl=de&disablekb=1&controls=0', {
      autoplay: true, muted: true, loop: true, startSeconds: 30, endSeconds: 60, captions: 'fr', lang: 'de', keyboard: false,
      controls: false,
    }],
    // Vimeo
    ['?start_time=10&end_time=1m&texttrack=en.captions&color=00adef&initial_quality=720p&keyboard=0&pip=0&speed=1&preload=metadata_on_hover', {
      startSeconds: 10, endSeconds: 60, captions: 'en', color: '#00adef', quality: 720, keyboard: false, pip: false,
      speed: true, preload: 'metadata',
    }],
    // Mux
    ['?start-time=5&accent-color=%23fa50b5&max-resolution=1080p&playbackrate=1.25&nohotkeys&default-hidden-captions=true', {
      startSeconds: 5, color: '#fa50b5', quality: 1080, rate: 1.25, keyboard: false, captions: 'off',
    }],
    // Cloudflare Stream
    ['?startTime=1h12m27s&defaultTextTrack=es&primaryColor=coral&muted=true&preload=true', {
      startSeconds: 4347, captions: 'es', color: 'coral', muted: true, preload: 'auto',
    }],
    // Bunny Stream
    ['?t=30s&showSpeed=true&rememberPosition=false&captions=EN&autoplay=false', {
      startSeconds: 30, speed: true, resume: false, captions: 'EN', autoplay: false,
    }],
  ]);
});

test('ours goes before theirs, unless it can not be read', async () => {
  await assertWishes([
    ['?start=5&t=9', { startSeconds: 9 }],
    ['?start=5&t=x', { startSeconds: 5 }],
    ['?t=1&t=2', { startSeconds: 1 }],
    ['?disablekb=1&keyboard=1', { keyboard: true }],
  ]);
});
