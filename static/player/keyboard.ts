/** The keys that viewers know from other players. They work while focus is in the player's page and nowhere else. */

import type { Player } from './types';

const SEEK_SECONDS = 10;
const VOLUME_STEP = 0.05;
const RATE_STEP = 0.25;
const RATE_MIN = 0.5;
const RATE_MAX = 2;
/** Of the picture rate nothing is known; at 24 to 30 a second this is the next one. */
const FRAME_SECONDS = 1 / 27;

/** What keys do that is not the video's own affair. */
export interface Actions {
  isOn(): boolean;
  togglePlay(): void;
  toggleCaptions(): void;
  toggleFullscreen(): void;
  togglePictureInPicture(): void;
  showHelp(): void;
  /** What has been done, for eyes and screen readers. */
  tell(what: 'volume' | 'speed'): void;
  hasSpeed: boolean;
}

/** Seeks within the video. */
export function seekTo({ video, answer }: Player, seconds: number): void {
  const end = Number.isFinite(video.duration) ? video.duration : answer.durationSeconds;
  video.currentTime = Math.min(Math.max(0, seconds), end);
}

export function listenToKeys(player: Player, actions: Actions): void {
  const { video } = player;
  const seekBy = (seconds: number) => seekTo(player, video.currentTime + seconds);
  const setVolume = (change: number) => {
    video.volume = Math.min(1, Math.max(0, Math.round((video.volume + change) * 100) / 100));
    video.muted = video.volume === 0;
    actions.tell('volume');
  };
  const setRate = (change: number) => {
    if (!actions.hasSpeed) return;
    video.playbackRate = Math.min(RATE_MAX, Math.max(RATE_MIN, video.playbackRate + change));
    actions.tell('speed');
  };
  const step = (frames: number) => {
    video.pause();
    seekBy(frames * FRAME_SECONDS);
  };
  const mute = () => {
    video.muted = !video.muted;
    actions.tell('volume');
  };
  const keys: Record<string, () => void> = {
    ' ': actions.togglePlay,
    k: actions.togglePlay,
    j: () => seekBy(-SEEK_SECONDS),
    l: () => seekBy(SEEK_SECONDS),
    ArrowLeft: () => seekBy(-SEEK_SECONDS),
    ArrowRight: () => seekBy(SEEK_SECONDS),
    ArrowUp: () => setVolume(VOLUME_STEP),
    ArrowDown: () => setVolume(-VOLUME_STEP),
    Home: () => seekTo(player, 0),
    End: () => seekTo(player, Infinity),
    m: mute,
    c: actions.toggleCaptions,
    f: actions.toggleFullscreen,
    p: actions.togglePictureInPicture,
    '<': () => setRate(-RATE_STEP),
    '>': () => setRate(RATE_STEP),
    ',': () => step(-1),
    '.': () => step(1),
    '?': actions.showHelp,
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || !actions.isOn() || player.blocked) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (isTaken(event.target, event.key)) return;
    const act = /^\d$/.test(key) ? () => seekTo(player, (durationOf(player) * Number(key)) / 10) : keys[key];
    if (!act) return;
    event.preventDefault();
    // A held key seeks on, but does not flicker.
    if (event.repeat && !/^(Arrow|[jl,.<>])/.test(key)) return;
    act();
  });
}

const durationOf = ({ video, answer }: Player): number => (Number.isFinite(video.duration) ? video.duration : answer.durationSeconds);

/** Where focus is, some keys already mean something. */
function isTaken(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest('dialog, [role=menu], input, select, textarea')) return true;
  if (target.matches('media-volume-range')) return /^(Arrow|Home|End)/.test(key);
  return target.matches('button, a, [role=button]') && (key === ' ' || key === 'Enter');
}
