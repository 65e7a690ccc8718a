/**
 * A progressive file, or a playlist that the browser reads itself: the browser fetches as it likes. The session renews
 * its URL in place; after a lapse the video fails, and gets a fresh URL at the same spot.
 */

import type { Engine, Source } from './engine';
import { localPath, Refused } from './session';
import type { Quality } from './types';

export class FileSource implements Source {
  readonly isFetchingAlone = true;
  readonly qualities: readonly Quality[] = [];
  quality = 'auto';
  readonly #engine: Engine;
  readonly #name: string;
  #isAttached = false;
  #isMending = false;

  /** @param name the file's name below the grant */
  constructor(engine: Engine, name: string) {
    this.#engine = engine;
    this.#name = name;
    const { video } = engine;
    video.addEventListener('error', () => void this.#mend());
    video.addEventListener('loadedmetadata', () => this.#seek());
  }

  attach(): void {
    const { video, wishes } = this.#engine;
    const path = this.#uri;
    this.#isAttached = true;
    video.preload = wishes.preload ?? 'metadata';
    // The page has named the source already: it may be on its way, or have failed.
    if (!video.currentSrc && !video.src || localPath(video.src) !== path) this.#load(path);
    else if (video.error) void this.#mend();
    else if (video.readyState >= video.HAVE_METADATA) this.#seek();
    this.#engine.session.check();
  }

  detach(): void {
    const { video } = this.#engine;
    this.#isAttached = false;
    video.removeAttribute('src');
    video.load();
  }

  get #uri(): string {
    return this.#engine.session.prefix + this.#name;
  }

  #seek(): void {
    const { video, seconds, duration } = this.#engine;
    if (this.#isAttached && seconds > 0 && seconds < duration) video.currentTime = seconds;
  }

  #load(path: string): void {
    const { video } = this.#engine;
    // Loading sets the rate back to its default.
    video.defaultPlaybackRate = video.playbackRate;
    video.src = path;
  }

  /** After an error: a source that the server serves, at the same spot. */
  async #mend(): Promise<void> {
    const engine = this.#engine;
    if (this.#isMending || !this.#isAttached || !engine.video.hasAttribute('src') || !engine.endure()) return;
    this.#isMending = true;
    try {
      const path = await engine.session.repair(this.#uri);
      if (!this.#isAttached) return;
      this.#load(path);
      if (engine.isPlaying) void engine.start();
    } catch (failure) {
      if (failure instanceof Refused) engine.refuse(failure);
    } finally {
      this.#isMending = false;
    }
  }
}
