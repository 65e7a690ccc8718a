/** Stand-in. The panel that stands where the video may not play: as the server wrote it, or built here when playing ends. */

import type { Refusal } from './types';

const SVG = 'http://www.w3.org/2000/svg';
/** The padlock of blocked.html. */
const PADLOCK =
  'M7 10V7a5 5 0 0 1 10 0v3M6 10h12a1.5 1.5 0 0 1 1.5 1.5v7A1.5 1.5 0 0 1 18 20H6a1.5 1.5 0 0 1-1.5-1.5v-7A1.5 1.5 0 0 1 6 10Zm6 4v2.5';

const TEXTS = {
  ended: ['Your session has ended', 'Reload the page to continue watching.'],
  gone: ['This video is no longer available', 'It was withdrawn. Ask the site that shared it with you.'],
  unplayable: ['This video cannot be played', 'Your browser could not read it. Another browser may do better.'],
} as const;

/** What a viewer is told of a refusal; the exact code is in the reference line. */
function textOf({ status, code }: Refusal): readonly [string, string] {
  if (code === 'media_unplayable') return TEXTS.unplayable;
  if (status === 404 || status === 410 || code.includes('revoked')) return TEXTS.gone;
  return TEXTS.ended;
}

/** Builds the panel of blocked.html for a refusal that came while the page was open. */
export function blockedPanel(refusal: Refusal & { traceId?: string }, retry?: () => void): HTMLElement {
  const [heading, help] = textOf(refusal);
  const panel = element('section', { id: 'blocked', className: 'blocked', role: 'alert' });
  const icon = document.createElementNS(SVG, 'svg');
  const outline = document.createElementNS(SVG, 'path');
  for (const [name, value] of [['class', 'icon'], ['viewBox', '0 0 24 24'], ['aria-hidden', 'true']] as const) icon.setAttribute(name, value);
  outline.setAttribute('d', PADLOCK);
  icon.append(outline);
  const reference = element('p', { className: 'reference' });
  reference.append(element('code', { textContent: [refusal.code, refusal.traceId].filter(Boolean).join(' · ') }));
  panel.append(
    icon,
    element('h1', { tabIndex: -1, dir: 'auto', textContent: heading }),
    element('p', { className: 'help', dir: 'auto', textContent: help }),
    reference,
  );
  if (retry) {
    const button = element('button', { type: 'button', textContent: 'Try again' });
    button.addEventListener('click', retry);
    panel.append(button);
  }
  return addCopyButton(panel);
}

/** The reference can be selected without a script; with one, a click takes it along. */
export function addCopyButton(panel: HTMLElement): HTMLElement {
  const code = panel.querySelector('.reference code');
  if (!code) return panel;
  const button = element('button', { type: 'button', textContent: 'Copy' });
  button.setAttribute('aria-label', 'Copy the reference');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent ?? '');
      button.textContent = 'Copied';
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

/** The server's own panel, with a reference that a click takes along. */
export async function dressPanel(panel: HTMLElement): Promise<void> {
  addCopyButton(panel);
}
