/**
 * The player for pages that embed it: promises around the frame's messages. Served at /screener-player.js for any
 * site to import, so it imports nothing, and is kept near one kilobyte.
 */

/** Other clients may talk to the same frame; this is who we are to it. */
const LISTENER = 'screener';

type Listener = (value: any) => void;

export interface Options {
  /** Brings a fresh viewer token when the session needs one, or the frame's own was refused. */
  onTokenExpiring?: () => string | undefined | Promise<string | undefined>;
}

export interface CreateOptions extends Options {
  embedId: string;
  token?: string;
  title?: string;
  /** Where Screener is, if not where this module came from. */
  origin?: string;
  /** Further URL parameters: `{ autoplay: 'muted', t: 90 }`. */
  parameters?: Record<string, string | number | boolean>;
}

/** One frame. Its methods are those of the protocol: `await player.getDuration()`, `player.setVolume(50)`. */
export class ScreenerPlayer {
  [method: string]: any;
  iframe: HTMLIFrameElement;
  /** When the player takes orders. */
  ready: Promise<void>;
  #listeners: Record<string, Set<Listener>> = {};
  #answers = new Map<string, Listener>();
  #count = 0;
  #isAsking = false;
  #receive: (event: MessageEvent) => void;

  /** Appends a frame to `element`. */
  static create(element: Element, { embedId, token, title, origin, parameters, ...options }: CreateOptions) {
    const iframe = document.createElement('iframe');
    const url = new URL(`/embed/${embedId}`, origin ?? import.meta.url);
    for (const [name, value] of Object.entries({ ...parameters, ...(token && { token }) })) {
      url.searchParams.set(name, String(value));
    }
    iframe.title = title ?? 'Video';
    iframe.allow = 'autoplay; fullscreen; picture-in-picture; clipboard-write';
    iframe.allowFullscreen = true;
    iframe.referrerPolicy = 'strict-origin-when-cross-origin';
    iframe.style.cssText = 'width:100%;aspect-ratio:16/9;border:0';
    iframe.src = url.href;
    const player = new this(iframe, options);
    element.append(iframe);
    return player;
  }

  constructor(iframe: HTMLIFrameElement, { onTokenExpiring }: Options = {}) {
    this.iframe = iframe;
    this.#receive = ({ source, origin, data }) => {
      if (source !== iframe.contentWindow || origin !== this.#origin) return;
      let message: any;
      try {
        message = JSON.parse(data);
      } catch {
        return;
      }
      if (message?.context !== 'player.js') return;
      const { event, value, listener } = message;
      this.#answers.get(listener)?.(value);
      const isForUs = !this.#answers.delete(listener) && (listener ?? LISTENER) === LISTENER;
      if (isForUs) for (const hear of this.#listeners[event] ?? []) hear(value);
    };
    addEventListener('message', this.#receive);
    this.ready = new Promise((resolve) => this.on('ready', () => resolve()));
    // A frame that is loaded anew knows of no listener. Nothing in this is a secret, and where it is now is not known.
    const listen = () => Object.keys(this.#listeners).forEach((event) => this.#listen(event, '*'));
    iframe.addEventListener('load', listen);
    if (onTokenExpiring) {
      const ask = async (isAgain: boolean) => {
        if (this.#isAsking && isAgain) return;
        this.#isAsking = true;
        const token = await onTokenExpiring();
        if (token) this.#send({ method: 'setToken', value: token });
      };
      this.on('ready', () => (this.#isAsking = false));
      this.on('tokenexpiring', () => ask(false));
      // Once: a backend whose tokens are refused is not asked for ever.
      this.on('blocked', ({ status }) => [401, 403].includes(status) && ask(true));
    }
  }

  on(event: string, listener: Listener) {
    if (!this.#listeners[event]) {
      this.#listeners[event] = new Set();
      this.#listen(event, '*');
    }
    this.#listeners[event].add(listener);
    return this;
  }

  off(event: string, listener: Listener) {
    this.#listeners[event]?.delete(listener);
    return this;
  }

  /** Forgets the frame. The element stays, and is the page's to remove. */
  destroy() {
    removeEventListener('message', this.#receive);
  }

  get #origin() {
    return new URL(this.iframe.src, document.baseURI).origin;
  }

  #listen(event: string, target?: string) {
    this.#send({ method: 'addEventListener', value: event, listener: LISTENER }, target);
  }

  #send(message: object, target = this.#origin) {
    this.iframe.contentWindow?.postMessage(JSON.stringify({ context: 'player.js', version: '0.0.11', ...message }), target);
  }

  /** Calls any method of the protocol once the player is ready; a `get…` resolves with its answer. */
  async call(method: string, value?: unknown) {
    await this.ready;
    if (!method.startsWith('get')) return this.#send({ method, value });
    const listener = LISTENER + ++this.#count;
    return new Promise((resolve) => {
      this.#answers.set(listener, resolve);
      this.#send({ method, listener });
    });
  }
}

for (const method of [
  'play', 'pause', 'getPaused', 'mute', 'unmute', 'getMuted', 'setVolume', 'getVolume', 'getDuration', 'setCurrentTime',
  'getCurrentTime', 'setLoop', 'getLoop', 'setPlaybackRate', 'getPlaybackRate', 'getQualities', 'getQuality',
  'setQuality', 'getCaptions', 'setCaptions',
]) {
  ScreenerPlayer.prototype[method] = function (value: unknown) {
    return this.call(method, value);
  };
}
