/**
 * Segments through hls.js. Every request asks the session first and goes to the grant of the moment; playlists that the
 * page carries cost no request; the network may fail for as long as it likes.
 */

import type Hls from 'hls.js/light';
import type {
  ErrorData,
  HlsConfig,
  Level,
  Loader,
  LoaderCallbacks,
  LoaderConfiguration,
  LoaderContext,
  LoaderStats,
} from 'hls.js/light';
import { HOLE_SECONDS, type Engine, type Source } from './engine';
import { mediaSource, Opening } from './opening';
import { isPassing } from './request';
import { localPath, nameOf, prefixOf, Refused, retryMs, type Session } from './session';
import type { PlaybackAnswer, Quality } from './types';

/** Ahead of what is shown: a few segments, so that a viewer who leaves has not cost the whole video. */
const AHEAD_SECONDS = 30;
/** Behind it: for the seeks back that viewers make. */
const BEHIND_SECONDS = 60;
/** Until the first frame stands, and until the viewer presses play: the one segment that has it. */
const FIRST_FRAME_SECONDS = 0.5;
/** Where no frame is ever presented (a page in the background, only sound) the rest waits no longer than this. */
const FRAME_PATIENCE_MS = 1500;

type Library = typeof import('./library');

/**
 * MSE, or what iPhones have instead, for codecs that it takes: Chromium plays MP3 in an MP4, and Dolby Digital here and
 * there, as a file and not as segments.
 */
