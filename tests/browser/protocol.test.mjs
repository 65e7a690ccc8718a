/** The player.js protocol with its own client library, by hand, and through our wrapper; who is told, and who is not. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildSync } from 'esbuild';
import { frameOf, withPage } from './embedder.mjs';
import { longVideo, openBrowser, parentPage, Server, sign, signExpired, until } from './support.mjs';

const CLIENT = path.resolve(import.meta.dirname, 'node_modules/player.js/dist/player-0.1.0.js');
const WRAPPER = path.resolve(import.meta.dirname, '../../static/wrapper/screener-player.ts');
let server;
let browser;
let video;

before(async () => {
  // Making it takes longer than the server keeps an idle connection.
  longVideo();
  server = await Server.serve();
  video = await server.video('private');
  const captions = Buffer.from('WEBVTT\n\n00:00.000 --> 00:20.000\nHello\n');
  for (const language of ['en-gb', 'de']) await server.admin('PUT', `/videos/${video.videoId}/captions/${language}`, captions);
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const addressOf = (parameters = {}) =>
  server.embedUrl(video, { token: sign(server.key, video.videoId), ...parameters }, 'localhost');

test('the client library of the protocol drives a private video', async () => {
  const client = fs.readFileSync(CLIENT, 'utf8');
  const html = `<script>${client}</script>${frameOf(addressOf({ t: '1' }))}
    <script>player = new playerjs.Player(document.querySelector('iframe')); isReady = false; player.on('ready', () => { isReady = true; });</script>`;
  await withPage(browser, html, async ({ page, seen }) => {
    await page.waitForFunction(() => isReady && player.isReady);
    const get = (name) => page.evaluate((name) => new Promise((resolve) => player[name](resolve)), name);
    assert.ok((await get('getDuration')) > 1, 'the duration is known as soon as the player is ready');
    assert.equal(await get('getPaused'), true);
    await page.evaluate(() => {
      events = [];
      for (const name of ['play', 'pause', 'timeupdate', 'progress', 'ended']) player.on(name, (value) => events.push({ name, value }));
      player.mute();
      player.play();
    });
    await page.waitForFunction(() => events.some(({ name, value }) => name === 'timeupdate' && value.seconds > 0 && value.duration > 1));
    assert.equal(await get('getPaused'), false);
    assert.equal(await get('getMuted'), true);
    await page.evaluate(() => { player.unmute(); player.setVolume(30); player.setLoop(true); player.setCurrentTime(2); player.pause(); });
    await page.waitForFunction(() => events.some(({ name }) => name === 'pause'));
    assert.deepEqual([await get('getMuted'), await get('getVolume'), await get('getLoop')], [false, 30, true]);
    assert.ok((await get('getCurrentTime')) >= 2);
    for (const method of ['setToken', 'setPlaybackRate', 'getQualities', 'setCaptions']) {
      assert.ok(await page.evaluate((method) => player.supports('method', method), method), method);
    }
    assert.ok(await page.evaluate(() => player.supports('event', ['tokenexpiring', 'blocked', 'autoplayblocked'])));
    assert.equal(await page.evaluate(() => player.supports('method', 'selfDestruct')), false);
    assert.deepEqual(seen.errors, []);
  });
});

test('every getter tells what its setter set', async () => {
  await withPage(browser, frameOf(addressOf()), async ({ page, hears }) => {
    await hears('ready');
    const set = async (method, value, getter, expected) => {
      await page.evaluate(([method, value]) => globalThis.say({ method, value }), [method, value]);
      assert.deepEqual(await page.evaluate((getter) => globalThis.ask(getter), getter), expected, `${method} ${value}`);
    };
    await set('setVolume', 55, 'getVolume', 55);
    await set('setVolume', 900, 'getVolume', 100);
    await set('setVolume', 'loud', 'getVolume', 100);
    await set('setVolume', -1, 'getVolume', 0);
    await set('setLoop', true, 'getLoop', true);
    await set('setLoop', 'false', 'getLoop', false);
    await set('setPlaybackRate', 1.5, 'getPlaybackRate', 1.5);
    await set('setPlaybackRate', 100, 'getPlaybackRate', 4);
    await set('setPlaybackRate', null, 'getPlaybackRate', 4);
    await set('mute', undefined, 'getMuted', true);
    await set('unmute', undefined, 'getMuted', false);
    await set('setQuality', 'nonsense', 'getQuality', 'auto');
    await set('setQuality', 'auto', 'getQuality', 'auto');
    assert.ok(Array.isArray(await page.evaluate(() => globalThis.ask('getQualities'))));
    const captions = (await page.evaluate(() => globalThis.ask('getCaptions'))).map(({ language }) => language).sort();
    assert.deepEqual(captions, ['de', 'en-gb']);
    const showing = async () => (await page.evaluate(() => globalThis.ask('getCaptions'))).filter((track) => track.showing).map(({ language }) => language);
    await page.evaluate(() => globalThis.listen('captionschange'));
    for (const [wanted, shown] of [['de', 'de'], ['EN', 'en-gb'], ['fr', 'en-gb'], ['off', 'off']]) {
      await page.evaluate((value) => globalThis.say({ method: 'setCaptions', value }), wanted);
      assert.deepEqual(await showing(), shown === 'off' ? [] : [shown], wanted);
    }
    await page.waitForFunction(() => globalThis.heard.findLast(({ event }) => event === 'captionschange')?.value.captions === 'off');
  });
});

test('what happens is told to those who listen, and to no one else', async () => {
  await withPage(browser, frameOf(addressOf()), async ({ page, hears }) => {
    const ready = await hears('ready');
    assert.ok(ready.events.includes('timeupdate') && ready.methods.includes('addEventListener'));
    await page.evaluate(() => {
      globalThis.listen('play', 'seeked', 'volumechange', 'playbackratechange', 'ended', 'timeupdate', 'error', 'nonsense');
      for (const message of [{ method: 'mute' }, { method: 'setPlaybackRate', value: 2 }, { method: 'play' }]) globalThis.say(message);
    });
    for (const event of ['play', 'volumechange', 'playbackratechange', 'timeupdate']) await hears(event);
    const duration = await page.evaluate(() => globalThis.ask('getDuration'));
    await page.evaluate((value) => globalThis.say({ method: 'setCurrentTime', value }), duration - 0.3);
    await hears('seeked');
    await hears('ended');
    assert.deepEqual(await hears('playbackratechange'), { playbackRate: 2 });
    assert.equal((await hears('volumechange')).muted, true);
    await page.evaluate(() => globalThis.say({ method: 'selfDestruct' }));
    assert.equal((await hears('error')).code, 2);
    // `pause` was never asked for, though the player has paused at its end.
    const heard = await page.evaluate(() => globalThis.heard);
    assert.ok(!heard.some(({ event }) => event === 'pause' || event === 'nonsense'));
    for (const { context, version, isFrame, origin } of heard) {
      assert.deepEqual([context, version, isFrame, origin], ['player.js', '0.0.11', true, `https://localhost:${server.port}`]);
    }
    // No listener named: all of the event's are forgotten.
    await page.evaluate(() => {
      globalThis.say({ method: 'removeEventListener', value: 'seeked' });
      globalThis.heard.length = 0;
      globalThis.listen('timeupdate');
      globalThis.say({ method: 'setCurrentTime', value: 1 });
    });
    await hears('timeupdate');
    assert.equal(await page.evaluate(() => globalThis.first('seeked')), undefined);
  });
});

test('the page hears when the player fills the screen', async () => {
  await withPage(browser, frameOf(addressOf()), async ({ page, hears }) => {
    await hears('ready');
    await page.evaluate(() => globalThis.listen('fullscreenchange'));
    await page.frames()[1].locator('html').evaluate((html) => html.requestFullscreen());
    assert.deepEqual(await hears('fullscreenchange'), { fullscreen: true });
    await page.frames()[1].evaluate(() => document.exitFullscreen());
    await page.waitForFunction(() => globalThis.heard.some(({ event, value }) => event === 'fullscreenchange' && !value.fullscreen));
  });
});

test('while a long video loads, the page hears how far', async () => {
  const long = await server.video('public', { file: longVideo() });
  await withPage(browser, frameOf(server.embedUrl(long, {}, 'localhost')), async ({ page, hears }) => {
    await hears('ready');
    await page.evaluate(() => {
      globalThis.listen('progress');
      for (const method of ['mute', 'play']) globalThis.say({ method });
    });
    // The first may come before anything is there.
    const isFar = ({ event, value }) => event === 'progress' && value.seconds > 0;
    await page.waitForFunction(`globalThis.heard.some(${isFar})`);
    const { seconds, duration, percent } = (await page.evaluate(`globalThis.heard.find(${isFar})`)).value;
    assert.ok(seconds > 0 && seconds <= duration && duration > 179, `${seconds} of ${duration}`);
    assert.ok(Math.abs(percent - seconds / duration) < 0.001);
  });
});

test('who listens late is told that the player is ready', async () => {
  await withPage(browser, frameOf(addressOf()), async ({ page, hears }) => {
    await hears('ready');
    await page.evaluate(() => {
      globalThis.heard.length = 0;
      globalThis.listen('ready');
    });
    await hears('ready');
    assert.equal(await page.evaluate(() => globalThis.first('ready').listener), 'test');
  });
});

test('a token is told to nobody but the page that sent the frame there', async () => {
  const src = addressOf({ loop: '1' });
  const withoutToken = new URL(src);
  withoutToken.searchParams.delete('token');
  // The page itself.
  await withPage(browser, frameOf(src), async ({ hears }) => assert.equal((await hears('ready')).src, src));
  // A page that keeps its address back: nothing says that it was the one.
  const silent = frameOf(src, 'referrerpolicy="no-referrer"');
  await withPage(browser, silent, async ({ hears }) => assert.equal((await hears('ready')).src, withoutToken.href));
  // A page whose frame was sent there by the other page that stood in it.
  const between = await parentPage(`<script>location.replace(${JSON.stringify(src)})</script>`);
  try {
    await withPage(browser, frameOf(`http://localhost:${between.port}/`), async ({ page, hears }) => {
      assert.equal((await hears('ready')).src, withoutToken.href);
      await page.evaluate(() => {
        globalThis.heard.length = 0;
        globalThis.listen('ready');
      });
      await hears('ready');
      const heard = await page.evaluate(() => JSON.stringify(globalThis.heard));
      assert.ok(!heard.includes('eyJ'), heard);
    });
  } finally {
    between.close();
  }
});

test('windows other than the parent are not heard', async () => {
  await withPage(browser, `${frameOf(addressOf())}<iframe name="stranger" srcdoc="<p>"></iframe>`, async ({ page, hears }) => {
    await hears('ready');
    const before = await page.evaluate(() => globalThis.ask('getVolume'));
    await page.evaluate(() => {
      const script = frames.stranger.document.createElement('script');
      script.textContent = `parent.frames[0].postMessage(JSON.stringify({ context: 'player.js', method: 'setVolume', value: 7 }), '*');
        parent.frames[0].postMessage(JSON.stringify({ context: 'player.js', method: 'getVolume', listener: 'stranger' }), '*')`;
      frames.stranger.document.body.append(script);
    });
    // Messages from one process arrive in order, so an answer to a later question says that the earlier ones are through.
    assert.equal(await page.evaluate(() => globalThis.ask('getVolume')), before);
    for (const frame of [page.mainFrame(), page.frames().find((frame) => frame.name() === 'stranger')]) {
      assert.ok(!(await frame.evaluate(() => JSON.stringify(globalThis.heard))).includes('stranger'), 'a stranger was answered');
    }
  });
});

test('nonsense and floods leave the player playing', async () => {
  await withPage(browser, frameOf(addressOf()), async ({ page, hears }) => {
    await hears('ready');
    await page.evaluate(() => {
      const frame = globalThis.frames[0];
      for (const text of ['', '{', 'null', '1', '[]', '"x"', '{"method":{}}', '{"method":"__proto__"}', '{"method":"constructor"}', 'x'.repeat(100_000)]) frame.postMessage(text, '*');
      for (const value of [null, undefined, 1, {}, [], { method: 'setVolume', value: {} }, { context: 'other', method: 'setVolume', value: 3 }]) frame.postMessage(value, '*');
      for (const value of [{}, [], '', 'x'.repeat(9000), 5]) globalThis.say({ method: 'setToken', value });
      // Listeners that could not be told back: no JSON, or too much of it.
      const cyclic = {};
      cyclic.self = cyclic;
      for (const listener of [cyclic, 1n, { a: 1 }, 'x'.repeat(10_000), new ArrayBuffer(10_000_000)]) {
        for (const method of ['addEventListener', 'getVolume']) {
          frame.postMessage({ context: 'player.js', version: '0.0.11', method, value: 'play', listener }, '*');
        }
      }
      for (let i = 0; i < 1000; i++) globalThis.say({ method: 'addEventListener', value: 'play', listener: i });
    });
    // The rate is measured by the second; afterwards the player answers again.
    const answered = until('an answer', () => page.evaluate(() => Promise.race([globalThis.ask('getVolume'), new Promise((resolve) => setTimeout(resolve, 300))])));
    assert.equal(await answered, 100);
    await page.evaluate(() => globalThis.say({ method: 'play' }));
    await page.waitForFunction(() => globalThis.heard.filter(({ event }) => event === 'play').length > 0);
    assert.ok((await page.evaluate(() => globalThis.heard.filter(({ event }) => event === 'play').length)) <= 100);
  });
});

test('a blocked page says why, and takes a token', async () => {
  const src = server.embedUrl(video, { token: signExpired(server.key, video.videoId) }, 'localhost');
  await withPage(browser, frameOf(src), async ({ page, hears }) => {
    assert.deepEqual(await hears('blocked'), { reason: 'playback_token_expired', status: 401 });
    assert.equal(await page.evaluate(() => globalThis.first('ready')), undefined);
    await page.evaluate((value) => globalThis.say({ method: 'setToken', value }), sign(server.key, video.videoId));
    await hears('ready');
    assert.ok((await page.evaluate(() => globalThis.ask('getDuration'))) > 1);
  });
});

/** A page that makes its player with our module, from another origin, as the documentation shows. */
function wrapped(script) {
  const [{ text }] = buildSync({ entryPoints: [WRAPPER], bundle: true, minify: true, write: false, format: 'esm', target: 'es2022' }).outputFiles;
  const module = text.replace(/export\{(\w+) as ScreenerPlayer\};?\s*$/, 'globalThis.ScreenerPlayer=$1;');
  return `<div id="place"></div><script type="module">${module}\n${script}</script>`;
}

