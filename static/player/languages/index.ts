/**
 * The languages of the interface: English is always here, any other is fetched when it is the one needed.
 *
 * A language is added by a module beside the others and a line in LANGUAGES.
 */

import { words as english } from './en';
import type { Words } from './words';

export type { State, Words } from './words';

const LANGUAGES: Record<string, () => Promise<{ words: Words }>> = {
  ar: () => import('./ar'),
  de: () => import('./de'),
  en: async () => ({ words: english }),
  es: () => import('./es'),
  fr: () => import('./fr'),
  ja: () => import('./ja'),
  pt: () => import('./pt'),
};

/** The language that is asked for, else the first of the viewer's that we speak, else English. `pt-BR` is `pt`. */
export function chooseLanguage(wish?: string): string {
  const tags = [wish ?? '', ...navigator.languages].map((tag) => tag.toLowerCase().split(/[-_]/)[0] ?? '');
  return tags.find((tag) => Object.hasOwn(LANGUAGES, tag)) ?? 'en';
}

/** English where the language can't be fetched. */
export async function loadLanguage(tag: string): Promise<Words> {
  try {
    return (await LANGUAGES[tag]?.())?.words ?? english;
  } catch {
    return english;
  }
}

/** What stands there until a language has been fetched. */
export { english };
