/** Stand-in for the interface: the browser's own controls, and the notice. */

import type { Player } from './types';

const VOLUME_KEY = 'screener.volume';

export async function mountInterface(player: Player): Promise<void> {
  const { video, answer, wishes, events } = player;
  const remembered = recall();
  if (remembered) {
    video.volume = remembered.volume;
    if (wishes.muted === undefined && !wishes.autoplay) video.muted = remembered.muted;
  }
  video.addEventListener('volumechange', () => {
    if (navigator.userActivation?.hasBeenActive) remember({ volume: video.volume, muted: video.muted });
  });
  const notice = document.getElementById('notice');
  events.addEventListener('waitinglong', (event) => {
    if (notice) notice.textContent = (event as CustomEvent<boolean>).detail ? 'Connection lost. Retrying…' : '';
  });
  video.controls = wishes.controls !== false;
  if (!video.controls) makeOperable(player);
  if ('mediaSession' in navigator) {
    navigator.mediaSession.metadata = new MediaMetadata({ title: answer.title, artist: answer.branding.organizationName });
  }
}

/** Without a control bar, a click or the space bar is still a way to stop what moves (WCAG 2.2.2, 2.1.1). */
function makeOperable(player: Player): void {
  const { video } = player;
  const toggle = () => (video.paused ? void player.start() : video.pause());
  video.tabIndex = 0;
  video.addEventListener('click', toggle);
  video.addEventListener('keydown', (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    toggle();
  });
}

/** Storage is absent in many third-party frames, and what stands in it was not necessarily written by us. */
function recall(): { volume: number; muted: boolean } | null {
  try {
    const { volume, muted } = JSON.parse(localStorage.getItem(VOLUME_KEY) ?? 'null') ?? {};
    return volume >= 0 && volume <= 1 ? { volume, muted: muted === true } : null;
  } catch {
    return null;
  }
}

function remember(volume: { volume: number; muted: boolean }): void {
  try {
    localStorage.setItem(VOLUME_KEY, JSON.stringify(volume));
  } catch {
    // Then the next video begins as loud as the first.
  }
}
