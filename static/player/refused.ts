/**
 * The embed page of a video that may not be watched, or not yet: the panel is the server's, a click takes its reference
 * along or tries again, a video in preparation is waited for, and an embedding page that can bring a new token gets a
 * new page for it.
 */

import { addRetryButton, dressPanel } from './blocked';
import { openBridge, senderOrigin } from './bridge';
import { sleep, TOKEN_GRACE_SECONDS } from './request';
import type { PlaybackAnswer, Player, Refusal } from './types';
import { progressOf, waitUntilReady } from './waiting';

const TOKEN_CHARS = 8192;

const arrivedAt = location.href;
/** Where the page is to be had, token included. */
let address = arrivedAt;
const stripped = new URL(arrivedAt);
if (stripped.searchParams.has('token')) {
  stripped.searchParams.delete('token');
  history.replaceState(history.state, '', stripped);
}

const panel = document.getElementById('blocked');
if (panel) {
  const player = playerOf(refusalOf(panel));
  const bridge = openBridge(player, arrivedAt);
  const { code } = player.blocked!;
  if (code === 'playback_token_expired') {
    const button = addRetryButton(panel, () => void loadWithFreshToken(player));
    const show = () => (button.hidden = !bridge.listens('tokenexpiring'));
    show();
    // The bridge has heard the message before.
    addEventListener('message', show);
  } else if (panel.querySelector('.again')) {
    addRetryButton(panel, loadAnew);
  }
  void dressPanel(panel);
  if (code === 'video_not_ready') void wait(panel, player);
}

async function wait(panel: HTMLElement, player: Player): Promise<void> {
  const end = await waitUntilReady(panel, () => address, (progress) => {
    player.events.dispatchEvent(new CustomEvent('blocked', { detail: { ...player.blocked, progress } }));
  });
  if (end === 'playback_token_expired') await loadWithFreshToken(player);
  else loadAnew();
}

/** With what the embedding page brings, or as it was: then the new page says what is wrong. */
async function loadWithFreshToken({ events }: Player): Promise<void> {
  events.dispatchEvent(new Event('tokenexpiring', { cancelable: true }));
  if (window.parent !== window) await sleep(TOKEN_GRACE_SECONDS);
  loadAnew();
}

/** A reload knows nothing of who sent the frame here, but keeps what stands in the entry's state. */
function loadAnew(): void {
  history.replaceState({ sender: senderOrigin() }, '', address);
  location.reload();
}

function refusalOf(panel: HTMLElement): Refusal {
  const refusal = { code: panel.dataset.code ?? '', status: Number(panel.dataset.status) };
  return refusal.code === 'video_not_ready' ? { ...refusal, progress: progressOf(panel) } : refusal;
}

/** A player of nothing, for whoever asks. */
function playerOf(blocked: Refusal): Player {
  return {
    video: document.createElement('video'),
    answer: { durationSeconds: 0, title: '', captions: [] } as unknown as PlaybackAnswer,
    wishes: {},
    qualities: [],
    quality: 'auto',
    blocked,
    events: new EventTarget(),
    assetUrl: (uri) => uri,
    start: async () => {},
    setToken(token) {
      if (typeof token !== 'string' || token === '' || token.length > TOKEN_CHARS) return;
      const url = new URL(address);
      url.searchParams.set('token', token);
      address = url.href;
      loadAnew();
    },
  };
}
