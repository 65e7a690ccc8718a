/**
 * Keeps one playback session alive: asks for new asset URLs before the old ones lapse, and only while somebody needs
 * them.
 *
 * The server renews in place, so what plays may keep its URLs; a fresh one is needed only after a lapse. Renewal tokens
 * live in this object and nowhere else.
 */

import { isPassing, request, TOKEN_GRACE_SECONDS } from './request';
import type { PlaybackAnswer, Refusal } from './types';

const RETRY_SECONDS = [0.3, 0.6, 1.2, 2.5, 5, 8];
const HOUR_SECONDS = 3600;
/** A request takes its time to arrive: from so long before its expiry on a URL is treated as expired. */
const TRAVEL_SECONDS = 1;

/** The server's no. Everything else that goes wrong is worth another try. */
export class Refused extends Error implements Refusal {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly traceId = '',
  ) {
    super(code);
  }
}

/** The server may know itself by another name than the viewer does (proxy, port): only the path is taken. */
export const localPath = (uri: string): string => new URL(uri, location.href).pathname;

/** `/media/{video}/{grant}/` of an asset's path. */
export const prefixOf = (path: string): string => `${path.split('/').slice(0, 4).join('/')}/`;

/** What an asset is called under its grant: `720p/init.mp4`. */
export const nameOf = (path: string): string => path.split('/').slice(4).join('/');

/** How long to wait after so many failures in a row. */
export const retryMs = (failures: number): number => (RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length) - 1] ?? 8) * 1000;

type Stopwatch = () => number;

/**
 * Seconds since `startedAt`. performance.now() stands still while some machines sleep, and a wall clock can be wrong or
 * set back, so neither is compared with the server's time: of the two differences the greater one counts, and its
 * error is a renewal that comes too early.
 */
function stopwatch(startedAt = performance.now()): Stopwatch {
  const wallStartedAt = Date.now() - (performance.now() - startedAt);
  return () => Math.max(performance.now() - startedAt, Date.now() - wallStartedAt) / 1000;
}

export interface Hooks {
  /** Whether something plays that will need bytes without asking here first: a progressive file. */
  isWatching(): boolean;
  /** Whether the viewer plays, whoever fetches. */
  isPlaying(): boolean;
  /** So many attempts have failed in a row; 0 when it is over. */
  onTrouble(failures: number): void;
  /** Asks the embedding page for a viewer token. True if somebody may bring one. */
  onTokenWanted(): boolean;
  /** A renewal that nobody waits for was refused. */
  onRefused(refusal: Refused): void;
  /** There are new URLs. */
  onRenewed(): void;
}

interface Renewal {
  uri: string;
  expiresInSeconds: number;
  refreshInSeconds?: number;
  renewToken?: string;
  endsInSeconds?: number;
}

export class Session {
  /** `/media/{video}/{grant}/` of the moment. */
  prefix = '';
  /** The first URL of the latest answer. */
  path = '';
  readonly #hooks: Hooks;
  #renewUri: string | null;
  #renewToken = '';
  #viewerToken: string | null = null;
  #age: Stopwatch;
  #expiresInSeconds = 0;
  #refreshInSeconds = 0;
  #endsInSeconds = Infinity;
  #sessionAge: Stopwatch;
  #isDistrusted = false;
  /** A renewal was refused: the URLs are played to their end, and nobody is asked again before. */
  #isRefused = false;
  #isTokenWanted = false;
  #flight: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #sleepers = new Set<() => void>();

  constructor(answer: PlaybackAnswer, hooks: Hooks) {
    this.#hooks = hooks;
    this.#renewUri = answer.session ? localPath(answer.session.renewUri) : null;
    // The answer is as old as the page, not as this script.
    this.#age = this.#sessionAge = stopwatch(0);
    this.#adopt({ ...answer.playback, ...answer.session }, this.#age);
  }

  get isLapsed(): boolean {
    return this.#isDistrusted || this.#age() >= this.#expiresInSeconds - TRAVEL_SECONDS;
  }

