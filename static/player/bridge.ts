/**
 * Stand-in. Speaks player.js 0.0.11 with the embedding page (JSON by postMessage), so that existing client code works.
 *
 * Listens to nobody but the parent window, answers nobody but the parent's known origin, and never carries an asset
 * URL or a token outwards.
 */

import type { Player, Refusal } from './types';

const PROTOCOL = { context: 'player.js', version: '0.0.11' };
const MESSAGE_CHARS = 16_384;
const MESSAGES_PER_SECOND = 100;
const LISTENERS_PER_EVENT = 100;
const EVENTS = [
  'ready', 'play', 'pause', 'ended', 'timeupdate', 'seeked', 'volumechange', 'error', 'blocked', 'tokenexpiring',
  'autoplayblocked',
];

type Act = (value: never, listener: unknown) => unknown;

/** Firefox has no ancestorOrigins; there the referrer tells, unless the page keeps it back. `''` if unknown. */
function parentOrigin(): string {
  if (window.parent === window) return '';
  const referrer = URL.canParse(document.referrer) ? new URL(document.referrer).origin : '';
  const origin = location.ancestorOrigins?.[0] ?? referrer;
  return origin === 'null' ? '' : origin;
}

export class Bridge {
  #origin = parentOrigin();
  #methods: Map<string, Act>;
  #listeners = new Map(EVENTS.map((event) => [event, new Set<unknown>()]));
  #standing: { event: string; value: unknown } | null = null;
  #secondStartedAt = 0;
  #received = 0;

  constructor(methods: Record<string, Act>) {
    this.#methods = new Map(Object.entries({
      addEventListener: (event: string, listener: unknown) => this.#listen(event, listener),
      removeEventListener: (event: string, listener: unknown) => this.#listeners.get(event)?.delete(listener),
      ...methods,
    }) as [string, Act][]);
    if (window.parent !== window) window.addEventListener('message', (event) => this.#receive(event));
  }

  /** Whether somebody is there to be told. */
  listens(event: string): boolean {
    return this.#origin !== '' && (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** To those who listen. */
  emit(event: string, value?: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) this.#send(event, value, listener);
  }

  /** Also to a parent that has not asked for it. */
  announce(event: string, value?: unknown): void {
    if (this.listens(event)) this.emit(event, value);
    else this.#send(event, value);
  }

  /** `ready` or `blocked`: a state rather than a moment, so whoever begins to listen later is told then. */
  stand(event: string, value: unknown): void {
    this.#standing = { event, value };
    this.announce(event, value);
  }

  /** The reference client compares `src` with its iframe's; a token has been taken out of it and is given to nobody. */
  ready(): void {
    this.stand('ready', { src: location.href, events: EVENTS, methods: [...this.#methods.keys()] });
  }

  #listen(event: string, listener: unknown): void {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size >= LISTENERS_PER_EVENT) return;
    listeners.add(listener);
    if (this.#standing?.event === event) this.#send(event, this.#standing.value, listener);
  }

  #receive({ source, origin, data }: MessageEvent): void {
    if (source !== window.parent || origin === 'null' || (this.#origin && origin !== this.#origin)) return;
    if (!this.#isWithinRate()) return;
    const message = parse(data) as { method?: string; context?: string; value?: unknown; listener?: unknown } | null;
    const act = this.#methods.get(message?.method ?? '');
    if (!message?.method || !act || (message.context ?? PROTOCOL.context) !== PROTOCOL.context) return;
    const result = act(message.value as never, message.listener);
    if (message.method.startsWith('get')) this.#send(message.method, result, message.listener);
  }

  /** A page that floods its own player slows itself down, not the video. */
  #isWithinRate(): boolean {
    const now = performance.now();
    if (now - this.#secondStartedAt > 1000) [this.#secondStartedAt, this.#received] = [now, 0];
    return ++this.#received <= MESSAGES_PER_SECOND;
  }

  #send(event: string, value: unknown, listener?: unknown): void {
    if (this.#origin) window.parent.postMessage(JSON.stringify({ ...PROTOCOL, event, value, listener }), this.#origin);
  }
}

function parse(message: unknown): unknown {
  if (typeof message !== 'string') return message;
  try {
    return message.length <= MESSAGE_CHARS ? JSON.parse(message) : null;
  } catch {
    return null;
  }
}

export function openBridge(player: Player, _address = location.href): Bridge {
  const { video, answer, events } = player;
  const duration = () => (Number.isFinite(video.duration) ? video.duration : answer.durationSeconds);
  const bridge = new Bridge({
    play: () => void (player.blocked || player.start()),
    pause: () => video.pause(),
    getPaused: () => video.paused,
    getDuration: duration,
    getCurrentTime: () => video.currentTime,
    setCurrentTime: (seconds: number) => Number.isFinite(seconds) && (video.currentTime = Math.max(0, seconds)),
    mute: () => (video.muted = true),
    unmute: () => (video.muted = false),
    getMuted: () => video.muted,
    setVolume: (percent: number) => Number.isFinite(percent) && (video.volume = Math.min(100, Math.max(0, percent)) / 100),
    getVolume: () => Math.round(video.volume * 100),
    setLoop: (isLooping: unknown) => (video.loop = isLooping === true || isLooping === 'true'),
    getLoop: () => video.loop,
    setToken: (token: string) => player.setToken(token),
  });
  const block = (refusal: Refusal) => {
    bridge.stand('blocked', { reason: refusal.code, status: refusal.status });
    // Client code that was written for other players knows only this one.
    bridge.emit('error', { code: refusal.status, msg: refusal.code });
  };
  for (const event of ['play', 'pause', 'ended', 'seeked']) {
    video.addEventListener(event, () => video.error || player.blocked || bridge.emit(event));
  }
  video.addEventListener('timeupdate', () => {
    if (video.error || player.blocked) return;
    bridge.emit('timeupdate', { seconds: video.currentTime, duration: duration() });
  });
  video.addEventListener('volumechange', () => {
    bridge.emit('volumechange', { volume: Math.round(video.volume * 100), muted: video.muted });
  });
  events.addEventListener('blocked', (event) => block((event as CustomEvent<Refusal>).detail));
  events.addEventListener('unblocked', () => bridge.ready());
  events.addEventListener('tokenexpiring', (event) => {
    bridge.announce('tokenexpiring');
    if (bridge.listens('tokenexpiring')) event.preventDefault();
  });
  events.addEventListener('autoplayblocked', () => bridge.announce('autoplayblocked'));
  if (player.blocked) block(player.blocked);
  else bridge.ready();
  return bridge;
}
