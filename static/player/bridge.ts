/**
 * Speaks player.js 0.0.11 with the embedding page (JSON by postMessage), so that existing client code works.
 *
 * Listens to nobody but the parent window, answers nobody but the parent's origin, and never carries an asset URL, a
 * grant or a renew token outwards. A viewer token goes back only to the page that wrote it into the frame's address.
 */

import type { Player, Quality, Refusal } from './types';

const PROTOCOL = { context: 'player.js', version: '0.0.11' };
const MESSAGE_CHARS = 16_384;
const TOKEN_CHARS = 8192;
const MESSAGES_PER_SECOND = 100;
const LISTENERS_PER_EVENT = 100;
/** A listener is what client code knows its callback by: the reference client has 36 characters and a prefix. */
const LISTENER_CHARS = 200;
/** What browsers play without falling silent or refusing. */
const RATES = [0.25, 4] as const;
const EVENTS = [
  'ready', 'play', 'pause', 'ended', 'timeupdate', 'progress', 'seeked', 'error', 'playbackratechange', 'volumechange',
  'qualitychange', 'captionschange', 'fullscreenchange', 'tokenexpiring', 'processing', 'blocked',
  'autoplayblocked',
] as const;
/** The reference client's code for a method that there is not. */
const NO_SUCH_METHOD = 2;

export type EventName = (typeof EVENTS)[number];
type Method = (value: unknown, listener: unknown) => unknown;

/** What the rest of the player may add to the conversation. */
export interface Bridge {
  /** Tells those who listen to `event`; a parent that listens to nothing is told, too. */
  announce(event: EventName, value?: unknown): void;
  /** Whether the embedding page has asked for `event`. */
  listens(event: EventName): boolean;
}

/**
 * Lets the embedding page drive a player and hear it.
 *
 * @param address where the frame was sent, token included: as it was before the token was taken out of it
 */
export function openBridge(player: Player, address: string = location.href): Bridge {
  const { video, events } = player;
  /** Where playing is; what a video without a source says of itself is not. */
  let seconds = player.wishes.startSeconds ?? 0;
  const hasSource = () => !player.blocked && !video.error && video.readyState > 0;

  // The answer's duration, so that an embedder who asks right after `ready` is not told 0.
  const duration = () => (Number.isFinite(video.duration) ? video.duration : player.answer.durationSeconds);

  const channel = new Channel(address, {
    play: () => void (player.blocked || player.start()),
    pause: () => video.pause(),
    getPaused: () => video.paused,
    mute: () => void (video.muted = true),
    unmute: () => void (video.muted = false),
    getMuted: () => video.muted,
    setVolume: (percent) => isNumber(percent) && (video.volume = clamp(percent, 0, 100) / 100),
    getVolume: () => Math.round(video.volume * 100),
    getDuration: duration,
    setCurrentTime: (wanted) => {
      if (isNumber(wanted)) video.currentTime = seconds = clamp(wanted, 0, duration() || wanted);
    },
    getCurrentTime: () => (hasSource() ? video.currentTime : seconds),
    setLoop: (isLooping) => void (video.loop = isLooping === true || isLooping === 'true'),
    getLoop: () => video.loop,
    setPlaybackRate: (rate) => isNumber(rate) && (video.playbackRate = clamp(rate, ...RATES)),
    getPlaybackRate: () => video.playbackRate,
    getQualities: () => player.qualities.map(describeQuality),
    getQuality: () => player.quality,
    setQuality: (wanted) => chooseQuality(player, wanted),
    getCaptions: () => captionsOf(video).map(describeCaptions),
    setCaptions: (language) => showCaptions(video, language),
    setToken: (token) => isToken(token) && player.setToken(token),
  });

  for (const event of ['play', 'pause', 'ended', 'seeked'] as const) {
    // A browser pauses a video that has failed; the viewer has not.
    video.addEventListener(event, () => video.error || player.blocked || channel.emit(event));
  }
  video.addEventListener('timeupdate', () => {
    if (!hasSource()) return;
    seconds = video.currentTime;
    channel.emit('timeupdate', { seconds, duration: duration() });
  });
  video.addEventListener('progress', () => {
    const end = bufferedUntil(video);
    channel.emit('progress', { seconds: end, duration: duration(), percent: duration() > 0 ? end / duration() : 0 });
  });
  video.addEventListener('volumechange', () => {
    channel.emit('volumechange', { volume: Math.round(video.volume * 100), muted: video.muted });
  });
  video.addEventListener('ratechange', () => channel.emit('playbackratechange', { playbackRate: video.playbackRate }));
  let captions = shownLanguage(video);
  video.textTracks.addEventListener('change', () => {
    if (captions === (captions = shownLanguage(video))) return;
    channel.emit('captionschange', { captions });
  });
  document.addEventListener('fullscreenchange', () => {
    channel.emit('fullscreenchange', { fullscreen: document.fullscreenElement !== null });
  });

  events.addEventListener('quality', (event) => {
    const playing = describeQuality((event as CustomEvent<Quality>).detail);
    channel.emit('qualitychange', { quality: player.quality, playing });
  });
  events.addEventListener('tokenexpiring', (event) => {
    // Whoever dispatches it sees that a token may be on its way.
    if (channel.listens('tokenexpiring')) event.preventDefault();
    channel.announce('tokenexpiring');
  });
  events.addEventListener('autoplayblocked', () => channel.announce('autoplayblocked'));
  const block = ({ code, status, progress }: Refusal) => {
    if (progress !== undefined) return channel.stand('processing', { progress });
    channel.stand('blocked', { reason: code, status });
    // Client code that was written for other players knows only this one.
    channel.emit('error', { code: status, msg: code });
  };
  events.addEventListener('blocked', (event) => block((event as CustomEvent<Refusal>).detail));
  events.addEventListener('unblocked', () => channel.ready());

  if (player.blocked) block(player.blocked);
  else channel.ready();
  return channel;
}

