/** What makes the dashboard's pages livelier. Each of them works without. */

/** A sentence for screen readers, where something changes that they would not hear of. */
const aloud = document.createElement('p');
aloud.className = 'away';
aloud.setAttribute('role', 'status');
document.body.append(aloud);

/** A text with a button that copies it. */
class CopyText extends HTMLElement {
  connectedCallback(): void {
    const button = this.querySelector('button');
    // Without TLS there is no clipboard.
    if (!button || !('clipboard' in navigator)) return;
    button.hidden = false;
    button.addEventListener('click', async () => {
      const field = this.querySelector('input');
      try {
        await navigator.clipboard.writeText(field?.value ?? this.querySelector('code')?.textContent ?? '');
        button.textContent = aloud.textContent = 'Copied';
      } catch {
        field?.select();
        button.textContent = 'Press Ctrl-C';
      }
      button.addEventListener('blur', () => (button.textContent = 'Copy'), { once: true });
    });
  }
}
customElements.define('copy-text', CopyText);

const FOCUSABLE = 'a, button, input, progress';

/**
 * A part of the page that is looked at again every `data-every` seconds, for as long as it has that attribute. All parts
 * of a page come from one request for the page itself.
 */
class LivePart extends HTMLElement {
  connectedCallback(): void {
    plan();
  }

  /** Takes over what the page says now, unless that is the same but for signatures. */
  become(fresh: Element): void {
    if (fresh instanceof HTMLElement && fresh.dataset.every) this.dataset.every = fresh.dataset.every;
    else delete this.dataset.every;
    // Whoever is being asked something answers first.
    if ([...this.querySelectorAll('dialog')].some((dialog) => dialog.getClientRects().length > 0)) return;
    const unsigned = (part: Element) => part.innerHTML.replace(/ src="[^"]*"/g, '');
    if (unsigned(this) === unsigned(fresh)) return;
    const focused = [...this.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement as Element);
    this.replaceChildren(...fresh.childNodes);
    const again = this.querySelectorAll<HTMLElement>(FOCUSABLE)[focused];
    again?.focus({ preventScroll: true });
  }
}

let planned: ReturnType<typeof setTimeout> | undefined;

/** Looks again when the first part wants it. */
function plan(): void {
  clearTimeout(planned);
  const parts = [...document.querySelectorAll<HTMLElement>('live-part[data-every]')];
  const seconds = Math.min(...parts.map((part) => Number(part.dataset.every)));
  if (Number.isFinite(seconds)) planned = setTimeout(look, seconds * 1000);
}

async function look(): Promise<void> {
  // A page that answers a form can't be had again; it stays as it is.
  if (document.hidden || 'answer' in document.body.dataset || !document.querySelector('live-part')) return;
  try {
    const response = await fetch(location.href, { cache: 'no-store', headers: { 'Screener-Look': '1' } });
    if (response.redirected) return location.reload();
    // What is gone stays gone.
    if (!response.ok) return response.status < 500 ? undefined : plan();
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const part of document.querySelectorAll<LivePart>('live-part')) {
      const fresh = page.getElementById(part.id);
      if (fresh) part.become(fresh);
    }
  } catch {
    // The line is down, or the server is: the next look tells.
  }
  plan();
}
customElements.define('live-part', LivePart);
document.addEventListener('visibilitychange', () => void look());
document.addEventListener('screener:changed', () => void look());

// Word of the last deed is said once: not when the page is loaded again or sent to somebody.
const here = new URL(location.href);
if (here.searchParams.has('said')) {
  here.searchParams.delete('said');
  history.replaceState(null, '', here);
}

// A secret that is on the page and nowhere else is not left by accident.
const stored = document.querySelector('[data-stored]');
if (stored) {
  const hold = (event: Event) => event.preventDefault();
  addEventListener('beforeunload', hold);
  stored.addEventListener('click', () => removeEventListener('beforeunload', hold));
}

// Browsers of before 2024 open no dialog by themselves.
if (!('popover' in HTMLElement.prototype)) {
  for (const button of document.querySelectorAll('[popovertarget]')) {
    const dialog = document.getElementById(button.getAttribute('popovertarget') ?? '');
    const hides = button.getAttribute('popovertargetaction') === 'hide';
    if (dialog instanceof HTMLDialogElement) {
      button.addEventListener('click', () => (hides ? dialog.close() : dialog.showModal()));
    }
  }
}