test('the wrapper makes a frame and drives it by promises', async () => {
  const options = { embedId: video.embedId, token: sign(server.key, video.videoId), origin: `https://localhost:${server.port}`, title: 'Lesson 1', parameters: { t: 1, muted: true } };
  await withPage(browser, wrapped(`globalThis.player = ScreenerPlayer.create(place, ${JSON.stringify(options)});`), async ({ page, seen }) => {
    await page.waitForFunction(() => globalThis.player);
    const told = await page.evaluate(async () => {
      const { player } = globalThis;
      const played = new Promise((resolve) => player.on('timeupdate', resolve));
      await player.ready;
      await player.setVolume(40);
      const before = [await player.getVolume(), await player.getPaused(), (await player.getDuration()) > 1, await player.getMuted()];
      await player.play();
      const { seconds } = await played;
      const unheard = () => { throw new Error('still listening'); };
      player.on('pause', unheard).off('pause', unheard);
      await player.pause();
      return { before, seconds, title: player.iframe.title, paused: await player.getPaused() };
    });
    assert.deepEqual(told.before, [40, true, true, true]);
    assert.equal(typeof told.seconds, 'number');
    assert.deepEqual([told.title, told.paused], ['Lesson 1', true]);
    await page.evaluate(() => globalThis.player.destroy());
    assert.deepEqual(seen.errors, []);
  });
});

