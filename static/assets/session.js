/**
 * Keeps one playback session alive: asks for new asset URLs before the old ones lapse, and while somebody watches.
 *
 * The server renews in place, so the video's source stays as it is; a fresh URL is needed only after a lapse. Renewal
 * tokens live in this object and nowhere else.
 */

const RETRY_SECONDS = [1, 2, 4, 8, 15];
const ANSWER_MS = 10_000;
/** How long a refusal waits for an embedder that has asked to be told that a new viewer token is needed. */
const TOKEN_GRACE_SECONDS = 4;
const HOUR_SECONDS = 3600;

/** The server's no. Everything else that goes wrong is worth another try. */
export class Refused extends Error {
  constructor(status, code, traceId = '') {
    super(code);
    Object.assign(this, { status, code, traceId });
  }
}

/** The server may know itself by another name than the viewer does (proxy, port): only the path is taken. */
export const localPath = (uri) => new URL(uri, location.href).pathname;

/**
 * Seconds since `startedAt`. performance.now() stands still while some machines sleep, and a wall clock can be wrong or
 * set back, so neither is compared with the server's time: of the two differences the greater one counts, and its
 * error is a renewal that comes too early.
 */
function stopwatch(startedAt = performance.now()) {
  const wallStartedAt = Date.now();
  return () => Math.max(performance.now() - startedAt, Date.now() - wallStartedAt) / 1000;
}

export class Session {
  #hooks;
  #renewUri;
  #renewToken;
  #viewerToken = null;
  #endsInSeconds = Infinity;
  #sessionAge;
  #flight = null;
  #timer = 0;
  #sleepers = new Set();

  /**
   * @param answer the playback answer inside the page
   * @param hooks `isWatching()`; `onTrouble(failures)`, 0 when it is over; `onRefused(refusal)` for a renewal nobody
   *   waits for; `onTokenWanted()`, true if an embedder may bring a token
   */
  constructor(answer, hooks) {
    this.#hooks = hooks;
    this.#renewUri = answer.session?.renewUri && localPath(answer.session.renewUri);
    // The answer is as old as the page, not as this script.
    this.#adopt({ ...answer.playback, ...answer.session }, stopwatch(0));
  }

  get isLapsed() {
    return this.age() >= this.expiresInSeconds;
  }

