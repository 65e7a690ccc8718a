/**
 * What viewers see and operate: media-chrome's elements around the page's `<video>`, a settings menu, keys, gestures,
 * captions. Everything is said in the viewer's language; the bar runs from left to right in all of them, as time does.
 */

import 'media-chrome/media-controller';
import 'media-chrome/media-control-bar';
import 'media-chrome/media-play-button';
import 'media-chrome/media-seek-backward-button';
import 'media-chrome/media-seek-forward-button';
import 'media-chrome/media-mute-button';
import 'media-chrome/media-volume-range';
import 'media-chrome/media-time-display';
import 'media-chrome/media-time-range';
import 'media-chrome/media-preview-thumbnail';
import 'media-chrome/media-preview-time-display';
import 'media-chrome/media-pip-button';
import 'media-chrome/media-fullscreen-button';
import 'media-chrome/media-loading-indicator';
import { addTranslation, setLanguage } from 'media-chrome/utils/i18n';
import { operateBare, playInBackground } from './bare';
import { type Captions, keyOf, openCaptions } from './captions';
import { visibleColour } from './colour';
import { drawing, make } from './elements';
import { listenToGestures } from './gestures';
import { type Actions, listenToKeys, seekTo } from './keyboard';
import { chooseLanguage, loadLanguage, type Words } from './languages';
import { hasSpeedMenu, recall, remember } from './memory';
import { Menu, type Row } from './menu';
import type { Player } from './types';

const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const SEEK_SECONDS = '10';
/** A wait that is shorter is not worth a sign. */
const LOADING_MS = '400';
const FLASH_MS = 1200;
/** Seconds without a movement after which the bar goes away. */
const AUTOHIDE = '3';

/** Sliders: two lines with a knob on each. */
const SETTINGS = 'M3 6.5h9.3a3 3 0 0 1 5.4 0H21v2h-3.3a3 3 0 0 1-5.4 0H3Zm0 9h3.3a3 3 0 0 1 5.4 0H21v2h-9.3a3 3 0 0 1-5.4 0H3Z';
const CAPTIONS = 'M4 5h16a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Zm2.5 6h5v2h-5Zm7 0h4v2h-4Zm-7 3.5h3v2h-3Zm5 0h6v2h-6Z';

export async function mountInterface(player: Player): Promise<void> {
  const { video, wishes } = player;
  const tag = chooseLanguage(wishes.lang);
  const [words] = await Promise.all([loadLanguage(tag), loadStyle()]);
  document.documentElement.lang = tag;
  tellTrouble(player, words);
  tellSystem(player);
  const captions = openCaptions(player);
  if (wishes.background || wishes.controls === false) {
    operateBare(player);
    if (wishes.background) return playInBackground(player);
    return operateByKeys(player, { captions, words, tell: () => {} });
  }
  setLanguage(tag);
  addTranslation(tag, words.elements);
  build(player, words, captions);
  video.controls = false;
}

/** Beside this script. Without it everything works and looks plain. */
function loadStyle(): Promise<unknown> {
  const href = new URL('./interface.css', import.meta.url).href;
  const link = make('link', { rel: 'stylesheet', href });
  const isLoaded = new Promise((resolve) => {
    for (const event of ['load', 'error']) link.addEventListener(event, resolve);
  });
  document.head.append(link);
  return isLoaded;
}

