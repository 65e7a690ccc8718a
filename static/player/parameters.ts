/**
 * What the embedding page asks for in the frame's address. Names of other vendors are read too, so that a snippet can
 * be carried over by changing its host. Nothing here is an error: what can't be read is as if it were not there.
 */

import type { Wishes } from './types';

/** Ours first, then those of others (docs/player.md says whose). */
const NAMES = {
  autoplay: ['autoplay'],
  muted: ['muted', 'mute'],
  loop: ['loop'],
  start: ['t', 'start', 'startTime', 'start-time', 'start_time'],
  end: ['end', 'endTime', 'end-time', 'end_time'],
  controls: ['controls'],
  preload: ['preload'],
  captions: ['captions', 'texttrack', 'defaultTextTrack', 'cc_lang_pref'],
  hiddenCaptions: ['default-hidden-captions'],
  lang: ['lang', 'hl'],
  color: ['color', 'primaryColor', 'accent-color', 'accentColor'],
  speed: ['speed', 'showSpeed'],
  rate: ['rate', 'playbackrate', 'playbackRate'],
  quality: ['quality', 'initial_quality', 'max-resolution', 'maxResolution', 'max_quality', 'maxquality'],
  resume: ['resume', 'rememberPosition'],
  keyboard: ['keyboard'],
  noKeyboard: ['nohotkeys', 'disablekb'],
  pip: ['pip'],
  title: ['title'],
  background: ['background'],
} as const;

const ON = ['', '1', 'true', 'yes', 'on'];
const OFF = ['0', 'false', 'no', 'off'];
/** `90`, `90.5s`, `1m30s`, `1h2m3s` */
const UNITS = /^(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7}(?:\.\d{1,6})?)s?)?$/;
/** `1:30`, `1:02:03` */
const CLOCK = /^(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:\.\d{1,6})?)$/;
const LANGUAGE = /^[a-z]{2,8}(?:-[a-z0-9]{1,8}){0,7}$/i;
const HEX = /^#?([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/i;
const NUMBERS = /^(?:rgb|hsl)a?\([0-9., %/+-]{5,40}\)$/i;
const WORD = /^[a-z]{3,20}$/i;
/** Words that are colours only where they stand. */
const NO_COLORS = ['inherit', 'initial', 'unset', 'revert', 'currentcolor', 'transparent'];
/** Slower and faster than anybody follows. */
const RATES = [0.25, 4] as const;

/** Reads an address. */
export function readWishes(url: URL): Wishes {
  /** The first of the names whose value can be read. */
  const find = <T>(names: readonly string[], read: (text: string) => T | undefined): T | undefined => {
    for (const name of names) {
      const text = url.searchParams.get(name);
      const value = text === null ? undefined : read(text.trim());
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const flag = (names: readonly string[]) => find(names, readFlag);
  const not = (value: boolean | undefined) => (value === undefined ? undefined : !value);
  // Media fragments (W3C): `#t=10,20`, the way Vimeo's addresses have it.
  const [fragmentStart, fragmentEnd] = (new URLSearchParams(url.hash.slice(1)).get('t') ?? '').split(',', 2);

  const wishes: { [Name in keyof Required<Wishes>]: Wishes[Name] | undefined } = {
    autoplay: find(NAMES.autoplay, (text) => (isWord(text, 'muted') ? 'muted' : isWord(text, 'any') || readFlag(text))),
    muted: flag(NAMES.muted),
    loop: flag(NAMES.loop),
    startSeconds: find(NAMES.start, readSeconds) ?? readSeconds(fragmentStart ?? ''),
    endSeconds: find(NAMES.end, readSeconds) ?? readSeconds(fragmentEnd ?? ''),
    controls: flag(NAMES.controls),
    preload: find(NAMES.preload, readPreload),
    captions: find(NAMES.captions, readCaptions) ?? (flag(NAMES.hiddenCaptions) ? 'off' : undefined),
    lang: find(NAMES.lang, (text) => (LANGUAGE.test(text) ? text : undefined)),
    color: find(NAMES.color, readColor),
    speed: flag(NAMES.speed),
    rate: find(NAMES.rate, readRate),
    quality: find(NAMES.quality, readQuality),
    resume: flag(NAMES.resume),
    keyboard: flag(NAMES.keyboard) ?? not(flag(NAMES.noKeyboard)),
    pip: flag(NAMES.pip),
    title: flag(NAMES.title),
    background: flag(NAMES.background),
  };
  if (wishes.autoplay === 'muted') wishes.muted ??= true;
  // A picture behind a page's text: it moves, makes no sound, and has nothing to press.
  if (wishes.background) Object.assign(wishes, { autoplay: 'muted', muted: true, loop: true, controls: false });
  if (wishes.endSeconds !== undefined && wishes.endSeconds <= (wishes.startSeconds ?? 0)) wishes.endSeconds = undefined;
  return Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined)) as Wishes;
}

const isWord = (text: string, word: string) => text.toLowerCase() === word;

/** `?loop` is `?loop=1`. */
function readFlag(text: string): boolean | undefined {
  const word = text.toLowerCase();
  return ON.includes(word) ? true : OFF.includes(word) ? false : undefined;
}

function readSeconds(text: string): number | undefined {
  const parts = text === '' ? null : (CLOCK.exec(text) ?? UNITS.exec(text.toLowerCase()));
  if (!parts) return undefined;
  const [hours, minutes, seconds] = parts.slice(1).map((part) => Number(part ?? 0));
  return (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
}

function readPreload(text: string): Wishes['preload'] {
  const word = text.toLowerCase();
  if (word === 'metadata_on_hover') return 'metadata';
  if (word === 'auto' || word === 'metadata' || word === 'none') return word;
  const isOn = readFlag(text);
  return isOn === undefined ? undefined : isOn ? 'auto' : 'none';
}

/** Vimeo writes `en.captions`. */
function readCaptions(text: string): string | undefined {
  if (readFlag(text) === false) return 'off';
  const language = text.replace(/\.[a-z]+$/i, '');
  return LANGUAGE.test(language) && readFlag(text) === undefined ? language : undefined;
}

/** Hexadecimal digits also without `#`, which ends an address. Passed on only if a stylesheet can take it for nothing
    but a colour. */
function readColor(text: string): string | undefined {
  const hex = HEX.exec(text)?.[1];
  if (hex) return `#${hex.toLowerCase()}`;
  const color = text.toLowerCase();
  const isShape = NUMBERS.test(color) || (WORD.test(color) && !NO_COLORS.includes(color));
  return isShape && CSS.supports('color', color) ? color : undefined;
}

function readRate(text: string): number | undefined {
  const rate = /^\d{1,2}(?:\.\d{1,4})?$/.test(text) ? Number(text) : NaN;
  return rate >= RATES[0] && rate <= RATES[1] ? rate : undefined;
}

/** `720`, `720p`, `4k`, `auto` */
function readQuality(text: string): number | 'auto' | undefined {
  const word = text.toLowerCase();
  if (word === 'auto') return 'auto';
  if (word === '2k') return 1440;
  if (word === '4k') return 2160;
  const [, heightPx] = /^(\d{3,4})p?$/.exec(word) ?? [];
  return heightPx === undefined ? undefined : Number(heightPx);
}
