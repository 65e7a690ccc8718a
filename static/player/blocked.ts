/** The panel that stands where the video may not play: as the server wrote it, or built here when playing ends. */

import { chooseLanguage, english, loadLanguage, type State, type Words } from './languages';
import type { Refusal } from './types';

const SVG = 'http://www.w3.org/2000/svg';
/** The padlock of blocked.html. */
const PADLOCK =
  'M7 10V7a5 5 0 0 1 10 0v3M6 10h12a1.5 1.5 0 0 1 1.5 1.5v7A1.5 1.5 0 0 1 18 20H6a1.5 1.5 0 0 1-1.5-1.5v-7A1.5 1.5 0 0 1 6 10Zm6 4v2.5';

/** What the page says for which code: the same as blocked.rs. */
const AT_THE_DOOR: Record<string, State> = {
  playback_token_missing: 'private',
  playback_token_expired: 'expired',
  playback_token_revoked: 'unavailable',
  token_access_disabled: 'unavailable',
  playback_token_wrong_video: 'otherVideo',
  referrer_blocked: 'otherSite',
  bundle_blocked: 'otherSite',
  not_found: 'notFound',
  video_not_ready: 'preparing',
  rate_limit: 'tooMany',
};

/** A refusal, with what some of them carry. */
type Told = Refusal & { traceId?: string };

/** Before anything has played. */
function stateAtTheDoor(code: string): State {
  return AT_THE_DOOR[code] ?? (code.startsWith('playback_token') ? 'invalid' : 'failed');
}

/** Of what has been playing; the exact code is in the reference line. */
function stateOnTheWay({ status, code }: Refusal): State {
  if (code === 'media_unplayable') return 'unplayable';
  if (status === 404 || status === 410 || code.includes('revoked')) return 'gone';
  if (['rate_limit', 'referrer_blocked', 'bundle_blocked'].includes(code)) return stateAtTheDoor(code);
  return status >= 500 ? 'failed' : 'ended';
}

/** Builds the panel of blocked.html for a refusal that came while the page was open. In the page's language. */
export function blockedPanel(refusal: Told, retry?: () => void): HTMLElement {
  const state = stateOnTheWay(refusal);
  const panel = element('section', { id: 'blocked', className: 'blocked', role: 'alert' });
  panel.dataset.code = refusal.code;
  panel.dataset.status = String(refusal.status);
  const icon = document.createElementNS(SVG, 'svg');
  const outline = document.createElementNS(SVG, 'path');
  for (const [name, value] of [['class', 'icon'], ['viewBox', '0 0 24 24'], ['aria-hidden', 'true']] as const) icon.setAttribute(name, value);
  outline.setAttribute('d', PADLOCK);
  icon.append(outline);
  const reference = element('p', { className: 'reference' });
  reference.append(element('code', { textContent: [refusal.code, refusal.traceId].filter(Boolean).join(' · ') }));
  panel.append(icon, element('h1', { tabIndex: -1, dir: 'auto' }), element('p', { className: 'help', dir: 'auto' }), reference);
  if (retry) addRetryButton(panel, retry);
  addCopyButton(panel);
  speak(panel, state, english);
  const tag = chooseLanguage(wishedLanguage());
  if (tag !== 'en') void loadLanguage(tag).then((words) => speak(panel, state, words));
  return panel;
}

/** The server's own panel, in the viewer's language and with a reference that a click takes along. */
export async function dressPanel(panel: HTMLElement): Promise<void> {
  addCopyButton(panel);
  const tag = chooseLanguage(wishedLanguage());
  if (tag === 'en') return;
  const words = await loadLanguage(tag);
  const state = stateAtTheDoor(panel.dataset.code ?? '');
  document.documentElement.lang = tag;
  speak(panel, state, words);
  document.title = words.states[state][0];
}

/** The panel may come before anything else has read the address. */
const wishedLanguage = (): string | undefined => new URL(location.href).searchParams.get('lang') ?? undefined;

function speak(panel: HTMLElement, state: State, words: Words): void {
  const [heading, help] = words.states[state];
  const say = (selector: string, text: string) => {
    const found = panel.querySelector(selector);
    if (found) found.textContent = text;
  };
  say('h1', heading);
  say('.help', help);
  say('.again', words.retry);
  say('.copy', words.copy);
  const copy = panel.querySelector<HTMLElement>('.copy');
  if (!copy) return;
  copy.ariaLabel = words.copyReference;
  copy.dataset.copied = words.copied;
}

/** In place of the server's link: the address that it would follow has lost its token. */
export function addRetryButton(panel: HTMLElement, retry: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', className: 'again', textContent: english.retry });
  button.addEventListener('click', retry);
  panel.querySelector('.again')?.remove();
  panel.querySelector('.reference')?.before(button);
  return button;
}

/** The reference can be selected without a script; with one, a click takes it along. */
export function addCopyButton(panel: HTMLElement): HTMLElement {
  const code = panel.querySelector('.reference code');
  if (!code || panel.querySelector('.copy')) return panel;
  const button = element('button', { type: 'button', className: 'copy', textContent: english.copy });
  button.ariaLabel = english.copyReference;
  button.dataset.copied = english.copied;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent ?? '');
      button.textContent = button.ariaLabel = button.dataset.copied ?? '';
    } catch {
      // An iframe without `clipboard-write`: Ctrl+C is left.
      getSelection()?.selectAllChildren(code);
    }
  });
  code.after(button);
  return panel;
}

function element<K extends keyof HTMLElementTagNameMap>(name: K, properties: object): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(name), properties);
}