export function canSegment({ inline }: PlaybackAnswer): boolean {
  const Source = mediaSource();
  if (!Source) return false;
  const codecs = [...(inline?.master ?? '').matchAll(/^#EXT-X-STREAM-INF:.*?CODECS="([^"]*)"/gm)].map(([, list]) => list);
  return codecs.length === 0 || codecs.some((list) => Source.isTypeSupported(`video/mp4; codecs="${list}"`));
}

/** As often as the line needs. Browsers remember a failure for an address, so that each attempt has its own. */
function load(session: Session): Promise<Library> {
  let attempts = 0;
  return session.persist(() => {
    const again = `./library.js?${attempts}`;
    return attempts++ ? (import(again) as Promise<Library>) : import('./library');
  });
}

export class HlsSource implements Source {
  readonly isFetchingAlone = false;
  #qualities: readonly Quality[] = [];
  #chosen = 'auto';
  #hasFrame = false;
  readonly #engine: Engine;
  #opening: Opening | null = null;
  #library: Library | null = null;
  #hls: Hls | null = null;

  constructor(engine: Engine) {
    this.#engine = engine;
    const { video } = engine;
    video.addEventListener('play', () => this.#loadOn());
    video.addEventListener('seeking', () => this.#begin());
    engine.events.addEventListener('firstframe', () => this.#frameShown());
  }

  get qualities(): readonly Quality[] {
    return this.#qualities;
  }

  get quality(): string {
    return this.#chosen;
  }

  set quality(id: string) {
    const chosen = this.#qualities.some((quality) => quality.id === id) ? id : 'auto';
    // hls.js drops what is buffered even where it is told the same again.
    if (chosen === this.#chosen) return;
    this.#chosen = chosen;
    if (this.#hls) this.#hls.nextLevel = this.#indexOf(chosen);
  }

  attach(): void {
    const { video, wishes } = this.#engine;
    this.#hasFrame = false;
    // Loading sets the rate back to its default.
    video.defaultPlaybackRate = video.playbackRate;
    const isEmpty = Boolean(this.#library) || wishes.preload === 'none' || typeof wishes.quality === 'number';
    void this.#play((this.#opening = new Opening(this.#engine, mediaSource()!, isEmpty)));
  }

  async #play(opening: Opening): Promise<void> {
    const engine = this.#engine;
    const { session } = engine;
    await opening.shown;
    const library = (this.#library ??= await load(session));
    const opened = await opening.handOver();
    // Detached, or attached anew, meanwhile.
    if (this.#opening !== opening) return;
    const hls = this.#prepare(library);
    hls.loadSource(new URL(session.path, location.href).href);
    hls.attachMedia(opened ?? engine.video);
    if (!opened && engine.isPlaying) void engine.start();
  }

  #prepare(library: Library): Hls {
    const { Hls, Events } = library;
    const { wishes } = this.#engine;
    const hls = new Hls({
      autoStartLoad: false,
      // A worker would need `worker-src blob:`, and fragments that need no remuxing gain nothing by it.
      enableWorker: false,
      maxBufferLength: FIRST_FRAME_SECONDS,
      maxMaxBufferLength: AHEAD_SECONDS,
      // In bytes, and the larger of both counts: seconds alone decide.
      maxBufferSize: 1,
      backBufferLength: BEHIND_SECONDS,
      capLevelToPlayerSize: true,
      loader: loaderOf(this.#engine, Hls.DefaultConfig.loader),
    });
    this.#hls = hls;
    hls.on(Events.MANIFEST_PARSED, (_, { levels, firstLevel }) => {
      this.#offer(levels);
      hls.startLevel = firstLevel;
      const wanted = this.#chosen === 'auto' ? this.#wished(levels) : this.#indexOf(this.#chosen);
      this.#chosen = wanted < 0 ? 'auto' : idOf(levels[wanted]!, wanted);
      if (wanted >= 0) hls.nextLevel = wanted;
      this.#loadOn();
      if (wishes.preload !== 'none') this.#begin();
    });
    hls.once(Events.FRAG_BUFFERED, () => setTimeout(() => this.#frameShown(), FRAME_PATIENCE_MS));
    hls.on(Events.LEVEL_SWITCHED, (_, { level }) => {
      const quality = this.#qualities.find(({ id }) => id === idOf(hls.levels[level]!, level));
      if (quality) this.#engine.emit('quality', quality);
    });
    hls.on(Events.ERROR, (_, failure) => {
      if (failure.fatal && this.#hls === hls) void this.#mend(library, failure);
    });
    return hls;
  }

  detach(): void {
    const { video } = this.#engine;
    this.#opening?.abandon();
    this.#opening = null;
    this.#hls?.destroy();
    this.#hls = null;
    // The source that stood in the page is for browsers without scripts.
    video.removeAttribute('src');
    video.load();
  }

  /** Whether more is wanted than a first frame. */
  get #isWanted(): boolean {
    const { wishes, isPlaying, video } = this.#engine;
    return wishes.preload === 'auto' || Boolean(wishes.autoplay) || isPlaying || !video.paused;
  }

  #frameShown(): void {
    this.#hasFrame = true;
    this.#loadOn();
  }

  #loadOn(): void {
    if (!this.#hls || !this.#isWanted) return;
    if (this.#hasFrame) this.#hls.config.maxBufferLength = AHEAD_SECONDS;
    this.#begin();
  }

  /** Begins to load, where it has not: behind what the opening has left, if that is wanted, or where playing is. */
  #begin(): void {
    const hls = this.#hls;
    if (!hls || !this.#library || hls.loadingEnabled || !hls.levels.length) return;
    const { video } = this.#engine;
    // Where the video is already, hls.js must not take it: the viewer may be elsewhere when the segment comes.
    const isThere = video.readyState > video.HAVE_NOTHING;
    const seconds = isThere ? video.currentTime : this.#engine.seconds;
    const end = this.#engine.bufferedEnd(seconds);
    if (end === undefined) {
      hls.startLoad(seconds || -1, isThere);
    } else if (this.#isWanted) {
      // What is buffered ends a little before the segment does.
      const goOn = () => hls.startLoad(end + HOLE_SECONDS, true);
      // With the first playlist it would begin at 0 again.
      hls.once(this.#library.Events.LEVEL_UPDATED, goOn);
      goOn();
    }
  }

  /** After an error that hls.js gives up at. */
  async #mend({ ErrorDetails, ErrorTypes }: Library, { type, details, response }: ErrorData): Promise<void> {
    const engine = this.#engine;
    const status = response?.code ?? 0;
    if (!engine.endure(type === ErrorTypes.NETWORK_ERROR && status ? 'playback_refused' : undefined)) return;
    const isCodec = details === ErrorDetails.BUFFER_ADD_CODEC_ERROR || details === ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR;
    if (type === ErrorTypes.MEDIA_ERROR && !isCodec) {
      this.#hls?.recoverMediaError();
      if (engine.isPlaying) void engine.start();
      return;
    }
    try {
      // Perhaps the files were replaced: a renewal tells the new ones.
      await engine.session.renew();
    } catch (failure) {
      if (failure instanceof Refused) engine.refuse(failure);
      return;
    }
    if (engine.blocked) return;
    delete engine.answer.inline;
    this.#hls?.destroy();
    this.attach();
    if (engine.isPlaying) void engine.start();
  }

  /** Tells what there is to choose from, the best first. */
  #offer(levels: readonly Level[]): void {
    this.#qualities = levels.length > 1 ? levels.map(qualityOf).reverse() : [];
    this.#engine.emit('qualities');
  }

  #indexOf(id: string): number {
    return this.#hls?.levels.findIndex((level, index) => idOf(level, index) === id) ?? -1;
  }

  /** The best quality that is no better than the address asks for. */
  #wished(levels: readonly Level[]): number {
    const { quality } = this.#engine.wishes;
    if (typeof quality !== 'number' || levels.length < 2) return -1;
    const index = levels.findLastIndex((level) => shorterSide(level) <= quality);
    return Math.max(0, index);
  }
}

const shorterSide = ({ width, height }: Level): number => Math.min(width || height, height || width) || 0;

/** The playlist's own name for it, which stays when the playlist is read again. */
const idOf = (level: Level, index: number): string => level.attrs['STABLE-VARIANT-ID'] ?? `${index}`;

function qualityOf(level: Level, index: number): Quality {
  const heightPx = shorterSide(level);
  return { id: idOf(level, index), label: `${heightPx}p`, heightPx, bitsPerSecond: level.bitrate };
}

type Callbacks = LoaderCallbacks<LoaderContext>;

type LoaderClass = new (config: HlsConfig) => Loader<LoaderContext>;

/** The loader of playlists and segments for one engine, which makes its requests by `Request`. */
function loaderOf(engine: Engine, Request: LoaderClass): LoaderClass {
  const { session } = engine;

  return class SessionLoader implements Loader<LoaderContext> {
    context: LoaderContext | null = null;
    stats: LoaderStats;
    #config: HlsConfig;
    #request: Loader<LoaderContext> | null;
    #callbacks: Callbacks | null = null;
    #hasRenewed = false;
    #failures = 0;

    constructor(config: HlsConfig) {
      this.#config = config;
      this.#request = new Request(config);
      this.stats = this.#request.stats;
    }

    load(context: LoaderContext, configuration: LoaderConfiguration, callbacks: Callbacks): void {
      this.context = context;
      this.#callbacks = callbacks;
      const text = inlineText(context.url);
      if (text === undefined) void this.#attempt(context, configuration);
      else queueMicrotask(() => this.#answer(text, context));
    }

    abort(): void {
      const callbacks = this.#callbacks;
      this.#callbacks = null;
      this.stats.aborted = true;
      this.#request?.abort();
      if (callbacks?.onAbort && this.context) callbacks.onAbort(this.stats, this.context, null);
    }

    destroy(): void {
      this.#callbacks = null;
      this.#request?.destroy();
      this.#request = null;
      this.context = null;
    }

    getCacheAge(): number | null {
      return null;
    }

    getResponseHeader(name: string): string | null {
      return this.#request?.getResponseHeader?.(name) ?? null;
    }

    /** A playlist that the page has brought along. */
    #answer(text: string, context: LoaderContext): void {
      const { stats } = this;
      const now = performance.now();
      stats.loading = { start: now, first: now, end: now };
      stats.loaded = stats.total = text.length;
      this.#callbacks?.onSuccess({ url: context.url, data: text, code: 200 }, stats, context, null);
    }

    async #attempt(context: LoaderContext, configuration: LoaderConfiguration): Promise<void> {
      try {
        await session.fresh();
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
        return this.#refused(failure, context, configuration);
      }
      if (!this.#callbacks) return;
      context.url = new URL(session.rebase(context.url), location.href).href;
      const prefix = prefixOf(localPath(context.url));
      if (this.stats.loading.start) this.#begin();
      const policy = { ...configuration.loadPolicy, errorRetry: null, timeoutRetry: null };
      this.#request?.load(context, { ...configuration, loadPolicy: policy }, {
        onSuccess: (response, stats, context, details) => {
          if (this.#failures) engine.tellTrouble(0);
          this.#callbacks?.onSuccess(response, stats, context, details);
        },
        onProgress: (stats, context, data, details) => this.#callbacks?.onProgress?.(stats, context, data, details),
        onTimeout: () => void this.#again(context, configuration),
        onError: (error, _, details, stats) => {
          if ((error.code === 401 || error.code === 403) && !this.#hasRenewed) {
            this.#hasRenewed = true;
            session.distrust(prefix);
            void this.#attempt(context, configuration);
          } else if (error.code === 401 || error.code === 403) {
            void this.#refused(new Refused(error.code, 'asset_url_revoked'), context, configuration);
          } else if (isPassing(error.code)) {
            void this.#again(context, configuration);
          } else {
            this.#callbacks?.onError(error, context, details, stats);
          }
        },
      });
    }

    /** The line or the server is down: that passes. */
    async #again(context: LoaderContext, configuration: LoaderConfiguration): Promise<void> {
      if (!this.#callbacks) return;
      engine.tellTrouble(++this.#failures);
      await session.sleep(retryMs(this.#failures));
      if (this.#callbacks) await this.#attempt(context, configuration);
    }

    /** Waits until the server admits the viewer again: what is buffered can be shown meanwhile. */
    async #refused(refusal: Refused, context: LoaderContext, configuration: LoaderConfiguration): Promise<void> {
      if (!this.#callbacks) return;
      engine.refuse(refusal);
      await engine.admitted;
      this.#hasRenewed = false;
      if (this.#callbacks) await this.#attempt(context, configuration);
    }

    /** A request of hls.js is good for one attempt; the statistics are looked at by who asked for it. */
    #begin(): void {
      this.#request?.destroy();
      this.#request = new Request(this.#config);
      this.#request.stats = this.stats;
      Object.assign(this.stats, { aborted: false, loaded: 0, total: 0, loading: { start: 0, first: 0, end: 0 } });
    }
  };

  function inlineText(url: string): string | undefined {
    const { inline } = engine.answer;
    if (!inline) return undefined;
    const name = nameOf(localPath(url));
    return name === 'master.m3u8' ? inline.master : inline.media[name];
  }
}
