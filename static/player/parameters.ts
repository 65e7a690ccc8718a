/** What the embedding page asks for in the address. Stand-in: the parameters of today. */

import type { Wishes } from './types';

export function readWishes(url: URL): Wishes {
  const wishes: Wishes = {};
  const autoplay = url.searchParams.get('autoplay');
  const set = (name: 'muted' | 'loop' | 'controls', value: boolean | undefined) => value !== undefined && (wishes[name] = value);
  wishes.autoplay = autoplay === 'muted' ? 'muted' : flag(url, ['autoplay']);
  set('muted', flag(url, ['muted', 'mute']));
  set('loop', flag(url, ['loop']));
  set('controls', flag(url, ['controls']));
  const preload = url.searchParams.get('preload');
  if (preload === 'auto' || preload === 'metadata' || preload === 'none') wishes.preload = preload;
  const quality = Number(url.searchParams.get('quality'));
  if (quality > 0) wishes.quality = quality;
  wishes.startSeconds = startSeconds(url);
  return wishes;
}

/** `?loop` is `?loop=1`; what is neither on nor off is as if it were not there. */
function flag(url: URL, names: string[]): boolean | undefined {
  const value = names.map((name) => url.searchParams.get(name)).find((found) => found !== null) ?? undefined;
  if (value === undefined) return undefined;
  if (['', '1', 'true', 'yes', 'on'].includes(value)) return true;
  if (['0', 'false', 'no', 'off'].includes(value)) return false;
  return undefined;
}

/** `t=90`, `t=90s`, `t=1m30s`, `start=1h2m3s`; 0 for anything else. */
function startSeconds(url: URL): number {
  const text = url.searchParams.get('t') ?? url.searchParams.get('start') ?? '';
  const [, h = 0, m = 0, s = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?$/.exec(text) ?? [];
  return Number(h) * 3600 + Number(m) * 60 + Number(s);
}
