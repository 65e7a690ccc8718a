/**
 * The embed page: sets the video up as the address asks, keeps its session alive, mends it when it fails, and lets the
 * embedding page drive it. Without this script the video still plays, for as long as its first URL lives.
 */

import { addCopyButton, blockedPanel } from './blocked.js';
import { Bridge } from './messages.js';
import { localPath, Refused, Session } from './session.js';

/** So many errors within so short a time, on URLs that are served: it is the file or the browser. */
const FAILURES = 4;
const FAILURES_MS = 30_000;
const VOLUME_KEY = 'screener.volume';
const TOKEN_CHARS = 8192;

const address = takeAddress();
const answer = JSON.parse(document.getElementById('playback')?.textContent ?? 'null');
if (answer) play(answer);
else explain(document.getElementById('blocked'));

/** Reads the address, and takes the token out of it: addresses are copied, shared and logged. */
function takeAddress() {
  const url = new URL(location.href);
  if (url.searchParams.has('token')) {
    url.searchParams.delete('token');
    history.replaceState(history.state, '', url);
  }
  return url;
}

/** The server's own panel. A parent that can bring a new token gets a new page for it. */
function explain(panel) {
  addCopyButton(panel);
  const bridge = new Bridge({
    setToken(token) {
      if (!isToken(token)) return;
      address.searchParams.set('token', token);
      location.replace(address);
    },
  });
  bridge.stand('blocked', { reason: panel.dataset.code, status: Number(panel.dataset.status) });
}

function play(answer) {
  const video = document.getElementById('video');
  const notice = document.getElementById('notice');
  let blocked = null;
  let isMending = false;
  let failedAt = [];
  /** Where and how playing goes on after a new source; what the video says of itself is lost with the old one. */
  const spot = { seconds: startSeconds(), isPlaying: false, isPending: true };

  const session = new Session(answer, {
    isWatching: () => !blocked && spot.isPlaying && !video.ended && !isBufferedToEnd(),
    onTrouble(count) {
      // One lost request while the picture moves is no news.
      const isNews = count > 1 || (count > 0 && (video.error || video.readyState < video.HAVE_FUTURE_DATA));
      notice.textContent = isNews ? 'Connection lost. Retrying…' : '';
    },
    onTokenWanted() {
      bridge.announce('tokenexpiring');
      return bridge.listens('tokenexpiring');
    },
    onRefused: block,
  });

  const bridge = new Bridge({
    play: () => void (blocked || start()),
    pause: () => video.pause(),
    getPaused: () => video.paused,
    getDuration: () => duration(),
    getCurrentTime: () => (spot.isPending ? spot.seconds : video.currentTime),
    setCurrentTime: (seconds) => Number.isFinite(seconds) && seekTo(seconds),
    mute: () => (video.muted = true),
    unmute: () => (video.muted = false),
    getMuted: () => video.muted,
    setVolume: (percent) => Number.isFinite(percent) && (video.volume = Math.min(100, Math.max(0, percent)) / 100),
    getVolume: () => Math.round(video.volume * 100),
    setLoop: (isLooping) => (video.loop = isLooping === true || isLooping === 'true'),
    getLoop: () => video.loop,
    setToken(token) {
      if (!isToken(token)) return;
      session.offer(token);
      if (blocked) mend();
    },
  });

  // The answer's duration, so that an embedder who asks right after `ready` is not told 0.
  function duration() {
    return Number.isFinite(video.duration) ? video.duration : (answer.durationSeconds ?? 0);
  }

  function isBuffered(from, to) {
    const { buffered } = video;
    return Array.from(buffered, (_, i) => i).some((i) => buffered.start(i) <= from && buffered.end(i) >= to);
  }

  function isBufferedToEnd() {
    return isBuffered(video.loop ? 0 : video.currentTime, duration() - 0.1);
  }

  function seekTo(seconds) {
    spot.seconds = Math.max(0, seconds);
    if (!spot.isPending) video.currentTime = spot.seconds;
  }

  /** With sound if the browser lets us, else without (WCAG 1.4.2 agrees), else the viewer presses play. */
  async function start() {
    try {
      await video.play();
    } catch (refusal) {
      if (refusal.name !== 'NotAllowedError') return;
      video.muted = true;
      await video.play().catch(() => bridge.announce('autoplayblocked'));
    }
  }

  /** After an error: a source that the server serves, at the same spot. */
  async function mend() {
    if (isMending) return;
    isMending = true;
    try {
      const now = performance.now();
      failedAt = [...failedAt.filter((then) => now - then < FAILURES_MS), now];
      if (failedAt.length > FAILURES) throw new Refused(0, 'media_unplayable');
      const path = blocked ? await session.renew() : await session.repair();
      unblock();
      spot.isPending = true;
      // Loading sets the rate back to its default.
      video.defaultPlaybackRate = video.playbackRate;
      video.src = path;
      rebaseCaptions(path);
      if (spot.isPlaying) void start();
    } catch (refusal) {
      block(refusal);
    } finally {
      isMending = false;
    }
  }

  function block(refusal) {
    const hadFocus = document.hasFocus();
    unblock();
    blocked = blockedPanel(refusal);
    document.fullscreenElement && document.exitFullscreen().catch(() => {});
    notice.textContent = '';
    spot.isPending = true;
    video.hidden = true;
    video.removeAttribute('src');
    video.load();
    document.querySelector('main').append(blocked);
    // Only for a viewer who is here: an embedding page must not jump to its player.
    if (hadFocus) blocked.querySelector('h1').focus();
    bridge.stand('blocked', { reason: refusal.code, status: refusal.status });
    // Client code that was written for other players knows only this one.
    bridge.emit('error', { code: refusal.status, msg: refusal.code });
  }

  function unblock() {
    if (!blocked) return;
    blocked.remove();
    blocked = null;
    failedAt = [];
    video.hidden = false;
    bridge.ready();
  }

  /** Captions live under the same grant as the video: `/media/{video}/{grant}/`. */
  function rebaseCaptions(path) {
    const prefix = path.split('/').slice(0, 4).join('/');
    for (const track of video.querySelectorAll('track')) {
      const rest = localPath(track.src).split('/').slice(4).join('/');
      track.src = `${prefix}/${rest}`;
    }
  }

  video.addEventListener('error', () => {
    if (!blocked) mend();
  });
  video.addEventListener('loadedmetadata', () => {
    if (spot.seconds > 0 && spot.seconds < duration()) video.currentTime = spot.seconds;
    spot.isPending = false;
  });
  video.addEventListener('timeupdate', () => {
    // A source that is being replaced reports 0.
    if (spot.isPending || video.error) return;
    spot.seconds = video.currentTime;
    bridge.emit('timeupdate', { seconds: video.currentTime, duration: duration() });
  });
  video.addEventListener('seeking', () => {
    if (spot.isPending) return;
    spot.seconds = video.currentTime;
    if (!isBuffered(spot.seconds, spot.seconds)) session.check(true);
  });
  for (const event of ['play', 'pause']) {
    video.addEventListener(event, () => {
      // Chromium pauses a video that has failed; the viewer has not.
      if (video.error) return;
      spot.isPlaying = event === 'play';
      session.check();
      bridge.emit(event);
    });
  }
  for (const event of ['ended', 'seeked']) video.addEventListener(event, () => bridge.emit(event));
  video.addEventListener('volumechange', () => {
    // What the page or a browser's autoplay rule set is not the viewer's wish.
    if (navigator.userActivation?.hasBeenActive) remember({ volume: video.volume, muted: video.muted });
    bridge.emit('volumechange', { volume: Math.round(video.volume * 100), muted: video.muted });
  });
  for (const event of ['online', 'pageshow']) window.addEventListener(event, () => session.wake());
  document.addEventListener('visibilitychange', () => document.hidden || session.wake());

  for (const { uri, language, label } of answer.captions ?? []) {
    const track = document.createElement('track');
    video.append(Object.assign(track, { kind: 'captions', src: localPath(uri), srclang: language, label }));
  }
  const asked = answer.controls ?? {};
  const remembered = recall();
  const autoplay = address.searchParams.get('autoplay');
  video.volume = remembered.volume ?? 1;
  video.muted = flag(['muted', 'mute'], autoplay === 'muted' || (remembered.muted ?? asked.muted ?? false));
  video.loop = flag(['loop'], asked.loop ?? false);
  video.controls = flag(['controls'], video.controls);
  if (!video.controls) makeOperable(video, start);
  if ('mediaSession' in navigator) {
    navigator.mediaSession.metadata = new MediaMetadata({ title: answer.title, artist: answer.branding?.organizationName });
  }
  bridge.ready();
  // Both may have come before this script.
  if (video.readyState >= video.HAVE_METADATA) video.dispatchEvent(new Event('loadedmetadata'));
  if (!video.paused) video.dispatchEvent(new Event('play'));
  if (video.error) mend();
  if (autoplay === 'muted' || flag(['autoplay'], asked.autoplay ?? false)) void start();
}

