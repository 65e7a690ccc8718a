/** How this server is asked: what is told along, how long an answer may take, which answers are worth another try. */

const ANSWER_MS = 10_000;
/** How long a refusal waits for an embedder that has been asked for a new viewer token. */
export const TOKEN_GRACE_SECONDS = 4;

/** Tells nothing but the request itself, and takes nothing from a cache. */
export function request(path: string, options: RequestInit): Promise<Response> {
  return fetch(path, {
    cache: 'no-store',
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    signal: AbortSignal.timeout(ANSWER_MS),
    ...options,
  });
}

/** Whether a status, or none (0), is worth another try. */
export const isPassing = (status: number): boolean => status === 0 || status === 408 || status === 429 || status >= 500;

export const sleep = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