/** The messages themselves: who may speak, who listens, where answers go. */
class Channel implements Bridge {
  #address: string;
  /** `''` until known, `'null'` for a page that has none. */
  #origin = parentOrigin();
  #methods: Map<string, Method>;
  #listeners = new Map<unknown, Set<unknown>>(EVENTS.map((event) => [event, new Set()]));
  #standing: { event: EventName; value: unknown } | null = null;
  #secondStartedAt = 0;
  #received = 0;

  constructor(address: string, methods: Record<string, Method>) {
    this.#address = address;
    this.#methods = new Map(Object.entries({
      addEventListener: (event, listener) => this.#listen(event, listener),
      removeEventListener: (event, listener) => this.#forget(event, listener),
      ...methods,
    } satisfies Record<string, Method>));
    if (window.parent !== window) window.addEventListener('message', (event) => this.#receive(event));
  }

  listens(event: EventName): boolean {
    return this.#origin !== '' && this.#listeners.get(event)!.size > 0;
  }

  announce(event: EventName, value?: unknown): void {
    if (this.listens(event)) this.emit(event, value);
    else this.#send(event, value);
  }

  /** To those who listen. */
  emit(event: EventName, value?: unknown): void {
    for (const listener of this.#listeners.get(event)!) this.#send(event, value, listener);
  }

  /** `ready`, `processing` or `blocked`: a state rather than a moment, so whoever begins to listen later is told then. */
  stand(event: EventName, value: unknown): void {
    this.#standing = { event, value };
    this.announce(event, value);
  }

  ready(): void {
    this.stand('ready', null);
  }

  /** The reference client waits until it is told the very address that its frame has. */
  #readyValue() {
    let src = this.#address;
    const url = new URL(src);
    if (url.searchParams.has('token') && !isSentBy(this.#origin)) {
      url.searchParams.delete('token');
      src = url.href;
    }
    return { src, events: EVENTS, methods: [...this.#methods.keys()] };
  }

  #listen(event: unknown, listener: unknown): void {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size >= LISTENERS_PER_EVENT) return;
    listeners.add(listener);
    const standing = this.#standing;
    if (standing && standing.event === event) this.#send(standing.event, standing.value, listener);
  }

  /** One listener, or all of an event where none is named. */
  #forget(event: unknown, listener: unknown): void {
    const listeners = this.#listeners.get(event);
    if (listener === undefined || listener === null) listeners?.clear();
    else listeners?.delete(listener);
  }

  #receive({ source, origin, data }: MessageEvent): void {
    if (source !== window.parent || origin === 'null') return;
    if (!this.#isWithinRate()) return;
    const message = parse(data);
    if (!message || typeof message.method !== 'string' || !isListener(message.listener)) return;
    if ((message.context ?? PROTOCOL.context) !== PROTOCOL.context) return;
    if (origin !== this.#origin) this.#learn(origin);
    const act = this.#methods.get(message.method);
    if (!act) {
      this.emit('error', { code: NO_SUCH_METHOD, msg: `Invalid Method "${message.method.slice(0, 100)}"` });
      return;
    }
    const result = act(message.value, message.listener);
    if (message.method.startsWith('get')) this.#send(message.method, result, message.listener);
  }

  /** A message says for certain where the parent is. Now it can be told what it was not told before. */
  #learn(origin: string): void {
    this.#origin = origin;
    if (this.#standing) this.#send(this.#standing.event, this.#standing.value);
  }

  /** A page that floods its own player slows itself down, not the video. */
  #isWithinRate(): boolean {
    const now = performance.now();
    if (now - this.#secondStartedAt > 1000) [this.#secondStartedAt, this.#received] = [now, 0];
    return ++this.#received <= MESSAGES_PER_SECOND;
  }

  #send(event: string, value?: unknown, listener?: unknown): void {
    if (window.parent === window || this.#origin === 'null') return;
    // An unknown parent learns that somebody is here to talk to, and nothing else.
    if (!this.#origin && event !== 'ready') return;
    const told = event === 'ready' ? this.#readyValue() : value;
    const message = JSON.stringify({ ...PROTOCOL, event, value: told, listener: listener ?? undefined });
    window.parent.postMessage(message, this.#origin || '*');
  }
}

/** Firefox has no ancestorOrigins; there the sender is probably the parent, unless it keeps its address back. */
function parentOrigin(): string {
  return location.ancestorOrigins?.[0] ?? senderOrigin();
}

/** Where the page is that sent the frame here, or `''`. A page of ours that loaded itself anew has passed it on. */
export function senderOrigin(): string {
  const state = history.state as { sender?: string } | null;
  return state?.sender ?? (URL.canParse(document.referrer) ? new URL(document.referrer).origin : '');
}

/** Whether the parent itself sent the frame here, rather than a page that stood in the frame before. It then wrote the
    address. */
function isSentBy(origin: string): boolean {
  return origin !== '' && origin !== 'null' && senderOrigin() === origin;
}

function parse(message: unknown): { context?: unknown; method?: unknown; value?: unknown; listener?: unknown } | null {
  if (typeof message !== 'string') return message as object | null;
  try {
    return message.length <= MESSAGE_CHARS ? JSON.parse(message) : null;
  } catch {
    return null;
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** What is told back with every event: nothing that could be large, or that is no JSON. */
function isListener(listener: unknown): boolean {
  if (typeof listener === 'string') return listener.length <= LISTENER_CHARS;
  return listener === undefined || listener === null || isNumber(listener);
}

function isToken(token: unknown): token is string {
  return typeof token === 'string' && token !== '' && token.length <= TOKEN_CHARS;
}

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** Seconds up to which the range that plays is buffered. */
function bufferedUntil({ buffered, currentTime }: HTMLVideoElement): number {
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime && currentTime <= buffered.end(i)) return buffered.end(i);
  }
  return currentTime;
}

const describeQuality = ({ id, label, heightPx, bitsPerSecond }: Quality) => ({ id, label, heightPx, bitsPerSecond });

/** `auto`, an id, or a number of lines: `720`, `720p`. */
function chooseQuality(player: Player, wanted: unknown): void {
  const text = String(wanted);
  const found = player.qualities.find(({ id, label }) => id === text || label === text || label === `${text}p`);
  if (found) player.quality = found.id;
  else if (text === 'auto') player.quality = 'auto';
}

function captionsOf({ textTracks }: HTMLVideoElement): TextTrack[] {
  return Array.from(textTracks).filter(({ kind }) => kind === 'captions' || kind === 'subtitles');
}

const describeCaptions = ({ language, label, mode }: TextTrack) => ({ language, label, showing: mode === 'showing' });

/** BCP 47 tag of the captions that show, or `off`. */
function shownLanguage(video: HTMLVideoElement): string {
  return captionsOf(video).find(({ mode }) => mode === 'showing')?.language ?? 'off';
}

/** `off`, or a language: `en` also finds `en-GB` where there is no `en`. What there is not changes nothing. */
function showCaptions(video: HTMLVideoElement, wanted: unknown): void {
  if (typeof wanted !== 'string') return;
  const tag = wanted.toLowerCase();
  const tracks = captionsOf(video);
  const chosen = tracks.find(({ language }) => language.toLowerCase() === tag)
    ?? tracks.find(({ language }) => language.toLowerCase().startsWith(`${tag}-`));
  if (!chosen && tag !== 'off') return;
  for (const track of tracks) track.mode = track === chosen ? 'showing' : 'disabled';
}