/** Without a control bar, a click or the space bar is still a way to stop what moves (WCAG 2.2.2, 2.1.1). */
function makeOperable(video, start) {
  const toggle = () => (video.paused ? start() : video.pause());
  video.tabIndex = 0;
  video.addEventListener('click', toggle);
  video.addEventListener('keydown', (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    toggle();
  });
}

/** `?loop` is `?loop=1`; what is neither on nor off is as if it were not there. */
function flag(names, otherwise) {
  const value = names.map((name) => address.searchParams.get(name)).find((found) => found !== null);
  if (['', '1', 'true', 'yes', 'on'].includes(value)) return true;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  return otherwise;
}

/** `t=90`, `t=90s`, `t=1m30s`, `start=1h2m3s`; 0 for anything else. */
function startSeconds() {
  const text = address.searchParams.get('t') ?? address.searchParams.get('start') ?? '';
  const [, h = 0, m = 0, s = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?$/.exec(text) ?? [];
  return Number(h) * 3600 + Number(m) * 60 + Number(s);
}

function isToken(token) {
  return typeof token === 'string' && token !== '' && token.length <= TOKEN_CHARS;
}

/** Storage is absent in many third-party frames, and what stands in it was not necessarily written by us. */
function recall() {
  try {
    const { volume, muted } = JSON.parse(localStorage.getItem(VOLUME_KEY)) ?? {};
    return { volume: volume >= 0 && volume <= 1 ? volume : 1, muted: muted === true };
  } catch {
    return {};
  }
}

function remember(volume) {
  try {
    localStorage.setItem(VOLUME_KEY, JSON.stringify(volume));
  } catch {
    // Then the next video begins as loud as the first.
  }
}