  /** Renews if it is time and somebody watches; `isNeeded` says that a paused player needs bytes, too. */
  check(isNeeded = this.#hooks.isWatching()) {
    clearTimeout(this.#timer);
    if (!isNeeded || this.#flight) return;
    const waitSeconds = this.refreshInSeconds - this.age();
    if (waitSeconds > 0) {
      this.#timer = setTimeout(() => this.check(), Math.min(waitSeconds, HOUR_SECONDS) * 1000);
    } else if (!this.#isLastLeg || this.#viewerToken) {
      this.renew().catch(this.#hooks.onRefused);
    } else if (!this.isTokenWanted) {
      // Only a new viewer token carries on from here: say so once, and play what is left.
      this.isTokenWanted = true;
      this.#hooks.onTokenWanted();
    }
  }

  /** The machine woke up, the network came back, the page was shown: timers may have slept. */
  wake() {
    for (const awaken of this.#sleepers) awaken();
    this.check();
  }

  /** A viewer token from the embedder, kept for when the renew token is refused. */
  offer(viewerToken) {
    this.#viewerToken = viewerToken;
    this.wake();
  }

  /** One renewal at a time, whoever asks. Resolves with the new path; throws `Refused`. */
  renew() {
    this.#flight ??= this.#persist(() => this.#ask()).finally(() => (this.#flight = null));
    // Not after a refusal: that would ask again for ever.
    return this.#flight.then((path) => (this.check(), path));
  }

  /** A path that the server serves now. An unexpired URL is tried first: perhaps only the network had failed. */
  async repair() {
    if (!this.isLapsed && (await this.#persist(() => this.#isServed()))) return this.path;
    return this.renew();
  }

  /** True once the URLs live as long as the session: renewing them gains nothing. */
  get #isLastLeg() {
    return this.#sessionAge() - this.age() + this.expiresInSeconds >= this.#endsInSeconds - 1;
  }

  #adopt(answer, age) {
    this.path = localPath(answer.uri);
    this.age = age;
    this.expiresInSeconds = answer.expiresInSeconds;
    // Never a loop, however short a life the server grants.
    this.refreshInSeconds = Math.max(1, answer.refreshInSeconds || 60);
    this.#renewToken = answer.renewToken ?? this.#renewToken;
    this.isTokenWanted = false;
    if (answer.endsInSeconds !== undefined) {
      this.#endsInSeconds = answer.endsInSeconds;
      this.#sessionAge = age;
    }
    this.#sessionAge ??= age;
    return this.path;
  }

  async #ask() {
    const viewerToken = this.#viewerToken;
    try {
      if (!viewerToken || !this.#isLastLeg) return await this.#post();
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      if (!this.#viewerToken && this.#hooks.onTokenWanted()) await this.#sleep(TOKEN_GRACE_SECONDS);
      if (!this.#viewerToken) throw refusal;
    }
    return this.#postViewerToken();
  }

  async #postViewerToken() {
    try {
      const path = await this.#post({ 'x-moviie-playback-token': this.#viewerToken });
      this.#viewerToken = null;
      return path;
    } catch (failure) {
      if (failure instanceof Refused) this.#viewerToken = null;
      throw failure;
    }
  }

  async #post(headers = {}) {
    if (!this.#renewUri) throw new Refused(403, 'session_ended');
    const age = stopwatch();
    const response = await request(this.#renewUri, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ renewToken: this.#renewToken }),
    });
    if (!response.ok) throw await refusalOf(response);
    const answer = await response.json();
    // A viewer token starts the session's age anew; unless told, we no longer know its end.
    if (headers['x-moviie-playback-token']) answer.endsInSeconds ??= Infinity;
    return this.#adopt(answer, age);
  }

  async #isServed() {
    const response = await request(this.path, { headers: { range: 'bytes=0-0' } });
    // Of a whole file that came instead, nothing is wanted.
    if (response.ok) await response.body?.cancel();
    // 404: the file was replaced; a renewal answers the new one's URL.
    if (response.ok || [401, 403, 404].includes(response.status)) return response.ok;
    throw await refusalOf(response);
  }

  /** Tries until there is an answer or a refusal; a hidden page that plays nothing waits until it is shown. */
  async #persist(attempt) {
    for (let failures = 0; ; ) {
      try {
        const result = await attempt();
        this.#hooks.onTrouble(0);
        return result;
      } catch (failure) {
        if (failure instanceof Refused) throw failure;
        this.#hooks.onTrouble(++failures);
        await this.#sleep(RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length) - 1]);
        while (document.hidden && !this.#hooks.isWatching()) await this.#sleep(HOUR_SECONDS);
      }
    }
  }

  #sleep(seconds) {
    return new Promise((resolve) => {
      const awaken = () => {
        clearTimeout(timer);
        this.#sleepers.delete(awaken);
        resolve();
      };
      const timer = setTimeout(awaken, seconds * 1000);
      this.#sleepers.add(awaken);
    });
  }
}

function request(path, options) {
  return fetch(path, {
    cache: 'no-store',
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    signal: AbortSignal.timeout(ANSWER_MS),
    ...options,
  });
}

/** 408, 429 and 5xx pass; other statuses are final. */
async function refusalOf(response) {
  const { status } = response;
  if (status === 408 || status === 429 || status >= 500) return new Error(`status ${status}`);
  const { code, traceId } = await response.json().catch(() => ({}));
  return new Refused(status, code ?? 'playback_refused', traceId ?? response.headers.get('x-request-id') ?? '');
}
