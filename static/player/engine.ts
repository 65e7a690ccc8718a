/**
 * What plays: one `<video>`, the session that pays for its bytes, and a source that loads them. Blocks when the server
 * refuses, and goes on from the same spot when it admits again.
 */

import { FileSource } from './file';
import { canSegment, HlsSource } from './hls';
import { nameOf, localPath, Refused, Session } from './session';
import type { PlaybackAnswer, Player, Quality, Refusal, Wishes } from './types';

const TOKEN_CHARS = 8192;
/** So many failures within so short a time, on URLs that are served: it is the file or the browser. */
const FAILURES = 4;
const FAILURES_MS = 30_000;
/** So much picture has to be left for a refusal to wait until it is shown. */
const LEFT_SECONDS = 0.3;

/** Browsers play over so small a hole, and many a video begins a little after 0. */
export const HOLE_SECONDS = 0.1;

/** What loads bytes into the video. */
export interface Source {
  readonly qualities: readonly Quality[];
  quality: string;
  /** Begins where playing is. */
  attach(): void;
  /** Lets go of the video. */
  detach(): void;
  /** Whether it fetches on its own, so that the session has to be renewed by the clock while it plays. */
  readonly isFetchingAlone: boolean;
}

export class Engine implements Player {
  readonly events = new EventTarget();
  readonly session: Session;
  blocked: Refusal | null = null;
  /** Where playing is, or begins once the source is there. */
  seconds: number;
  /** What the viewer wants, whatever the source does at the moment. */
  isPlaying = false;
  readonly #source: Source;
  /** Refused, but something is left to be shown. */
  #refusal: Refused | null = null;
  #admitted = Promise.resolve();
  #admit = () => {};
  #failedAt: number[] = [];
  #isInTrouble = false;

  constructor(
    readonly video: HTMLVideoElement,
    readonly answer: PlaybackAnswer,
    readonly wishes: Wishes,
  ) {
    this.seconds = wishes.startSeconds ?? 0;
    this.session = new Session(answer, {
      isPlaying: () => !this.blocked && this.isPlaying,
      isWatching: () => this.#source.isFetchingAlone && !this.blocked && this.isPlaying && !video.ended && !this.#isBufferedToEnd(),
      onTrouble: (failures) => this.tellTrouble(failures),
      onTokenWanted: () => !this.events.dispatchEvent(new Event('tokenexpiring', { cancelable: true })),
      onRefused: (refusal) => this.refuse(refusal),
      onRenewed: () => this.#renewed(),
    });
    const { contentType } = answer.playback;
    this.#source = contentType === 'hls' && canSegment(answer) ? new HlsSource(this) : new FileSource(this, fileOf(answer));
    this.#listen();
    this.#watchFirstFrame();
    this.#source.attach();
  }

  get qualities(): readonly Quality[] {
    return this.#source.qualities;
  }

  get quality(): string {
    return this.#source.quality;
  }

  set quality(id: string) {
    this.#source.quality = id;
  }

  /** Before the browser knows, the answer does: whoever asks early is not told 0. */
  get duration(): number {
    return Number.isFinite(this.video.duration) ? this.video.duration : this.answer.durationSeconds;
  }

  assetUrl(uri: string): string {
    return this.session.rebase(uri);
  }

  async start(): Promise<void> {
    const { video } = this;
    try {
      await video.play();
    } catch (refusal) {
      if ((refusal as Error).name !== 'NotAllowedError') return;
      // WCAG 1.4.2 agrees.
      video.muted = true;
      await video.play().catch(() => this.emit('autoplayblocked'));
    }
  }