function build(player: Player, words: Words, captions: Captions): void {
  const { video, answer, wishes } = player;
  const controller = frame(video, words);
  const colour = visibleColour(wishes.color ?? '') ?? visibleColour(answer.branding.primaryColor ?? '');
  if (colour) controller.style.setProperty('--accent', colour);

  const flash = make('p', { class: 'flash', role: 'status', dir: 'auto', noautohide: true, slot: 'top-chrome' });
  let flashes = 0;
  const tell = (text: string) => {
    clearTimeout(flashes);
    flash.textContent = text;
    flashes = setTimeout(() => (flash.textContent = ''), FLASH_MS) as unknown as number;
  };

  const settings = button('settings', words.settings, SETTINGS);
  const help = helpDialog(words);
  let isKeyboardOn = wishes.keyboard ?? recall().keyboard ?? true;
  const showHelp = () => help.showModal();
  const menu = new Menu(settings, rows, words, (isOpen) => {
    // A bar that goes away would take the menu's button along.
    controller.setAttribute('autohide', isOpen ? '-1' : AUTOHIDE);
    controller.toggleAttribute('menuopen', isOpen);
  });

  function rows(): Row[] {
    const { tracks } = captions;
    const { qualities } = player;
    const found: Row[] = [];
    if (tracks.length > 0) {
      found.push({
        title: words.captions,
        choices: () => [{ value: 'off', label: words.off }, ...tracks.map((track) => ({ value: keyOf(track), label: track.label || track.language }))],
        value: () => captions.value,
        choose: (value) => (captions.value = value),
      });
    }
    if (qualities.length > 1) {
      found.push({
        title: words.quality,
        choices: () => [{ value: 'auto', label: words.auto }, ...qualities.map(({ id, label }) => ({ value: id, label }))],
        value: () => player.quality,
        description: () => {
          const label = qualities.find(({ id }) => id === player.quality)?.label;
          return label ?? [words.auto, playing].filter(Boolean).join(' · ');
        },
        choose: (value) => (player.quality = value),
      });
    }
    if (hasSpeedMenu(player)) {
      found.push({
        title: words.speed,
        choices: () => RATES.map((rate) => ({ value: String(rate), label: rateLabel(rate) })),
        value: () => String(video.playbackRate),
        description: () => rateLabel(video.playbackRate),
        choose: (value) => (video.playbackRate = Number(value)),
      });
    }
    const turn = () => {
      isKeyboardOn = !isKeyboardOn;
      remember({ keyboard: isKeyboardOn });
    };
    found.push({ title: words.shortcuts, isOn: () => isKeyboardOn, turn }, { title: words.shortcutList, act: showHelp });
    return found;
  }

  /** The quality that plays at the moment, in words. */
  let playing = '';
  player.events.addEventListener('quality', (event) => {
    playing = (event as CustomEvent<{ label?: string } | undefined>).detail?.label ?? '';
  });
  player.events.addEventListener('qualities', () => menu.refresh());

  const captionsButton = button('captions', words.captions, CAPTIONS);
  captionsButton.addEventListener('click', () => captions.toggle());
  const showCaptionsState = () => captionsButton.setAttribute('aria-pressed', String(captions.value !== 'off'));
  video.textTracks.addEventListener('change', showCaptionsState);
  showCaptionsState();

  const thumbnail = make('media-preview-thumbnail', { slot: 'preview' });
  // A picture of what the time beside it says.
  thumbnail.shadowRoot?.querySelector('img')?.setAttribute('alt', '');
  const range = make('media-time-range', { class: 'timeline' }, thumbnail, make('media-preview-time-display', { slot: 'preview' }));
  showStoryboard(player, range);

  const bar = make(
    'media-control-bar',
    { class: 'bar', dir: 'ltr' },
    make('media-play-button', { notooltip: true }),
    make('media-seek-backward-button', { seekoffset: SEEK_SECONDS, class: 'wide' }),
    make('media-seek-forward-button', { seekoffset: SEEK_SECONDS, class: 'wide' }),
    make('media-mute-button'),
    make('media-volume-range', { class: 'wide' }),
    make('media-time-display', { showduration: true, notoggle: true }),
    make('span', { class: 'space' }),
    ...(captions.tracks.length > 0 ? [captionsButton] : []),
    settings,
    ...(wishes.pip === false ? [] : [make('media-pip-button', { class: 'wide' })]),
    make('media-fullscreen-button'),
  );
  if (wishes.pip === false) video.disablePictureInPicture = true;
  if (wishes.title !== false) controller.append(make('h1', { slot: 'top-chrome', class: 'title', dir: 'auto' }, answer.title));
  controller.append(
    flash,
    make('media-loading-indicator', { slot: 'centered-chrome', loadingdelay: LOADING_MS, noautohide: true }),
    make('span', { slot: 'centered-chrome', class: 'big', noautohide: true }, drawing('M8 5.2v13.6L19 12Z')),
    make('div', { class: 'scrim' }),
    menu.element,
    make('media-control-bar', { class: 'line', dir: 'ltr' }, range),
    bar,
  );
  document.body.append(help);

  raiseCaptions(controller, bar, captions);
  for (const event of ['blocked', 'unblocked']) player.events.addEventListener(event, () => menu.close(false));
  listenToGestures(player, controller, (seconds) => tell(`${seconds > 0 ? '+' : '−'}${Math.abs(seconds)} s`));
  operateByKeys(player, { captions, words, tell, controller, showHelp, isOn: () => isKeyboardOn });
}

