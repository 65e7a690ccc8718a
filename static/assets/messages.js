/**
 * Speaks player.js 0.0.11 with the embedding page (JSON by postMessage), so that existing client code works.
 *
 * Listens to nobody but the parent window, answers nobody but the parent's known origin, and never carries an asset
 * URL or a token outwards.
 */

const PROTOCOL = { context: 'player.js', version: '0.0.11' };
const MESSAGE_CHARS = 16_384;
const MESSAGES_PER_SECOND = 100;
const LISTENERS_PER_EVENT = 100;
const EVENTS = [
  'ready', 'play', 'pause', 'ended', 'timeupdate', 'seeked', 'volumechange', 'error', 'blocked', 'tokenexpiring',
  'autoplayblocked',
];

/** Firefox has no ancestorOrigins; there the referrer tells, unless the page keeps it back. `''` if unknown. */
function parentOrigin() {
  if (window.parent === window) return '';
  const referrer = URL.canParse(document.referrer) ? new URL(document.referrer).origin : '';
  const origin = location.ancestorOrigins?.[0] ?? referrer;
  return origin === 'null' ? '' : origin;
}

export class Bridge {
  #origin = parentOrigin();
  #methods;
  #listeners = new Map(EVENTS.map((event) => [event, new Set()]));
  #standing = {};
  #secondStartedAt = 0;
  #received = 0;

  /** @param methods name → function; what a `get…` returns is sent back */
  constructor(methods) {
    this.#methods = new Map(Object.entries({
      addEventListener: (event, listener) => this.#listen(event, listener),
      removeEventListener: (event, listener) => this.#listeners.get(event)?.delete(listener),
      ...methods,
    }));
    if (window.parent !== window) window.addEventListener('message', (event) => this.#receive(event));
  }

  /** Whether somebody is there to be told. */
  listens(event) {
    return this.#origin !== '' && this.#listeners.get(event).size > 0;
  }

  /** To those who listen. */
  emit(event, value) {
    for (const listener of this.#listeners.get(event)) this.#send(event, value, listener);
  }

  /** Also to a parent that has not asked for it. */
  announce(event, value) {
    if (this.listens(event)) this.emit(event, value);
    else this.#send(event, value);
  }

  /** `ready` or `blocked`: a state rather than a moment, so whoever begins to listen later is told then. */
  stand(event, value) {
    this.#standing = { event, value };
    this.announce(event, value);
  }

  /** The reference client compares `src` with its iframe's; a token has been taken out of it and is given to nobody. */
  ready() {
    this.stand('ready', { src: location.href, events: EVENTS, methods: [...this.#methods.keys()] });
  }

  #listen(event, listener) {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size >= LISTENERS_PER_EVENT) return;
    listeners.add(listener);
    if (this.#standing.event === event) this.#send(event, this.#standing.value, listener);
  }

  #receive({ source, origin, data }) {
    if (source !== window.parent || origin === 'null' || (this.#origin && origin !== this.#origin)) return;
    if (!this.#isWithinRate()) return;
    const message = parse(data);
    const act = this.#methods.get(message?.method);
    if (!act || (message.context ?? PROTOCOL.context) !== PROTOCOL.context) return;
    const result = act(message.value, message.listener);
    if (message.method.startsWith('get')) this.#send(message.method, result, message.listener);
  }

  /** A page that floods its own player slows itself down, not the video. */
  #isWithinRate() {
    const now = performance.now();
    if (now - this.#secondStartedAt > 1000) [this.#secondStartedAt, this.#received] = [now, 0];
    return ++this.#received <= MESSAGES_PER_SECOND;
  }

  #send(event, value, listener) {
    if (this.#origin) window.parent.postMessage(JSON.stringify({ ...PROTOCOL, event, value, listener }), this.#origin);
  }
}

function parse(message) {
  if (typeof message !== 'string') return message;
  try {
    return message.length <= MESSAGE_CHARS ? JSON.parse(message) : null;
  } catch {
    return null;
  }
}