test('the wrapper takes over a frame that is there, and several may share it', async () => {
  const script = `const iframe = document.querySelector('iframe');
    globalThis.players = [1, 2].map(() => new ScreenerPlayer(iframe));
    Promise.all(players.map((player) => player.ready)).then(async () => {
      globalThis.told = await Promise.all([...players, ...players].map((player) => player.getVolume()));
    });`;
  await withPage(browser, `${frameOf(addressOf())}`, async ({ page, hears }) => {
    await hears('ready');
    await page.evaluate((html) => document.body.append(document.createRange().createContextualFragment(html)), wrapped(script));
    await page.waitForFunction(() => globalThis.told);
    assert.deepEqual(await page.evaluate(() => globalThis.told), [100, 100, 100, 100]);
  });
});

test('the wrapper fetches a token when the first is refused, and asks once', async () => {
  const create = (tokens) => wrapped(`globalThis.asked = 0; globalThis.reasons = [];
    globalThis.player = ScreenerPlayer.create(place, {
      embedId: '${video.embedId}', token: '${signExpired(server.key, video.videoId)}', origin: 'https://localhost:${server.port}',
      onTokenExpiring: async () => (${JSON.stringify(tokens)})[globalThis.asked++],
    });
    player.on('blocked', ({ reason }) => reasons.push(reason));
    player.ready.then(() => { globalThis.isReady = true; });`);
  await withPage(browser, create([sign(server.key, video.videoId)]), async ({ page }) => {
    await page.waitForFunction(() => globalThis.isReady);
    assert.equal(await page.evaluate(() => globalThis.asked), 1);
  });
  const bad = signExpired(server.key, video.videoId);
  await withPage(browser, create([bad, bad, bad, bad]), async ({ page }) => {
    await page.waitForFunction(() => globalThis.reasons?.filter((reason) => reason === 'playback_token_expired').length >= 2);
    assert.deepEqual(await page.evaluate(() => [globalThis.asked, globalThis.isReady]), [1, undefined]);
  });
});
