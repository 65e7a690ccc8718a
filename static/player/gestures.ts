/** What a pointer does to the picture: a click plays, two make it fill the screen; two taps on a side seek. */

import { seekTo } from './keyboard';
import type { Player } from './types';

const DOUBLE_TAP_MS = 300;
const SEEK_SECONDS = 10;

export function listenToGestures(player: Player, controller: HTMLElement, told: (seconds: number) => void): void {
  const { video } = player;
  let tappedAt = -Infinity;
  let wasMenuOpen = false;
  controller.addEventListener('pointerdown', () => (wasMenuOpen = controller.hasAttribute('menuopen')), { capture: true });
  video.addEventListener('click', (event) => {
    // A click beside the menu closes it and does no more.
    if (wasMenuOpen) return;
    const { pointerType, clientX } = event as PointerEvent;
    if (pointerType === 'touch') tap(clientX);
    else toggle();
  });
  video.addEventListener('dblclick', (event) => {
    if (lastWasTouch) return;
    event.preventDefault();
    if (document.fullscreenElement) void document.exitFullscreen();
    else controller.requestFullscreen?.().catch(() => {});
  });
  let lastWasTouch = false;
  video.addEventListener('pointerdown', ({ pointerType }) => (lastWasTouch = pointerType === 'touch'));

  function toggle(): void {
    if (video.paused) void player.start();
    else video.pause();
  }

  /** One tap shows or hides the bar, which is media-chrome's doing; before the first start it plays. */
  function tap(x: number): void {
    if (video.played.length === 0 && video.paused) return void player.start();
    const now = performance.now();
    const isSecond = now - tappedAt < DOUBLE_TAP_MS;
    tappedAt = now;
    const { left, width } = video.getBoundingClientRect();
    const third = Math.floor(((x - left) / width) * 3);
    if (!isSecond || third === 1) return;
    const seconds = third === 0 ? -SEEK_SECONDS : SEEK_SECONDS;
    seekTo(player, video.currentTime + seconds);
    told(seconds);
  }
}
