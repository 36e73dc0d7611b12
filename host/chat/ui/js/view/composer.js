/**
 * Where one writes.
 *
 * The field belongs to the person: it is never rewritten while they type, not even to the same text, because an input
 * method loses its word then. Everything else here reads from it.
 */

import { fill, h, icon, keyed, text } from '../dom.js';
import { number, t } from '../i18n.js';
import * as settings from '../settings.js';
import { CompositionGuard, enterAction } from '../text/ime.js';
import { grow } from './grow.js';
import { SlashMenu, asCommand } from './slash.js';
import { failure } from './toast.js';

const DRAFT_MS = 200;
/** The command that the gateway answers, as it reads it: on the first line, and nothing else there. */
const DEBUG = /^\/debug(?: +(json|watch|req_[\w-]{1,60}))?[ \t]*(?:\n|$)/;
/** Why messages are held back, where it is not for a failure. @type {Record<string, string>} */
const HELD = { stopped: 'queue.held.stopped', abandoned: 'queue.held.stopped' };
/** The count is shown when less than this share is left. */
const NEARLY_FULL = 0.9;

export class ComposerView {
  /**
   * @param {import('../net/client.js').Client} client
   * @param {object} hooks
   * @param {import('./slash.js').Command[]} hooks.commands
   * @param {() => object} hooks.params further parameters for the first message of a new chat
   * @param {() => void} hooks.onsend
   * @param {() => void} hooks.editLast
   */
  constructor(client, { commands, params, onsend, editLast }) {
    this.client = client;
    this.params = params;
    this.onsend = onsend;
    this.editLast = editLast;
    this.guard = new CompositionGuard();
    // A browser that knows of no pointer at all, as on a remote desktop, has a keyboard.
    this.touch = matchMedia('(pointer: coarse)');
    this.field = h('textarea.field', {
      rows: 1,
      'aria-label': t('composer.label'),
      placeholder: this.touch.matches ? t('composer.label') : t('composer.placeholder'),
      autocomplete: 'off',
      enterkeyhint: 'enter',
      'aria-describedby': 'composer-hint',
    });
    this.guard.watch(this.field);
    grow(this.field);
    this.hint = h('p.composer-hint', { id: 'composer-hint' });
    this.sendButton = h(
      'button.round.primary',
      { type: 'submit', 'aria-label': t('composer.send'), title: t('composer.send') },
      icon('send'),
    );
    this.stopButton = h(
      'button.round.stop',
      { type: 'button', hidden: true, 'aria-label': t('composer.stop'), title: t('composer.stop'), onclick: () => this.stop() },
      icon('stop'),
    );
    this.queue = h('ul.queue', { 'aria-label': t('queue.label'), hidden: true });
    this.held = h('p.queue-held', { hidden: true });
    this.slash = new SlashMenu(this.field, this.guard, commands);
    this.node = h(
      'form.composer',
      { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), this.send()) },
      this.held,
      this.queue,
      this.slash.node,
      h('div.box', null, this.field, this.stopButton, this.sendButton),
      this.hint,
    );
    /** Whose draft is in the field. @type {string | null} */
    this.shownFor = null;
    this.#listen();
    this.#opened();
  }

  #listen() {
    const { client, field } = this;
    field.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.#key(event));
    field.addEventListener('input', () => this.#changed());
    addEventListener('pagehide', () => this.#saveDraft());
    client.on('open', (detail) => this.#opened(detail));
    client.on('back', (text) => this.add(text));
    for (const topic of /** @type {const} */ (['connection', 'outbox', 'limits', 'system'])) client.on(topic, () => this.#buttons());
    client.on('session', ({ id, change }) => {
      if (id !== client.current || change.kind === 'text') return;
      this.#buttons();
      this.#queue();
    });
  }

  focus() {
    this.field.focus();
  }

  /** Puts a text into the field, for the person to go on with. @param {string} value */
  put(value) {
    this.field.value = value;
    this.field.dispatchEvent(new Event('input'));
    this.#saveDraft();
    this.field.focus();
  }

  /** Gives a text back to the person; what they have written meanwhile stays. @param {string} value */
  add(value) {
    const before = this.field.value.trimEnd();
    this.put(before ? `${before}\n\n${value}` : value);
  }

  /** Sends what is in the field. */
  send() {
    const value = this.field.value;
    if (!value.trim() || value.length > this.client.limits.message_chars) return;
    if (this.slash.run(value)) {
      this.#clear();
      return;
    }
    const debug = DEBUG.exec(asCommand(value));
    if (debug) {
      this.#debug(value, debug[1] ?? '');
      return;
    }
    this.client.send(value, this.client.current ? {} : this.params());
    this.#clear();
    this.onsend();
  }

  /** Asks for a card. Not a message: it waits for nothing, and is not kept. @param {string} value @param {string} args */
  async #debug(value, args) {
    this.#clear();
    try {
      this.client.addCard((await this.client.request('cmd', { name: 'debug', args })).card);
    } catch (error) {
      failure(error);
      if (!this.field.value) this.put(value);
    }
  }

  /** Stops the answer that is being written. */
  stop() {
    // The button goes, and the focus would go with it. On a touch screen the field would bring up the keyboard.
    if (document.activeElement === this.stopButton && !this.touch.matches) this.focus();
    this.client.stop().catch(failure);
  }

  #clear() {
    this.field.value = '';
    this.field.dispatchEvent(new Event('input'));
    this.#saveDraft();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (this.slash.key(event)) return;
    const action = enterAction(event, { guard: this.guard, touch: this.touch.matches, enterSends: settings.get('enter') === 'send' });
    if (action === 'send') {
      event.preventDefault();
      this.send();
    } else if (event.key === 'ArrowUp' && !this.field.value && !this.guard.owns(event)) {
      event.preventDefault();
      this.editLast();
    }
  }

  #changed() {
    this.slash.update();
    this.#buttons();
    clearTimeout(this.draftTimer);
    this.draftTimer = setTimeout(() => this.#saveDraft(), DRAFT_MS);
  }

  #saveDraft() {
    clearTimeout(this.draftTimer);
    if (this.shownFor !== null) settings.putDraft(this.shownFor, this.field.value);
  }

  /** @param {any} [detail] */
  #opened(detail) {
    const { client } = this;
    // The chat on screen has become a session: what is being written goes on there.
    if (detail?.made && this.shownFor === '' && !client.current && detail.chat === client.chat) {
      settings.putDraft('', '');
      this.shownFor = detail.made;
      return this.#saveDraft();
    }
    if (this.shownFor === client.current) return this.#buttons();
    this.#saveDraft();
    this.shownFor = client.current;
    this.field.value = settings.draft(client.current);
    this.field.dispatchEvent(new Event('input'));
    this.slash.update();
    this.#buttons();
    this.#queue();
    return undefined;
  }

  #buttons() {
    const { client, field } = this;
    const length = field.value.length;
    const limit = client.limits.message_chars;
    const running = Boolean(client.model?.active);
    const empty = !field.value.trim();
    this.stopButton.hidden = !running;
    this.stopButton.disabled = client.model?.active?.state === 'stopping';
    this.sendButton.hidden = running && empty;
    this.sendButton.disabled = empty || length > limit;
    const label = running ? t('composer.queue') : t('composer.send');
    this.sendButton.setAttribute('aria-label', label);
    this.sendButton.title = label;
    const nearly = length > limit * NEARLY_FULL;
    this.hint.classList.toggle('over', length > limit);
    text(this.hint, nearly ? `${number(length)} / ${number(limit)}` : this.#keys());
  }

  #keys() {
    if (this.touch.matches) return '';
    return settings.get('enter') === 'send' ? t('composer.keys') : t('composer.keys.ctrl');
  }

  /** Messages that wait for the current answer. */
  #queue() {
    const { client } = this;
    const items = client.model?.queue ?? [];
    this.queue.hidden = !items.length;
    // After a failure nothing is sent automatically, and the reader must be told so.
    this.held.hidden = !items.length || Boolean(client.model?.active);
    text(this.held, t(HELD[client.model?.leaf?.run?.finish ?? ''] ?? 'queue.held'));
    const remove = async (/** @type {any} */ item) => {
      try {
        await client.request('chat.queue.remove', { session: client.current, cid: item.cid });
        this.add(item.text);
      } catch (error) {
        failure(error);
      }
    };
    const make = (/** @type {any} */ item) =>
      h(
        'li',
        null,
        h('span.queued-text'),
        h(
          'button.icon-button',
          { type: 'button', 'aria-label': t('queue.remove'), title: t('queue.remove'), onclick: () => remove(item) },
          icon('close'),
        ),
      );
    keyed(
      this.queue,
      items,
      (item) => item.cid,
      make,
      (node, item) => fill(node.firstChild, item.text),
    );
  }
}
