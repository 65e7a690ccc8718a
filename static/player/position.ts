/** Where playing begins and stops: as the address asks, or where the viewer left off. */

import { recallPosition, rememberPosition } from './memory';
import type { PlaybackAnswer, Player, Wishes } from './types';

/** Whoever has seen less has hardly begun. */
const BEGINNING_SECONDS = 5;
/** Whoever is as far has seen it all: the rest is credits. */
const SEEN = 0.95;
const SAVE_SECONDS = 5;

const isRemembered = (answer: PlaybackAnswer, wishes: Wishes): boolean =>
  !wishes.background && (wishes.resume ?? answer.controls.rememberPosition);

/** Seconds at which playing begins. For whoever loads the video: nothing before is fetched in vain. */
export function startSeconds(answer: PlaybackAnswer, wishes: Wishes): number {
  if (wishes.startSeconds) return wishes.startSeconds;
  const left = isRemembered(answer, wishes) ? (recallPosition(answer.embedId) ?? 0) : 0;
  return isWorthReturning(left, answer.durationSeconds) ? left : 0;
}

const isWorthReturning = (seconds: number, duration: number): boolean =>
  seconds >= BEGINNING_SECONDS && (!(duration > 0) || seconds < duration * SEEN);

/** Begins there, stops at `end`, and remembers where the viewer is. */
export function applyPosition(player: Player): void {
  const { video, answer, wishes } = player;
  const begin = startSeconds(answer, wishes);
  const seek = () => {
    // Whoever loads the video may have begun there already, and a viewer may have gone on.
    if (begin > 0 && video.currentTime < 1 && video.played.length === 0) video.currentTime = begin;
  };
  if (video.readyState >= video.HAVE_METADATA) seek();
  else video.addEventListener('loadedmetadata', seek, { once: true });
  if (wishes.endSeconds !== undefined && wishes.endSeconds > begin) stopAt(player, wishes.endSeconds, begin);
  if (isRemembered(answer, wishes)) keep(player);
}

/** Once: a viewer who plays on, or goes behind the end, wants to see it. */
function stopAt({ video }: Player, end: number, begin: number): void {
  let before = video.currentTime;
  video.addEventListener('timeupdate', () => {
    const now = video.currentTime;
    const hasCome = before < end && now >= end && now - before < 2 && !video.seeking;
    before = now;
    if (!hasCome) return;
    if (video.loop) video.currentTime = begin;
    else video.pause();
  });
}

function keep({ video, answer: { embedId, durationSeconds } }: Player): void {
  let saved = -SAVE_SECONDS;
  const save = () => {
    const { currentTime: seconds } = video;
    if (video.readyState < video.HAVE_METADATA || video.played.length === 0 || seconds < BEGINNING_SECONDS) return;
    saved = seconds;
    const duration = Number.isFinite(video.duration) ? video.duration : durationSeconds;
    rememberPosition(embedId, isWorthReturning(seconds, duration) ? seconds : undefined);
  };
  video.addEventListener('timeupdate', () => Math.abs(video.currentTime - saved) >= SAVE_SECONDS && save());
  video.addEventListener('pause', save);
  video.addEventListener('ended', () => rememberPosition(embedId));
  addEventListener('pagehide', save);
}
