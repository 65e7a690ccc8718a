/**
 * The embed page of a video that may be watched. What plays comes first; controls come beside it, or after the first
 * frame where playing starts by itself. Without this script the video still plays, for as long as its first URL lives.
 */

import { mayMove } from './bare';
import { openBridge } from './bridge';
import { Engine } from './engine';
import { applyPreferences } from './memory';
import { readWishes } from './parameters';
import { applyPosition, startSeconds } from './position';
import type { PlaybackAnswer, Refusal } from './types';

/** A start that takes so long gets its controls all the same. */
const PATIENCE_MS = 4000;
/** Refusals that asking again does not change. */
const FINAL = /revoked|not_found|unplayable/;

/** Where the frame was sent, token included: the bridge tells that page, and no other. */
const arrivedAt = location.href;
const address = takeAddress();
const answer = JSON.parse(document.getElementById('playback')?.textContent ?? 'null') as PlaybackAnswer | null;
const video = document.querySelector<HTMLVideoElement>('#video');
if (answer && video) play(answer, video);

/** Reads the address, and takes the token out of it: addresses are copied, shared and logged. */
function takeAddress(): URL {
  const url = new URL(location.href);
  if (url.searchParams.has('token')) {
    url.searchParams.delete('token');
    history.replaceState(history.state, '', url);
  }
  return url;
}

function play(answer: PlaybackAnswer, video: HTMLVideoElement): void {
  const wishes = readWishes(address);
  const { controls } = answer;
  wishes.autoplay ??= controls.autoplay;
  video.muted = wishes.muted ?? (wishes.autoplay === 'muted' || controls.muted);
  video.loop = wishes.loop ?? controls.loop;
  // The browser's own bar would stand there for a moment, and go.
  video.controls = false;
  wishes.startSeconds = startSeconds(answer, wishes);
  const engine = new Engine(video, answer, wishes);
  applyPreferences(engine);
  applyPosition(engine);
  engine.events.addEventListener('blocked', (event) => void showRefusal(engine, (event as CustomEvent<Refusal>).detail));
  openBridge(engine, arrivedAt);
  // A press on the picture counts before the controls have come, too.
  const press = () => (video.paused ? void engine.start() : video.pause());
  video.addEventListener('click', press);
  const showInterface = once(() => void mount(engine).then(() => video.removeEventListener('click', press)));
  if (!wishes.autoplay || (wishes.background && !mayMove())) return showInterface();
  for (const event of ['firstframe', 'autoplayblocked', 'blocked']) engine.events.addEventListener(event, showInterface);
  setTimeout(showInterface, PATIENCE_MS);
  void engine.start();
}

async function mount(engine: Engine): Promise<void> {
  try {
    const { mountInterface } = await import('./interface');
    await mountInterface(engine);
  } catch (failure) {
    // Then the browser's own controls.
    engine.video.controls = engine.wishes.controls !== false;
    console.error(failure);
  }
}

/** A panel in place of everything else, until the server admits the viewer again. */
async function showRefusal(engine: Engine, refusal: Refusal): Promise<void> {
  const hadFocus = document.hasFocus();
  const main = document.querySelector('main');
  const covered = [...(main?.children ?? [])].filter((child): child is HTMLElement => child instanceof HTMLElement && !child.hidden);
  for (const child of covered) child.hidden = true;
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  const { blockedPanel } = await import('./blocked');
  if (engine.blocked !== refusal) return;
  const panel = blockedPanel(refusal, FINAL.test(refusal.code) ? undefined : () => void engine.retry());
  main?.append(panel);
  engine.events.addEventListener(
    'unblocked',
    () => {
      panel.remove();
      for (const child of covered) child.hidden = false;
    },
    { once: true },
  );
  // Only for a viewer who is here: an embedding page must not jump to its player.
  if (hadFocus) panel.querySelector<HTMLElement>('h1, h2, [tabindex]')?.focus();
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
