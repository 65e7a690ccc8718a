/** Uploads that survive: by tus, in pieces, over broken lines, restarts of the server, and reloads of the page. */

import { DetailedError, type HttpResponse, Upload, isSupported } from 'tus-js-client';

/** Films that are sent at the same time: more would only share the line. */
const AT_ONCE = 2;
/** Bytes of one request: what a proxy that gathers requests may have to hold, and send again. */
const PIECE_BYTES = 64 * 2 ** 20;
/** How long to wait before each attempt, in milliseconds: a restart of the server, or a tunnel. */
const RETRY_MS = [0, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000];

type State = 'waiting' | 'sending' | 'paused' | 'done' | 'failed';

const films = new Set<Film>();

/** One film on its way. */
class Film {
  readonly row = document.createElement('li');
  state: State = 'waiting';
  readonly #bar = document.createElement('progress');
  readonly #text = document.createElement('span');
  readonly #pause = document.createElement('button');
  readonly #drop = document.createElement('button');
  readonly #upload: Upload;
  #began = { at: 0, bytes: 0 };
  #tenth = -1;
  /** The video that was made for it. */
  #made: string | undefined;

  constructor(
    readonly file: File,
    video: string | undefined,
    visibility: string,
    readonly say: (sentence: string) => void,
  ) {
    const name = document.createElement('b');
    name.textContent = file.name;
    name.dir = 'auto';
    this.#bar.max = 1;
    this.#bar.value = 0;
    this.#bar.setAttribute('aria-label', file.name);
    for (const button of [this.#pause, this.#drop]) {
      button.type = 'button';
      button.className = 'quiet';
    }
    this.#drop.textContent = 'Cancel';
    this.#drop.setAttribute('aria-label', `Cancel ${file.name}`);
    this.#pause.addEventListener('click', () => (this.state === 'sending' ? this.#hold() : this.#goOn()));
    this.#drop.addEventListener('click', () => void this.#cancel());
    const line = document.createElement('p');
    line.append(name, ' ', this.#text);
    this.row.append(line, this.#bar, this.#pause, this.#drop);
    const title = file.name.replace(/\.[^.]*$/, '');
    const metadata: Record<string, string> = { title, filename: file.name, filetype: file.type };
    if (video) metadata.videoId = video;
    else metadata.visibility = visibility;
    this.#upload = new Upload(file, {
      endpoint: '/admin/v1/uploads',
      chunkSize: PIECE_BYTES,
      retryDelays: RETRY_MS,
      metadata,
      // The same file for another video, or for other viewers, is another upload.
      fingerprint: async () => ['screener', video ?? `new ${visibility}`, file.name, file.size, file.lastModified].join('|'),
      removeFingerprintOnSuccess: true,
      onAfterResponse: (_, response) => {
        if (!video) this.#made ??= response.getHeader('Screener-Video-Id');
      },
      onProgress: (sent) => this.#progressed(sent),
      onSuccess: () => this.#end('done', 'is uploaded. It plays as soon as it is processed.'),
      onError: (error) => this.#end('failed', reason(error)),
    });
    this.#show('waits for its turn');
  }

  /** Begins, or goes on with what an earlier attempt left. */
  async start(): Promise<void> {
    this.state = 'sending';
    this.#show('begins');
    const [earlier] = await this.#upload.findPreviousUploads();
    if (earlier) this.#upload.resumeFromPreviousUpload(earlier);
    this.#began = { at: 0, bytes: 0 };
    this.#upload.start();
  }

  #progressed(sent: number): void {
    const now = performance.now();
    if (this.#began.at === 0) this.#began = { at: now, bytes: sent };
    const rate = (sent - this.#began.bytes) / (now - this.#began.at);
    const left = rate > 0 ? `, ${inWords((this.file.size - sent) / rate / 1000)} left` : '';
    this.#bar.value = sent / this.file.size;
    const percent = Math.floor((sent / this.file.size) * 100);
    this.#show(`${percent} %${left}`);
    const tenth = Math.floor(percent / 10);
    if (tenth > this.#tenth && percent < 100) this.say(`${this.file.name}: ${percent} %`);
    this.#tenth = tenth;
  }

  #hold(): void {
    void this.#upload.abort();
    this.state = 'paused';
    this.#show('is paused');
    sendNext();
  }

  #goOn(): void {
    this.state = 'waiting';
    this.#show('waits for its turn');
    sendNext();
  }

  async #cancel(): Promise<void> {
    films.delete(this);
    this.row.remove();
    if (this.state !== 'done') await this.#discard().catch(() => {});
    document.dispatchEvent(new CustomEvent('screener:changed'));
    sendNext();
  }