/** The video stays the same element in the same document: it plays on while its frame is built. */
function frame(video: HTMLVideoElement, words: Words): HTMLElement {
  const controller = video.closest<HTMLElement>('media-controller') ?? make('media-controller');
  const attributes = ['nohotkeys', 'gesturesdisabled', 'novolumepref', 'nomutedpref', 'nosubtitleslangpref'];
  for (const name of attributes) controller.setAttribute(name, '');
  controller.setAttribute('autohide', AUTOHIDE);
  controller.lang = document.documentElement.lang;
  controller.setAttribute('defaultstreamtype', 'on-demand');
  if (!controller.contains(video)) {
    video.slot = 'media';
    video.before(controller);
    if ('moveBefore' in controller) (controller.moveBefore as (node: Node, child: Node | null) => void)(video, null);
    else controller.append(video);
  }
  controller.ariaLabel = words.elements['video player'] ?? 'video player';
  return controller;
}

function button(name: string, label: string, path: string): HTMLElement {
  return make('media-chrome-button', { class: name, 'aria-label': label }, drawing(path, { 'fill-rule': 'evenodd' }), make('span', { slot: 'tooltip-content' }, label));
}

const rateLabel = (rate: number): string => `${rate.toLocaleString(document.documentElement.lang)}×`;

/** The pictures above the time range are fetched when somebody first looks for a spot. */
function showStoryboard(player: Player, range: HTMLElement): void {
  const { video, answer } = player;
  const { storyboardUrl } = answer;
  if (!storyboardUrl) return;
  const load = () => {
    if (video.querySelector('track[label=thumbnails]')) return;
    const track = make('track', { kind: 'metadata', label: 'thumbnails', default: true, src: player.assetUrl(storyboardUrl) });
    // A pointer that stands still by now asks for no picture.
    track.addEventListener('load', () => {
      const seconds = range.getAttribute('mediapreviewtime');
      if (seconds === null) return;
      range.dispatchEvent(new CustomEvent('mediapreviewrequest', { bubbles: true, composed: true, detail: Number(seconds) }));
    });
    video.append(track);
    (track as HTMLTrackElement).track.mode = 'hidden';
  };
  for (const event of ['pointerenter', 'focusin']) range.addEventListener(event, load, { once: true });
}

/** While the bar is there, cues are above it. */
function raiseCaptions(controller: HTMLElement, bar: HTMLElement, captions: Captions): void {
  if (captions.tracks.length === 0) return;
  const place = () => {
    const isShown = !controller.hasAttribute('userinactive') || controller.hasAttribute('mediapaused');
    captions.raise(isShown ? bar.offsetHeight + 44 : 0);
  };
  new MutationObserver(place).observe(controller, { attributeFilter: ['userinactive', 'mediapaused'] });
  addEventListener('resize', place);
  place();
}

/** The notice stands in the page from the start: a screen reader announces only changes of what it knows. */
function tellTrouble({ events }: Player, words: Words): void {
  const notice = document.getElementById('notice');
  if (!notice) return;
  notice.dir = 'auto';
  events.addEventListener('waitinglong', (event) => {
    notice.textContent = (event as CustomEvent<boolean>).detail ? words.retrying : '';
  });
}