  /** The same asset under the grant of the moment. */
  rebase(uri: string): string {
    const path = localPath(uri);
    return path.startsWith('/media/') ? this.prefix + nameOf(path) : path;
  }

  /**
   * Before each request for bytes: begins a renewal when two fifths of the URLs' life are left, and waits for it only
   * where they have none. Throws `Refused` if there are no URLs to be had.
   */
  async fresh(): Promise<void> {
    if (this.isLapsed) await this.renew();
    else this.#renewIfDue();
  }

  /** The server has refused a URL that should live. */
  distrust(prefix: string): void {
    // A late answer to an old URL says nothing of the new one.
    if (prefix === this.prefix) this.#isDistrusted = true;
  }

  /** For what plays without asking: renews when it is time and somebody watches; `isNeeded` overrules. */
  check(isNeeded = this.#hooks.isWatching()): void {
    clearTimeout(this.#timer);
    if (!isNeeded || this.#flight) return;
    const waitSeconds = this.#refreshInSeconds - this.#age();
    if (waitSeconds > 0) this.#timer = setTimeout(() => this.check(), Math.min(waitSeconds, HOUR_SECONDS) * 1000);
    else this.#renewIfDue();
  }

  /** The machine woke up, the network came back, the page was shown: timers may have slept. */
  wake(): void {
    for (const awaken of this.#sleepers) awaken();
    this.check();
  }

  /** A viewer token from the embedder, kept for when the renew token is refused. */
  offer(viewerToken: string): void {
    this.#viewerToken = viewerToken;
    this.#isRefused = false;
    this.wake();
  }

  /** One renewal at a time, whoever asks. Throws `Refused`. */
  renew(): Promise<void> {
    this.#flight ??= this.persist(() => this.#ask()).finally(() => (this.#flight = null));
    // Not after a refusal: that would ask again for ever.
    return this.#flight.then(() => this.check());
  }

  /** Makes sure that the server serves `uri`: perhaps only the network had failed. Answers its path of the moment. */
  async repair(uri: string): Promise<string> {
    if (this.isLapsed || !(await this.persist(() => this.#isServed(this.rebase(uri))))) await this.renew();
    return this.rebase(uri);
  }

  /** Tries until there is an answer or a refusal; a hidden page that plays nothing waits until it is shown. */
  async persist<T>(attempt: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; ) {
      try {
        const result = await attempt();
        this.#hooks.onTrouble(0);
        return result;
      } catch (failure) {
        if (failure instanceof Refused) throw failure;
        this.#hooks.onTrouble(++failures);
        await this.sleep(retryMs(failures));
        while (document.hidden && !this.#hooks.isPlaying()) await this.sleep(HOUR_SECONDS * 1000);
      }
    }
  }

  /** Ends early when the session is woken. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const awaken = () => {
        clearTimeout(timer);
        this.#sleepers.delete(awaken);
        resolve();
      };
      const timer = setTimeout(awaken, ms);
      this.#sleepers.add(awaken);
    });
  }

  #renewIfDue(): void {
    if (this.#flight || this.#isRefused || this.#age() < this.#refreshInSeconds) return;
    if (!this.#isLastLeg || this.#viewerToken) {
      this.renew().catch((failure: unknown) => {
        if (!(failure instanceof Refused)) return;
        this.#isRefused = true;
        // What asks before it loads hears of the refusal when its URLs have lapsed.
        if (this.#hooks.isWatching()) this.#hooks.onRefused(failure);
      });
    } else if (!this.#isTokenWanted) {
      // Only a new viewer token carries on from here: say so once, and play what is left.
      this.#isTokenWanted = true;
      this.#hooks.onTokenWanted();
    }
  }

  /** True once the URLs live as long as the session: renewing them gains nothing. */
  get #isLastLeg(): boolean {
    return this.#sessionAge() - this.#age() + this.#expiresInSeconds >= this.#endsInSeconds - 1;
  }

  #adopt(answer: Renewal, age: Stopwatch): void {
    this.path = localPath(answer.uri);
    this.prefix = prefixOf(this.path);
    this.#age = age;
    this.#isDistrusted = this.#isRefused = false;
    this.#expiresInSeconds = answer.expiresInSeconds;
    // Never a loop, however short a life the server grants.
    this.#refreshInSeconds = Math.max(1, answer.refreshInSeconds || 60);
    this.#renewToken = answer.renewToken ?? this.#renewToken;
    this.#isTokenWanted = false;
    if (answer.endsInSeconds !== undefined) {
      this.#endsInSeconds = answer.endsInSeconds;
      this.#sessionAge = age;
    }
  }

  async #ask(): Promise<void> {
    const viewerToken = this.#viewerToken;
    try {
      if (!viewerToken || !this.#isLastLeg) return await this.#post();
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      if (!this.#viewerToken && this.#hooks.onTokenWanted()) await this.sleep(TOKEN_GRACE_SECONDS * 1000);
      if (!this.#viewerToken) throw refusal;
    }
    return this.#postViewerToken();
  }

  async #postViewerToken(): Promise<void> {
    const viewerToken = this.#viewerToken ?? '';
    try {
      await this.#post(viewerToken).catch((failure: unknown) => {
        // Where no session may be prolonged (`sessionMaxAge` 0) a viewer token is still good for another one.
        if (failure instanceof Refused && failure.code === 'session_too_old') return this.#begin(viewerToken);
        throw failure;
      });
    } catch (failure) {
      if (failure instanceof Refused) this.#forget(viewerToken);
      throw failure;
    }
    this.#forget(viewerToken);
  }

  /** A younger one may have come meanwhile. */
  #forget(viewerToken: string): void {
    if (this.#viewerToken === viewerToken) this.#viewerToken = null;
  }

  async #post(viewerToken = ''): Promise<void> {
    if (!this.#renewUri) throw new Refused(403, 'session_ended');
    const age = stopwatch();
    const response = await request(this.#renewUri, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(viewerToken && { 'x-moviie-playback-token': viewerToken }) },
      body: JSON.stringify({ renewToken: this.#renewToken }),
    });
    if (!response.ok) throw await refusalOf(response);
    const answer = (await response.json()) as Renewal;
    // A viewer token starts the session's age anew; unless told, we no longer know its end.
    if (viewerToken) answer.endsInSeconds ??= Infinity;
    this.#adopt(answer, age);
    this.#hooks.onRenewed();
  }

  /** Another session, opened as this page was: the answer of a second page is taken, and the rest of it left. */
  async #begin(viewerToken: string): Promise<void> {
    const age = stopwatch();
    const response = await request(`${location.pathname}?token=${encodeURIComponent(viewerToken)}`, {});
    if (isPassing(response.status)) throw new Error(`status ${response.status}`);
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    const answer = JSON.parse(page.getElementById('playback')?.textContent ?? 'null') as PlaybackAnswer | null;
    if (!answer) throw new Refused(response.status, page.getElementById('blocked')?.dataset.code ?? 'playback_refused');
    this.#renewUri = localPath(answer.session.renewUri);
    this.#adopt({ ...answer.playback, ...answer.session }, age);
    this.#hooks.onRenewed();
  }

  async #isServed(path: string): Promise<boolean> {
    const response = await request(path, { headers: { range: 'bytes=0-0' } });
    // Of a whole file that came instead, nothing is wanted.
    if (response.ok) await response.body?.cancel();
    // 404: the file was replaced; a renewal answers the new one's URL.
    if (response.ok || [401, 403, 404].includes(response.status)) return response.ok;
    throw await refusalOf(response);
  }
}

/** 408, 429 and 5xx pass; other statuses are final. */
async function refusalOf(response: Response): Promise<Error> {
  const { status } = response;
  if (isPassing(status)) return new Error(`status ${status}`);
  const { code, traceId } = (await response.json().catch(() => ({}))) as { code?: string; traceId?: string };
  return new Refused(status, code ?? 'playback_refused', traceId ?? response.headers.get('x-request-id') ?? '');
}
