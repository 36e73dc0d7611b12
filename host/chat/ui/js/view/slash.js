/**
 * The list of commands that opens with `/` at the start of the field.
 *
 * The focus stays in the field; the list follows it by `aria-activedescendant`.
 */

import { fill, h } from '../dom.js';
import { t } from '../i18n.js';

/**
 * @typedef {object} Command
 * @property {string} name with its slash
 * @property {string} about a key of the catalog
 * @property {(() => void) | null} run null: the text is sent as it is, the gateway knows it
 */

/**
 * A text with a normalized slash: Chinese input methods enter other characters with the slash key.
 * @param {string} value
 */
export function asCommand(value) {
  return value.replace(/^[／、]/, '/');
}

export class SlashMenu {
  /** @param {HTMLTextAreaElement} field @param {{owns(event: any): boolean}} guard @param {Command[]} commands */
  constructor(field, guard, commands) {
    this.field = field;
    this.guard = guard;
    this.commands = commands;
    /** @type {Command[]} */
    this.shown = [];
    this.active = 0;
    this.dismissed = '';
    this.node = h('ul.slash', { id: 'slash', role: 'listbox', 'aria-label': t('slash.label'), hidden: true });
    field.setAttribute('aria-controls', 'slash');
    field.setAttribute('aria-autocomplete', 'list');
    field.setAttribute('aria-haspopup', 'listbox');
    field.addEventListener('blur', () => this.#hide());
  }

  get open() {
    return !this.node.hidden;
  }

  /** The text has changed. */
  update() {
    const { value: typed } = this.field;
    const value = asCommand(typed);
    const wanted = value.startsWith('/') && !value.includes('\n') && typed !== this.dismissed;
    this.shown = wanted ? this.commands.filter((command) => command.name.startsWith(value.toLowerCase())) : [];
    this.active = 0;
    if (!this.shown.length) return this.#hide();
    fill(
      this.node,
      this.shown.map((command, index) =>
        // Not click: the field would lose the focus first, and with it the list.
        h(
          'li',
          {
            id: `slash-${index}`,
            role: 'option',
            onpointerdown: (/** @type {Event} */ event) => (event.preventDefault(), this.#choose(command, true)),
          },
          h('code', null, command.name),
          h('span', null, t(command.about)),
        ),
      ),
    );
    this.node.hidden = false;
    return this.#mark();
  }

  /**
   * Handles a key, if it is for the list.
   * @param {KeyboardEvent} event
   * @returns {boolean} whether it was
   */
  key(event) {
    if (!this.open || this.guard.owns(event)) return false;
    const count = this.shown.length;
    if (event.key === 'ArrowDown') this.active = (this.active + 1) % count;
    else if (event.key === 'ArrowUp') this.active = (this.active + count - 1) % count;
    else if (event.key === 'Enter') this.#choose(this.shown[this.active], true);
    else if (event.key === 'Tab' && !event.shiftKey) this.#choose(this.shown[this.active], false);
    else if (event.key === 'Escape') {
      this.dismissed = this.field.value;
      this.#hide();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    if (this.open) this.#mark();
    return true;
  }

  /**
   * Runs a command of the page itself.
   * @param {string} value the whole text
   * @returns {boolean} whether it was one
   */
  run(value) {
    const command = this.commands.find((candidate) => candidate.name === asCommand(value).trim());
    if (!command?.run) return false;
    command.run();
    return true;
  }

  /** @param {Command} command @param {boolean} go at once, or let the person add to it */
  #choose(command, go) {
    this.field.value = command.name;
    this.#hide();
    this.dismissed = command.name;
    this.field.dispatchEvent(new Event('input', { bubbles: true }));
    if (go) this.field.form?.requestSubmit();
  }

  #hide() {
    this.node.hidden = true;
    this.field.removeAttribute('aria-activedescendant');
  }

  #mark() {
    [...this.node.children].forEach((item, index) => item.setAttribute('aria-selected', String(index === this.active)));
    this.field.setAttribute('aria-activedescendant', `slash-${this.active}`);
    this.node.children[this.active]?.scrollIntoView({ block: 'nearest' });
  }
}
