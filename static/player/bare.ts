/** A player without a bar. A click or the space bar is still a way to stop what moves (WCAG 2.2.2, 2.1.1). */

import type { Player } from './types';

export function operateBare(player: Player): void {
  const { video } = player;
  const toggle = () => (video.paused ? void player.start() : video.pause());
  video.controls = false;
  video.tabIndex = 0;
  video.addEventListener('click', toggle);
  video.addEventListener('keydown', (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    toggle();
  });
}

/** Whoever asked for less motion is not shown any unasked. */
export const mayMove = (): boolean => !matchMedia('(prefers-reduced-motion: reduce)').matches;

/** A moving picture behind a page: silent, without end. */
export function playInBackground(player: Player): void {
  const { video } = player;
  video.muted = true;
  video.loop = true;
  if (!mayMove()) video.pause();
  else if (video.paused) void player.start();
}