/** Lock screens, headsets, the keyboard's media keys. */
function tellSystem(player: Player): void {
  const { video, answer, wishes } = player;
  const session = 'mediaSession' in navigator ? navigator.mediaSession : null;
  if (!session || wishes.background) return;
  const artwork = answer.posterUrl ? [{ src: new URL(player.assetUrl(answer.posterUrl), location.href).href }] : [];
  session.metadata = new MediaMetadata({ title: answer.title, artist: answer.branding.organizationName, artwork });
  const seekBy = (seconds: number) => seekTo(player, video.currentTime + seconds);
  const actions: [MediaSessionAction, MediaSessionActionHandler][] = [
    ['play', () => void player.start()],
    ['pause', () => video.pause()],
    ['seekbackward', ({ seekOffset }) => seekBy(-(seekOffset ?? Number(SEEK_SECONDS)))],
    ['seekforward', ({ seekOffset }) => seekBy(seekOffset ?? Number(SEEK_SECONDS))],
    ['seekto', ({ seekTime }) => seekTime !== undefined && seekTo(player, seekTime)],
  ];
  for (const [action, handler] of actions) {
    try {
      session.setActionHandler(action, handler);
    } catch {
      // An action that this browser does not know.
    }
  }
}

interface Operated {
  captions: Captions;
  words: Words;
  tell(text: string): void;
  controller?: HTMLElement;
  showHelp?(): void;
  isOn?(): boolean;
}

function operateByKeys(player: Player, { captions, words, tell, controller, showHelp, isOn }: Operated): void {
  const { video, wishes } = player;
  const toggleFullscreen = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else (controller ?? video).requestFullscreen?.().catch(() => {});
  };
  const tellKey: Actions['tell'] = (what) => {
    if (what === 'speed') tell(`${words.speed}: ${rateLabel(video.playbackRate)}`);
    else tell(`${words.volume}: ${video.muted ? 0 : Math.round(video.volume * 100)} %`);
  };
  listenToKeys(player, {
    isOn: isOn ?? (() => wishes.keyboard ?? recall().keyboard ?? true),
    togglePlay: () => (video.paused ? void player.start() : video.pause()),
    toggleCaptions() {
      if (captions.tracks.length === 0) return;
      captions.toggle();
      const shown = captions.tracks.find(({ mode }) => mode === 'showing');
      tell(`${words.captions}: ${shown ? shown.label || shown.language : words.off}`);
    },
    toggleFullscreen,
    togglePictureInPicture() {
      if (wishes.pip === false || !document.pictureInPictureEnabled) return;
      if (document.pictureInPictureElement) void document.exitPictureInPicture();
      else video.requestPictureInPicture().catch(() => {});
    },
    showHelp: showHelp ?? (() => {}),
    tell: tellKey,
    hasSpeed: hasSpeedMenu(player),
  });
}

function helpDialog(words: Words): HTMLDialogElement {
  const keys: [string, string][] = [
    ['Space K', words.playOrPause],
    ['J L ← →', words.seekTen],
    ['↑ ↓', words.volume],
    ['M', words.muteOrUnmute],
    ['C', words.captionsOnOrOff],
    ['F', words.fullscreen],
    ['P', words.pictureInPicture],
    ['< >', words.slowerOrFaster],
    ['0 … 9', words.jumpToTenth],
    ['Home End', words.startOrEnd],
    [', .', words.previousOrNextFrame],
    ['?', words.shortcutList],
  ];
  const close = make('button', { type: 'button', class: 'close' }, words.close);
  const list = make('dl', {}, ...keys.map(([pressed, does]) => {
    const caps = pressed.split(' ').map((key) => (key === '…' ? key : make('kbd', {}, key)));
    return make('div', {}, make('dt', { dir: 'ltr' }, ...caps), make('dd', {}, does));
  }));
  const dialog = make('dialog', { class: 'help-dialog', dir: words.direction, 'aria-labelledby': 'help-title' },
    make('h2', { id: 'help-title' }, words.shortcuts), list, close) as HTMLDialogElement;
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  return dialog;
}
