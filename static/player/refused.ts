/**
 * The embed page of a video that may not be watched: the panel is the server's, a click takes its reference along, and
 * an embedding page that can bring a new token gets a new page for it.
 */

import { dressPanel } from './blocked';
import { openBridge } from './bridge';
import type { PlaybackAnswer, Player } from './types';

const TOKEN_CHARS = 8192;

const arrivedAt = location.href;
const address = new URL(arrivedAt);
if (address.searchParams.has('token')) {
  address.searchParams.delete('token');
  history.replaceState(history.state, '', address);
}

const panel = document.getElementById('blocked');
if (panel) {
  void dressPanel(panel);
  openBridge(playerOf(panel), arrivedAt);
}

/** A player of nothing, for whoever asks. */
function playerOf({ dataset }: HTMLElement): Player {
  return {
    video: document.createElement('video'),
    answer: { durationSeconds: 0, title: '', captions: [] } as unknown as PlaybackAnswer,
    wishes: {},
    qualities: [],
    quality: 'auto',
    blocked: { code: dataset.code ?? '', status: Number(dataset.status) },
    events: new EventTarget(),
    assetUrl: (uri) => uri,
    start: async () => {},
    setToken(token) {
      if (typeof token !== 'string' || token === '' || token.length > TOKEN_CHARS) return;
      address.searchParams.set('token', token);
      location.replace(address);
    },
  };
}