  /** Takes back what was sent, and the video that has nothing else. */
  async #discard(): Promise<void> {
    await this.#upload.abort(true);
    if (this.#made) await fetch(`/admin/v1/videos/${this.#made}`, { method: 'DELETE' });
  }

  #end(state: State, sentence: string): void {
    this.state = state;
    if (state === 'done') this.#bar.value = 1;
    this.#show(sentence);
    this.say(`${this.file.name} ${sentence}`);
    document.dispatchEvent(new CustomEvent('screener:changed'));
    sendNext();
  }

  #show(sentence: string): void {
    this.#text.textContent = sentence;
    this.#text.className = this.state === 'failed' ? 'wrong' : '';
    this.#pause.hidden = this.state === 'done';
    this.#pause.textContent = this.state === 'sending' ? 'Pause' : this.state === 'failed' ? 'Try again' : 'Go on';
    this.#pause.setAttribute('aria-label', `${this.#pause.textContent}: ${this.file.name}`);
    this.#drop.textContent = this.state === 'done' ? 'Clear' : 'Cancel';
  }
}

/** Sends the next films in line. */
function sendNext(): void {
  const all = [...films];
  let free = AT_ONCE - all.filter(({ state }) => state === 'sending').length;
  for (const film of all.filter(({ state }) => state === 'waiting')) {
    if (free-- > 0) void film.start();
  }
}

/** Why an upload ended, for whoever sent it. */
function reason(error: Error | DetailedError): string {
  const answer = 'originalResponse' in error ? error.originalResponse : null;
  if (!answer) return 'broke off: the server can’t be reached. What was sent is kept.';
  if (answer.getStatus() === 401) return 'broke off: you are signed out. Sign in, then choose the file again: it goes on where it was.';
  return `was refused: ${sentenceOf(answer)}`;
}

function sentenceOf(answer: HttpResponse): string {
  try {
    return JSON.parse(answer.getBody()).error;
  } catch {
    return `the server answered ${answer.getStatus()}.`;
  }
}

function inWords(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** The card that takes films: all of one form's fields, and a queue below. */
class FilmUpload extends HTMLElement {
  connectedCallback(): void {
    const form = this.querySelector('form');
    const input = form?.querySelector<HTMLInputElement>('input[type=file]');
    if (!form || !input || !isSupported) return this.classList.add('is-plain');
    const video = this.dataset.video;
    const queue = document.createElement('ul');
    queue.className = 'queue';
    const aloud = document.createElement('p');
    aloud.className = 'away';
    aloud.setAttribute('role', 'status');
    form.append(queue, aloud);
    input.multiple = !video;
    const take = (files: Iterable<File>) => {
      const visibility = form.querySelector('select')?.value ?? '';
      for (const file of video ? [...files].slice(0, 1) : files) {
        const film = new Film(file, video, visibility, (sentence) => (aloud.textContent = sentence));
        films.add(film);
        queue.append(film.row);
      }
      sendNext();
    };
    // Choosing is enough. The button is for browsers without scripts.
    form.querySelector('button')?.remove();
    input.addEventListener('change', () => {
      take([...(input.files ?? [])]);
      input.value = '';
    });
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('dragover', (event) => {
      event.preventDefault();
      form.classList.add('is-over');
    });
    for (const left of ['dragleave', 'drop']) form.addEventListener(left, () => form.classList.remove('is-over'));
    form.addEventListener('drop', (event) => {
      event.preventDefault();
      take(event.dataTransfer?.files ?? []);
    });
  }
}
customElements.define('film-upload', FilmUpload);

addEventListener('beforeunload', (event) => {
  if ([...films].some(({ state }) => state === 'sending' || state === 'waiting')) event.preventDefault();
});
