/** Waits for a video that is being prepared: asks for the page again and again, and shows how far it is. */

import { isPassing, request, sleep } from './request';

/** Between one look and the next, for as long as nothing changes. */
const LOOK_SECONDS = [2, 3, 5, 8, 12];
const LONGEST_SECONDS = 20;

/** How much is done, from 0 to 1, as a page says it; null where it does not. */
export const progressOf = (page: ParentNode): number | null => page.querySelector('progress')?.value ?? null;

/**
 * Resolves when the page answers anything else: with the code of a refusal, or with nothing because the video plays.
 *
 * @param address where the page is to be had at the moment
 * @param onProgress told whenever more is done
 */
export async function waitUntilReady(
  panel: HTMLElement,
  address: () => string,
  onProgress: (progress: number | null) => void,
): Promise<string | undefined> {
  for (let looks = 0; ; looks++) {
    await sleep(LOOK_SECONDS[looks] ?? LONGEST_SECONDS);
    // Whoever looks elsewhere sees it on coming back.
    while (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
    const page = await look(address()).catch(() => null);
    if (!page) continue;
    const found = page.getElementById('blocked');
    if (found?.dataset.code !== 'video_not_ready') return found?.dataset.code;
    const progress = progressOf(found);
    if (progress === progressOf(panel)) continue;
    show(panel, found);
    onProgress(progress);
    looks = -1;
  }
}

/** The page as it is now, or null if the server can't say. */
async function look(address: string): Promise<Document | null> {
  const response = await request(address, {});
  if (isPassing(response.status)) return null;
  return new DOMParser().parseFromString(await response.text(), 'text/html');
}

/** Changes what is there, rather than replacing it: a screen reader would read all of it again. */
function show(panel: HTMLElement, found: HTMLElement): void {
  const [row, fresh] = [panel, found].map((page) => page.querySelector('.progress'));
  if (!fresh) return row?.remove();
  if (!row) return panel.querySelector('h1')?.after(fresh);
  row.querySelector('progress')!.value = progressOf(fresh)!;
  row.querySelector('span')!.textContent = fresh.querySelector('span')!.textContent;
}