  setToken(token: string): void {
    if (typeof token !== 'string' || token === '' || token.length > TOKEN_CHARS) return;
    this.session.offer(token);
    if (this.blocked || this.#refusal) void this.retry();
  }

  /** Asks the server again after a refusal. */
  async retry(): Promise<void> {
    try {
      await this.session.renew();
    } catch (failure) {
      if (failure instanceof Refused && this.#refusal) this.#block(failure);
      return;
    }
    this.#refusal = null;
    this.#admit();
    if (!this.blocked) return;
    this.blocked = null;
    this.#failedAt = [];
    this.emit('unblocked');
    this.#source.attach();
    if (this.isPlaying) void this.start();
  }

  /** The server's no: what is buffered is shown, then the video is blocked. */
  refuse(refusal: Refused): void {
    if (this.blocked || this.#refusal) return;
    this.#refusal = refusal;
    this.#admitted = new Promise((resolve) => (this.#admit = resolve));
    this.#blockIfShown();
  }

  /** Resolves when nothing is refused. */
  get admitted(): Promise<void> {
    return this.#admitted;
  }

  /** Counts a failure of file or browser. Too many are final: false. */
  endure(code = 'media_unplayable'): boolean {
    const now = performance.now();
    this.#failedAt = [...this.#failedAt.filter((then) => now - then < FAILURES_MS), now];
    if (this.#failedAt.length <= FAILURES) return true;
    this.#block(new Refused(0, code));
    return false;
  }

  /** One lost request while the picture moves is no news. */
  tellTrouble(failures: number): void {
    const { video } = this;
    const isStanding = video.error !== null || video.readyState < video.HAVE_FUTURE_DATA;
    const isNews = failures > 1 || (failures > 0 && isStanding);
    if (isNews === this.#isInTrouble) return;
    this.#isInTrouble = isNews;
    this.emit('waitinglong', isNews);
  }

  emit(event: string, detail?: unknown): void {
    this.events.dispatchEvent(new CustomEvent(event, { detail }));
  }

  isBuffered(from: number, to: number): boolean {
    return (this.bufferedEnd(from) ?? -1) >= to;
  }

  /** The end of what is buffered at a moment, or undefined. In seconds, both. */
  bufferedEnd(seconds: number): number | undefined {
    const { buffered } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) - HOLE_SECONDS <= seconds && seconds <= buffered.end(i)) return buffered.end(i);
    }
    return undefined;
  }

  #isBufferedToEnd(): boolean {
    return this.isBuffered(this.video.loop ? 0 : this.video.currentTime, this.duration - 0.1);
  }

  #blockIfShown(): void {
    const { video } = this;
    if (!this.#refusal) return;
    const isShowing = this.isPlaying && !video.seeking && !video.ended && !video.error;
    if (isShowing && this.isBuffered(video.currentTime, video.currentTime + LEFT_SECONDS)) return;
    this.#block(this.#refusal);
  }

  #block(refusal: Refused): void {
    this.#refusal = null;
    if (this.blocked) return;
    const { video } = this;
    // A seek is told a moment after it was made, and by then nothing is heard any more.
    if (!video.error && video.readyState > video.HAVE_NOTHING) this.seconds = video.currentTime;
    this.blocked = refusal;
    this.tellTrouble(0);
    this.#source.detach();
    this.emit('blocked', refusal);
  }

  #listen(): void {
    const { video } = this;
    for (const event of ['play', 'pause'] as const) {
      video.addEventListener(event, () => {
        // Chromium pauses a video that has failed or lost its source; the viewer has not.
        if (video.error || this.blocked || video.readyState === video.HAVE_NOTHING && event === 'pause') return;
        this.isPlaying = event === 'play';
        this.session.check();
      });
    }
    video.addEventListener('timeupdate', () => {
      // A source that is being replaced reports 0.
      if (!this.blocked && !video.error && video.readyState > video.HAVE_NOTHING) this.seconds = video.currentTime;
    });
    video.addEventListener('seeking', () => {
      if (this.blocked || video.readyState === video.HAVE_NOTHING) return;
      this.seconds = video.currentTime;
      if (!this.isBuffered(this.seconds, this.seconds)) this.session.check(this.#source.isFetchingAlone);
    });
    for (const event of ['waiting', 'ended', 'pause', 'seeking', 'timeupdate']) {
      video.addEventListener(event, () => this.#blockIfShown());
    }
    // A track is fetched when it is first shown: perhaps long after its URL was written.
    video.textTracks.addEventListener('change', () => {
      if (this.session.isLapsed && !this.blocked) this.session.renew().catch(() => {});
    });
    for (const event of ['online', 'pageshow']) addEventListener(event, () => this.session.wake());
    document.addEventListener('visibilitychange', () => document.hidden || this.session.wake());
    // It may have begun before this script.
    this.isPlaying = !video.paused;
  }

  #watchFirstFrame(): void {
    const { video } = this;
    let isTold = false;
    const tell = () => {
      if (isTold) return;
      isTold = true;
      this.emit('firstframe');
    };
    video.requestVideoFrameCallback?.(tell);
    // A page in the background presents no frames, sound has none.
    video.addEventListener('timeupdate', () => video.currentTime > this.seconds && tell());
    video.addEventListener('playing', () => video.videoWidth === 0 && tell());
  }

  /** A track that has been read stays; one that failed, or was not asked for yet, gets the URL of the moment. */
  #renewed(): void {
    for (const track of this.video.querySelectorAll('track')) {
      if (track.readyState !== HTMLTrackElement.LOADED) track.src = this.session.rebase(track.src);
    }
    this.emit('renewed');
  }
}

/** The name of the file that plays where segments can't: a progressive one, or the playlist, which Safari reads. */
function fileOf({ playback, variants }: PlaybackAnswer): string {
  const uri = playback.contentType === 'mp4' ? playback.uri : (variants[0]?.uri ?? playback.uri);
  return nameOf(localPath(uri));
}
