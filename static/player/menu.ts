/**
 * The settings menu: a list of rows, and behind some of them a list of choices. After the ARIA patterns for menu and
 * menu button. media-chrome has one too, but it moves focus only where there are transitions and says "Back to
 * previous menu" in every language.
 */

import { drawing, make } from './elements';
import type { Words } from './languages';

export interface Choice {
  value: string;
  label: string;
}

/** A row that opens a list of choices. */
export interface Choices {
  title: string;
  choices(): Choice[];
  value(): string;
  /** What the row says of the value, if not its label. */
  description?(): string;
  choose(value: string): void;
}

/** A row that is on or off. */
export interface Toggle {
  title: string;
  isOn(): boolean;
  turn(): void;
}

/** A row that does something. */
export interface Act {
  title: string;
  act(): void;
}

export type Row = Choices | Toggle | Act;

const BACK = 'M15.5 5 8.5 12l7 7';
const CHECK = 'm5 12.5 4.5 4.5L19 7.5';

export class Menu {
  readonly element: HTMLElement;
  readonly #button: HTMLElement;
  readonly #rows: () => Row[];
  readonly #words: Words;
  readonly #onToggle: (isOpen: boolean) => void;
  /** The list of choices that is open. */
  #page: Choices | null = null;

  constructor(button: HTMLElement, rows: () => Row[], words: Words, onToggle: (isOpen: boolean) => void) {
    this.#button = button;
    this.#rows = rows;
    this.#words = words;
    this.#onToggle = onToggle;
    this.element = make('div', { id: 'settings', class: 'menu', role: 'menu', dir: words.direction, hidden: true, noautohide: true });
    button.setAttribute('aria-haspopup', 'menu');
    button.setAttribute('aria-expanded', 'false');
    button.setAttribute('aria-controls', 'settings');
    button.addEventListener('click', () => (this.isOpen ? this.close() : this.open()));
    // media-chrome's buttons answer keys by a method of their own, without a click.
    button.addEventListener('keydown', (event) => {
      if (!['Enter', ' ', 'ArrowDown', 'ArrowUp'].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key.startsWith('Arrow') || !this.isOpen) this.open();
      else this.close();
    });
    this.element.addEventListener('keydown', (event) => this.#move(event));
    this.element.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.isOpen && relatedTarget instanceof Node && relatedTarget !== button && !this.element.contains(relatedTarget)) this.close(false);
    });
    document.addEventListener('pointerdown', ({ target }) => {
      if (this.isOpen && target instanceof Node && !this.element.contains(target) && !button.contains(target)) this.close(false);
    });
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  open(): void {
    this.element.hidden = false;
    this.#show(null);
    this.#button.setAttribute('aria-expanded', 'true');
    this.#onToggle(true);
  }

  close(hasFocus = true): void {
    if (!this.isOpen) return;
    this.element.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    if (hasFocus) this.#button.focus();
    this.#onToggle(false);
  }

  /** After a change that was not made here. */
  refresh(): void {
    if (this.isOpen) this.#show(this.#page, this.#items().findIndex((item) => item === document.activeElement));
  }

  #items(): HTMLElement[] {
    return [...this.element.querySelectorAll<HTMLElement>('[role^=menuitem]')];
  }

  #show(page: Choices | null, focused = -1): void {
    const left = this.#page;
    this.#page = page;
    const items = page ? this.#choicesOf(page) : this.#rows().map((row) => this.#itemOf(row));
    this.element.setAttribute('aria-label', page?.title ?? this.#words.settings);
    this.element.replaceChildren(...items);
    const checked = page ? items.findIndex((item) => item.getAttribute('aria-checked') === 'true') : -1;
    const cameFrom = !page && left ? this.#rows().findIndex(({ title }) => title === left.title) : -1;
    const at = [focused, checked, cameFrom].find((index) => index >= 0) ?? 0;
    (items[at] ?? items[0])?.focus();
  }

  #itemOf(row: Row): HTMLElement {
    if ('choices' in row) {
      const value = row.value();
      const description = row.description?.() ?? row.choices().find((choice) => choice.value === value)?.label ?? '';
      const item = this.#item('menuitem', row.title, () => this.#show(row), make('span', { class: 'value', dir: 'auto' }, description));
      item.setAttribute('aria-haspopup', 'menu');
      item.append(drawing(BACK, { class: 'forth' }));
      return item;
    }
    if ('act' in row) {
      return this.#item('menuitem', row.title, () => {
        this.close();
        row.act();
      });
    }
    const item = this.#item('menuitemcheckbox', row.title, () => {
      row.turn();
      this.refresh();
    }, make('span', { class: 'switch' }));
    item.setAttribute('aria-checked', String(row.isOn()));
    return item;
  }

  #choicesOf(page: Choices): HTMLElement[] {
    const back = this.#item('menuitem', page.title, () => this.#show(null));
    back.classList.add('back');
    back.prepend(drawing(BACK));
    back.ariaLabel = `${this.#words.back}: ${page.title}`;
    const value = page.value();
    const choices = page.choices().map((choice) => {
      const item = this.#item('menuitemradio', choice.label, () => {
        page.choose(choice.value);
        this.close();
      });
      item.setAttribute('aria-checked', String(choice.value === value));
      item.prepend(drawing(CHECK, { class: 'check' }));
      return item;
    });
    return [back, ...choices];
  }

  #item(role: string, label: string, act: () => void, ...rest: Node[]): HTMLElement {
    const item = make('button', { type: 'button', role, tabindex: '-1' }, make('span', { class: 'label', dir: 'auto' }, label), ...rest);
    item.addEventListener('click', (event) => {
      event.stopPropagation();
      act();
    });
    return item;
  }

  #move(event: KeyboardEvent): void {
    const items = this.#items();
    const at = items.findIndex((item) => item === document.activeElement);
    const goTo = (index: number) => items[(index + items.length) % items.length]?.focus();
    const isLeftToRight = this.#words.direction === 'ltr';
    const moves: Record<string, () => void> = {
      ArrowDown: () => goTo(at + 1),
      ArrowUp: () => goTo(at - 1),
      Home: () => goTo(0),
      End: () => goTo(-1),
      [isLeftToRight ? 'ArrowRight' : 'ArrowLeft']: () => items[at]?.ariaHasPopup === 'menu' && items[at].click(),
      [isLeftToRight ? 'ArrowLeft' : 'ArrowRight']: () => this.#page && this.#show(null),
      Escape: () => (this.#page ? this.#show(null) : this.close()),
      Tab: () => this.close(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }
}
