/**
 * What a viewer set once and need not set again. Storage is absent in many third-party frames, and what stands in it
 * was not necessarily written by us.
 */

import type { Player } from './types';

const PREFERENCES = 'screener.preferences';
const POSITIONS = 'screener.positions';
/** So many videos are remembered; the ones seen longest ago are forgotten. */
const POSITIONS_KEPT = 100;

export interface Preferences {
  /** 0 to 1. */
  volume?: number;
  muted?: boolean;
  /** Language of the captions, or `off`. */
  captions?: string;
  rate?: number;
  /** Whether single keys operate the player. */
  keyboard?: boolean;
}

const KINDS = { volume: 'number', muted: 'boolean', captions: 'string', rate: 'number', keyboard: 'boolean' };

export function recall(): Preferences {
  const found = Object.entries(read(PREFERENCES)).filter(([name, value]) => typeof value === KINDS[name as keyof typeof KINDS]);
  const { volume, rate, ...others } = Object.fromEntries(found) as Preferences;
  const preferences: Preferences = others;
  if (volume !== undefined && volume >= 0 && volume <= 1) preferences.volume = volume;
  if (rate !== undefined && rate >= 0.25 && rate <= 2) preferences.rate = rate;
  return preferences;
}

export function remember(changes: Preferences): void {
  write(PREFERENCES, { ...recall(), ...changes });
}

/** Seconds; undefined if there is nothing to come back to. */
export function recallPosition(embedId: string): number | undefined {
  const seconds = positions()[embedId];
  return seconds !== undefined && seconds > 0 ? seconds : undefined;
}

/** Without seconds it is forgotten. */
export function rememberPosition(embedId: string, seconds?: number): void {
  const { [embedId]: _, ...others } = positions();
  // The youngest last: objects keep the order of such keys.
  const entries = Object.entries(others).slice(1 - POSITIONS_KEPT);
  if (seconds !== undefined) entries.push([embedId, Math.floor(seconds)]);
  else if (_ === undefined) return;
  write(POSITIONS, Object.fromEntries(entries));
}

/**
 * Sets sound and speed as they were left, where nobody asks for anything else, and notices what the viewer changes.
 * Before playing starts.
 */
export function applyPreferences(player: Player): void {
  const { video, wishes } = player;
  const { volume, muted, rate } = recall();
  if (!wishes.background) {
    if (volume !== undefined) video.volume = volume;
    if (muted !== undefined && wishes.muted === undefined && !wishes.autoplay) video.muted = muted;
    const wished = wishes.rate ?? (hasSpeedMenu(player) ? rate : undefined);
    // Loading sets the rate back to its default.
    if (wished) video.defaultPlaybackRate = video.playbackRate = wished;
  }
  // What the page or a browser's autoplay rule set is not the viewer's wish.
  const isViewer = () => navigator.userActivation?.hasBeenActive && !wishes.background;
  video.addEventListener('volumechange', () => isViewer() && remember({ volume: video.volume, muted: video.muted }));
  video.addEventListener('ratechange', () => {
    if (!isViewer() || video.playbackRate === 0) return;
    video.defaultPlaybackRate = video.playbackRate;
    remember({ rate: video.playbackRate });
  });
}

export const hasSpeedMenu = ({ wishes, answer }: Player): boolean => wishes.speed ?? answer.controls.showSpeed;

function positions(): Record<string, number> {
  const found = Object.entries(read(POSITIONS)).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
  return Object.fromEntries(found);
}

function read(key: string): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function write(key: string, value: object): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Then the next video begins as the first did.
  }
}
