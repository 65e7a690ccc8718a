/**
 * The first segments, appended by hand: a picture stands before the library has come that plays the rest. It then takes
 * over the MediaSource with all that is in it.
 */

import type { Engine } from './engine';

/** Ahead of what is shown, where the library takes its time. */
const AHEAD_SECONDS = 30;
/** Where no frame is ever presented (a page in the background, only sound) nothing waits for one longer than this. */
const FRAME_PATIENCE_MS = 1500;
/** Until an answer begins, and until it ends: what takes longer is left to the library, which has the same limits. */
const ANSWER_MS = 10_000;
const FETCH_MS = 120_000;
const SOUND = /^(?:mp4a|ac-3|ec-3|fLaC|Opus)\b/i;

type Source = typeof MediaSource;

/** MSE, or what iPhones have instead. */
export const mediaSource = (): Source | undefined =>
  (globalThis as { ManagedMediaSource?: Source }).ManagedMediaSource ?? globalThis.MediaSource;

/** What the library is given to go on with. */
export interface Opened {
  readonly media: HTMLVideoElement;
  readonly mediaSource: MediaSource;
  /** By hls.js' name for what is in it; absent where nothing was opened. */
  readonly tracks?: Record<string, { id: 'main'; container: string; codec: string; buffer: SourceBuffer; listeners: [] }>;
}

export class Opening {
  /** Resolves when the first frame stands, or there is none to wait for. */
  readonly shown: Promise<void>;
  readonly #engine: Engine;
  readonly #source: MediaSource;
  readonly #end = new AbortController();
  /** Ends what is under way and never rejects. */
  readonly #fed: Promise<void>;
  #tracks: Opened['tracks'];
  #hasFailed = false;
  #isEnding = false;

  /** Gives the video a source. Begins to fill it from where playing begins, unless `isEmpty`. */
  constructor(engine: Engine, Source: Source, isEmpty: boolean) {
    this.#engine = engine;
    const { video } = engine;
    const source = (this.#source = new Source());
    // Its managed kind opens only where playing is not sent to another device.
    if (Source !== globalThis.MediaSource) video.disableRemotePlayback = true;
    const isOpen = new Promise((resolve) => {
      source.addEventListener('sourceopen', resolve, { once: true });
      setTimeout(resolve, ANSWER_MS);
    });
    video.src = URL.createObjectURL(source);
    const plan = isEmpty ? undefined : planOf(engine);
    let tell = () => {};
    this.shown = plan ? new Promise((resolve) => (tell = resolve)) : Promise.resolve();
    this.#fed = plan ? this.#feed(plan, isOpen, tell).finally(tell) : Promise.resolve();
  }

  /** Ends when the segment that is under way is in. Undefined if this source is of no use. */
  async handOver(): Promise<Opened | undefined> {
    this.#isEnding = true;
    await this.#fed;
    const { video: media } = this.#engine;
    if (this.#hasFailed || media.error) return undefined;
    // A segment that was cut short would take the next one for its rest.
    if (this.#source.readyState === 'open') for (const { buffer } of Object.values(this.#tracks ?? {})) buffer.abort();
    return { media, mediaSource: this.#source, ...(this.#tracks && { tracks: this.#tracks }) };
  }

  /** Drops everything. */
  abandon(): void {
    this.#isEnding = true;
    this.#end.abort();
  }

  async #feed({ name, codec, init, segments }: Plan, isOpen: Promise<unknown>, tell: () => void): Promise<void> {
    const { video, events, answer } = this.#engine;
    try {
      // All at once: the page has begun to fetch them.
      const [head, first] = await Promise.all([this.#fetch(init), this.#fetch(segments[0]!), isOpen]);
      const container = 'video/mp4';
      const buffer = this.#source.addSourceBuffer(`${container}; codecs="${codec}"`);
      this.#tracks = { [name]: { id: 'main', container, codec, buffer, listeners: [] } };
      if (answer.durationSeconds > 0) this.#source.duration = answer.durationSeconds;
      await this.#append(buffer, head);
      await this.#append(buffer, first);
      if (!this.#isMoving) return;
      await new Promise<void>((resolve) => {
        events.addEventListener('firstframe', () => resolve(), { once: true });
        setTimeout(resolve, FRAME_PATIENCE_MS);
      });
      tell();
      for (const segment of segments.slice(1)) {
        const ahead = (this.#engine.bufferedEnd(video.currentTime) ?? Infinity) - video.currentTime;
        if (this.#isEnding || !this.#isMoving || ahead > AHEAD_SECONDS) return;
        await this.#append(buffer, await this.#fetch(segment));
      }
    } catch {
      // What could not be fetched, the library fetches; what could not be appended is marked as failed.
    }
  }

  /** Whether more is wanted than a picture. */
  get #isMoving(): boolean {
    return Boolean(this.#engine.wishes.autoplay) || this.#engine.isPlaying;
  }

  async #fetch(name: string): Promise<ArrayBuffer> {
    const { signal } = this.#end;
    const abandon = () => this.abandon();
    let timer = setTimeout(abandon, ANSWER_MS);
    try {
      const response = await fetch(this.#engine.session.prefix + name, { signal });
      if (!response.ok) throw new Error(`${response.status}`);
      clearTimeout(timer);
      timer = setTimeout(abandon, FETCH_MS);
      return await response.arrayBuffer();
    } finally {
      clearTimeout(timer);
    }
  }

  async #append(buffer: SourceBuffer, bytes: ArrayBuffer): Promise<void> {
    try {
      await new Promise((resolve, reject) => {
        buffer.addEventListener('updateend', resolve, { once: true });
        buffer.addEventListener('error', reject, { once: true });
        buffer.appendBuffer(bytes);
      });
    } catch (failure) {
      // A buffer that is full is whole.
      this.#hasFailed = (failure as Error).name !== 'QuotaExceededError';
      throw failure;
    }
  }
}

interface Plan {
  /** hls.js' name for what is in a segment. */
  name: 'video' | 'audiovideo';
  /** RFC 6381, sound first, as hls.js has it: in another order it would change the buffer's type. */
  codec: string;
  /** Below the grant. */
  init: string;
  segments: string[];
}

/**
 * What a start needs, as the page tells: the quality it has begun to fetch, from the segment that has the picture. Sound
 * alone is in no hurry for one.
 */
function planOf({ answer: { inline }, seconds }: Engine): Plan | undefined {
  const init = inline?.preload?.[0];
  if (!inline || !init) return undefined;
  const directory = init.slice(0, init.indexOf('/') + 1);
  const variants = [...inline.master.matchAll(/^#EXT-X-STREAM-INF:.*?CODECS="([^"]*)".*\r?\n(.*)$/gm)];
  const [, list = '', playlist = ''] = variants.find(([, , uri]) => uri?.startsWith(directory)) ?? [];
  const codecs = list.split(',').sort((a, b) => Number(SOUND.test(b)) - Number(SOUND.test(a)));
  const codec = codecs.join(',');
  const segments = [...(inline.media[playlist] ?? '').matchAll(/^#EXTINF:([\d.]+).*\r?\n(.*)$/gm)];
  let end = 0;
  const first = segments.findIndex(([, duration]) => (end += Number(duration)) > seconds);
  const hasPicture = codecs.some((one) => !SOUND.test(one));
  if (first < 0 || !hasPicture || !mediaSource()?.isTypeSupported(`video/mp4; codecs="${codec}"`)) return undefined;
  const names = segments.slice(first).map(([, , uri]) => directory + uri);
  return { name: codecs.length > 1 ? 'audiovideo' : 'video', codec, init, segments: names };
}
