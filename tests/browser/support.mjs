/**
 * What every browser test stands on: the real binary, a real Chromium, and a page that is watched from its first
 * request on. Needs SCREENER_BIN or target/release/screener, and CHROMIUM or /usr/bin/chromium.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { chromium } from 'playwright-core';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BINARY = process.env.SCREENER_BIN ?? path.join(ROOT, 'target/release/screener');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const PICTURES = path.join(ROOT, 'target/browser');
const LOGS = path.join(ROOT, 'target/tmp/logs');
const SAMPLE = path.join(ROOT, 'static/sample.mp4');
/** Long enough for a busy machine, short enough to notice a hang. */
export const PATIENCE_MS = 30_000;

fs.mkdirSync(PICTURES, { recursive: true });
fs.mkdirSync(LOGS, { recursive: true });

const seconds = () => Math.floor(Date.now() / 1000);

/** A viewer token made by hand; `changes` are laid over the claims. */
export function sign(key, video, changes = {}) {
  const claims = { sub: video, iat: seconds(), exp: seconds() + 300, ...changes };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', kid: key.id })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', key.secret).update(signed).digest('base64url')}`;
}

/** A token that expired a minute ago. */
export const signExpired = (key, video) => sign(key, video, { iat: seconds() - 120, exp: seconds() - 60 });

/** Looks again and again until `condition` answers something true. */
export async function until(what, condition, limitMs = PATIENCE_MS) {
  const began = performance.now();
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (performance.now() - began > limitMs) assert.fail(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** One running server. */
export class Server {
  /** `screener demo --json`: two videos, a key, a token. */
  static async demo(...options) {
    const directory = temporaryDirectory();
    const listen = ['--listen', '127.0.0.1:0', '--state-dir', path.join(directory, 'state')];
    const server = new Server(directory, ['demo', '--json', ...listen, ...options]);
    const made = JSON.parse(await server.firstLine);
    server.adopt(made.baseUrl, made.caCertificate, made.privateKey);
    return Object.assign(server, { made, key: made.signingKey, publishableKey: made.publishableKey });
  }

  /** `screener init` and `screener serve`, and nothing after: token access is off, there is no signing key. */
  static async empty({ config = '', environment = {} } = {}) {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'config.toml');
    const state = path.join(directory, 'state');
    fs.writeFileSync(file, `[server]\nlisten = "127.0.0.1:0"\n[state]\ndir = "${state}"\n${config}`);
    const keys = JSON.parse(execFileSync(BINARY, ['init', '--json', '--config', file]));
    const server = new Server(directory, ['serve', '--config', file], environment);
    server.adopt(await server.serving, path.join(state, 'tls/ca.pem'), keys.privateKey);
    server.publishableKey = keys.publishableKey;
    return server;
  }

  /** The same with token access on and one signing key. */
  static async serve(options = {}) {
    const server = await Server.empty(options);
    await server.admin('PATCH', '/organization', { tokenAccess: true });
    server.key = await server.admin('POST', '/signing-keys', {});
    return server;
  }

  constructor(directory, command, environment = {}) {
    this.directory = directory;
    this.log = path.join(LOGS, `browser-${path.basename(directory)}.log`);
    this.start = () => this.#run(command, environment);
    this.start();
  }

  #run(command, environment) {
    this.process = spawn(BINARY, command, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve) => this.process.once('exit', resolve));
    const died = this.ended.then((code) => {
      throw new Error(`the server ended with ${code}: ${fs.readFileSync(this.log, 'utf8')}`);
    });
    died.catch(() => {});
    const log = fs.createWriteStream(this.log, { flags: 'a' });
    const lines = createInterface(this.process.stderr);
    lines.on('line', (line) => log.write(`${line}\n`));
    this.serving = Promise.race([
      died,
      new Promise((resolve) => lines.on('line', (line) => {
        const event = line.includes('"message":"serving"') && JSON.parse(line);
        if (event) resolve(event.base_url);
      })),
    ]);
    this.firstLine = Promise.race([
      died,
      new Promise((resolve) => createInterface(this.process.stdout).once('line', resolve)),
    ]);
    this.serving.catch(() => {});
    this.firstLine.catch(() => {});
  }

  /** As when the power fails: killed without a word, and started again, on another port. */
  async crash() {
    this.process.kill('SIGKILL');
    await this.ended;
    this.start();
    this.adopt(await this.serving, this.ca, this.privateKey);
  }

  adopt(baseUrl, ca, privateKey) {
    this.baseUrl = baseUrl;
    this.port = new URL(baseUrl).port;
    this.ca = ca;
    this.agent = new https.Agent({ ca: fs.readFileSync(ca), keepAlive: true });
    this.privateKey = privateKey;
  }

  /** Status, headers and parsed body of any request. */
  async request(method, url, headers = {}, body = undefined) {
    try {
      return await this.#requestOnce(method, url, headers, body);
    } catch (failure) {
      // The server closed a connection that had been idle for too long, just as it was taken up again.
      if (failure.code !== 'ECONNRESET' || !failure.wasReused) throw failure;
      return this.#requestOnce(method, url, headers, body);
    }
  }

  #requestOnce(method, url, headers, body) {
    return new Promise((resolve, reject) => {
      const request = https.request(new URL(url, this.baseUrl), { method, headers, agent: this.agent }, async (response) => {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode, headers: response.headers, body: text && JSON.parse(text) });
      });
      request.on('error', (failure) => reject(Object.assign(failure, { wasReused: request.reusedSocket })));
      request.end(body);
    });
  }

  /** A call of the admin API that has to succeed. */
  async admin(method, route, body = undefined) {
    const headers = { authorization: `Bearer ${this.privateKey}` };
    const isJson = body && !Buffer.isBuffer(body);
    if (isJson) headers['content-type'] = 'application/json';
    const answer = await this.request(method, `/admin/v1${route}`, headers, isJson ? JSON.stringify(body) : body);
    assert.ok(answer.status < 300, `${method} ${route}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** A video that nothing has been uploaded for. */
  async pendingVideo(visibility, title = 'A test video') {
    const { id, embedId } = await this.admin('POST', '/videos', { title, visibility });
    return { videoId: id, embedId, title };
  }

  /** Uploads the sample, or the file given. */
  upload(video, file = SAMPLE) {
    return this.admin('PUT', `/videos/${video.videoId}/source`, fs.readFileSync(file));
  }

  /** A video with a source: the sample, or the file given. */
  async video(visibility, { title, file } = {}) {
    const video = await this.pendingVideo(visibility, title);
    await this.upload(video, file);
    return video;
  }

  /** What the playback API answers, with a viewer token or without. */
  playback(video, token = undefined) {
    const headers = { authorization: `Bearer ${this.publishableKey}`, ...(token && { 'x-moviie-playback-token': token }) };
    return this.request('GET', `/api/v1/embeds/${video.embedId}/playback`, headers);
  }

  /**
   * Options of a browser that takes this server's certificate for a good one. Where its errors are merely ignored,
   * Chromium caches nothing.
   */
  async trusted() {
    const socket = tls.connect({ host: '127.0.0.1', port: this.port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const key = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' });
    socket.destroy();
    const hash = createHash('sha256').update(key).digest('base64');
    return { ignoreHTTPSErrors: false, flags: [`--ignore-certificate-errors-spki-list=${hash}`] };
  }

  /** Adds a quality that is cut where the source is. */
  async rendition(video, label, file) {
    await this.packaged(video);
    const { alignment } = await this.admin('PUT', `/videos/${video.videoId}/renditions/${label}`, fs.readFileSync(file));
    assert.deepEqual(alignment, { aligned: true, problems: [] });
  }

  /** Waits until the video plays in segments. */
  packaged(video) {
    return until('the video is packaged', async () => (await this.admin('GET', `/videos/${video.videoId}`)).status === 'ready');
  }

  /** The address of an embed page, on the loopback address or another name of this machine. */
  embedUrl(video, parameters = {}, host = '127.0.0.1') {
    const url = new URL(`https://${host}:${this.port}/embed/${video.embedId}`);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.ended;
    fs.rmSync(this.directory, { recursive: true, force: true });
    const log = fs.readFileSync(this.log, 'utf8');
    assert.ok(!log.includes('panicked at'), `the server panicked: ${this.log}`);
  }
}

/** A page of somebody else's that embeds what it is told to, over plain HTTP on another port. */
export async function parentPage(html) {
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><meta charset="utf-8"><title>A site</title><body>${html}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, close: () => server.close() };
}

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** A browser with a new profile. `preferences` are written into it before the first start; `flags` are added. */
export async function openBrowser({ preferences = {}, flags = [], ...options } = {}) {
  const profile = temporaryDirectory();
  fs.mkdirSync(path.join(profile, 'Default'));
  fs.writeFileSync(path.join(profile, 'Default/Preferences'), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: [...FLAGS, ...flags],
    ignoreHTTPSErrors: true,
    viewport: { width: 960, height: 540 },
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return {
    context,
    /** A new page with what it did wrong so far. */
    async page() {
      const page = await context.newPage();
      return { page, seen: await watch(page) };
    },
    async close() {
      await context.close();
      fs.rmSync(profile, { recursive: true, force: true });
    },
  };
}

async function watch(page) {
  const seen = { errors: [], requests: [], violations: [] };
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('request', (request) => seen.requests.push(request.url()));
  await page.exposeFunction('reportViolation', (violation) => seen.violations.push(violation));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return seen;
}

/** No console error, no violated policy, no request to another host. */
export function assertClean(seen, baseUrl) {
  assert.deepEqual(seen.errors, []);
  assert.deepEqual(seen.violations, []);
  const strangers = seen.requests.filter((url) => url.startsWith('http') && !url.startsWith(`${baseUrl}/`));
  assert.deepEqual(strangers, []);
}

/**
 * A player that can be operated: its page, what that did wrong so far, and its video. `prepare` is handed the page before
 * it goes there.
 */
export async function openPlayer(browser, url, { hasBar = true, prepare = () => {} } = {}) {
  const { page, seen } = await browser.page();
  await prepare(page);
  await page.goto(url);
  const video = page.locator('#video');
  await until('metadata', () => video.evaluate((video) => video.readyState >= video.HAVE_METADATA));
  if (hasBar) await page.locator('media-controller .bar').waitFor();
  return { page, seen, video };
}

/** The bar goes away while nothing moves. */
export async function stir(page) {
  await page.mouse.move(400, 200);
  await page.mouse.move(420, 220);
}

/** Chooses in the menu, as a viewer does, of a page or of a frame in it. Answers what the menu's row said before. */
export async function choose(page, row, choice, frame = page) {
  await stir(page);
  await frame.locator('.settings').click();
  const item = frame.getByRole('menuitem', { name: row });
  const said = await item.textContent();
  await item.click();
  await frame.getByRole('menuitemradio', { name: choice, exact: true }).click();
  return said;
}

/** What the video of a page or frame says of itself. */
export const stateOf = (frame) => frame.locator('#video').evaluate((video) => ({
  currentTime: video.currentTime,
  frames: video.getVideoPlaybackQuality().totalVideoFrames,
  audioBytes: video.webkitAudioDecodedByteCount,
  paused: video.paused,
  ended: video.ended,
  error: video.error && `${video.error.code} ${video.error.message}`,
}));

/**
 * Presses play as a viewer would, and waits until pictures move. Without our script nothing is fetched before that, and
 * the browser's own play button is at the lower left.
 */
export async function play(frame, { isScripted = true } = {}) {
  const video = frame.locator('#video');
  if (isScripted) {
    await until('metadata', () => video.evaluate((video) => video.readyState >= video.HAVE_METADATA));
    await video.click();
  } else {
    const { height } = await video.boundingBox();
    await video.click({ position: { x: 32, y: height - 52 } });
  }
  return moves(frame);
}

/** Waits until the time advances and frames are decoded. */
export async function moves(frame) {
  const before = await stateOf(frame);
  return until('the picture moves', async () => {
    const now = await stateOf(frame);
    return now.currentTime > before.currentTime + 0.3 && now.frames > before.frames && now;
  });
}

/** The blocked page, with what it must not hold. */
export async function assertBlocked(page, code, title = 'A private video') {
  const panel = page.locator('#blocked');
  await panel.waitFor();
  assert.equal(await panel.getAttribute('data-code'), code);
  assert.equal(await page.locator('video').count(), 0);
  const html = await page.content();
  assert.ok(!html.includes(title), 'the page of a blocked video tells its title');
  assert.ok(!html.includes('/media/'), 'the page of a blocked video has an asset URL');
}

/** A source that is too long to be fetched at once: noise, so that it can't be compressed away. Made once. */
export function longVideo() {
  const file = path.join(PICTURES, 'long.mp4');
  if (fs.existsSync(file)) return file;
  const made = `${file}.${process.pid}.mp4`;
  execFileSync('ffmpeg', [
    '-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=330',
    '-t', '180', '-vf', 'noise=alls=60:allf=t', '-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '2',
    '-b:v', '5M', '-maxrate', '5M', '-bufsize', '5M', '-g', '50', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '96k',
    '-movflags', '+faststart', made,
  ]);
  fs.renameSync(made, file);
  return file;
}

export function temporaryDirectory() {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'screener-browser-'));
}

/** A source as encoders for the web make it, three minutes long: a keyframe every two seconds, 400 kbit/s. Made once. */
export const gopVideo = () => encoded('gop.mp4', '640x360', '400k');

/** The same in a lower quality, cut at the same places. */
export const lowVideo = () => encoded('gop-low.mp4', '320x180', '120k');

/** One segment of it. */
export const briefVideo = () => encoded('brief.mp4', '640x360', '400k', 1.5);

function encoded(name, size, rate, seconds = 180) {
  const file = path.join(PICTURES, name);
  if (fs.existsSync(file)) return file;
  const made = `${file}.${process.pid}.mp4`;
  execFileSync('ffmpeg', [
    '-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30', '-f', 'lavfi', '-i', 'sine=frequency=330',
    '-t', `${seconds}`, '-s', size, '-c:v', 'libx264', '-preset', 'veryfast', '-threads', '2', '-b:v', rate, '-maxrate', rate,
    '-bufsize', rate, '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac',
    '-b:a', '96k', '-movflags', '+faststart', made,
  ]);
  fs.renameSync(made, file);
  return file;
}
