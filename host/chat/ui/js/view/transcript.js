/**
 * The conversation: messages, unsent messages, debug cards, and the way back to the end.
 *
 * Draws at most once per frame, and only what changed. Where a conversation grows beyond what a document carries easily,
 * messages far from the screen are emptied to their height, but never while text streams.
 */

import { delegate, h, icon, keyed, text } from '../dom.js';
import { t } from '../i18n.js';
import { act } from './actions.js';
import { cardView } from './debug.js';
import { emptyView } from './empty.js';
import { MessageView } from './message.js';
import { pendingView } from './pending.js';
import { ScrollOwner } from './scroll.js';
import { failure } from './toast.js';

/** After this time without a connection, an answer that is being written is shown as interrupted. */
const LOST_MS = 1_500;
/** More messages than this are not all kept in the document. */
const MOST_LIVE = 400;

export class TranscriptView {
  /**
   * @param {import('../net/client.js').Client} client
   * @param {{ongo: (text: string) => void}} actions `ongo`: the reader chose a sample
   */
  constructor(client, { ongo }) {
    this.client = client;
    this.ongo = ongo;
    this.older = h('button.small-button.older', { type: 'button', hidden: true, onclick: () => this.#earlier() }, t('transcript.older'));
    this.list = h('div.messages');
    this.loading = h(
      'div.loading',
      { hidden: true },
      h('span.dots', { 'aria-hidden': 'true' }, h('i'), h('i'), h('i')),
      h('span.sr-only', null, t('loading')),
    );
    this.content = h('div.content', null, this.older, this.loading, this.list);
    this.node = h('div.transcript', { role: 'log', 'aria-live': 'off', 'aria-label': t('transcript.label'), tabIndex: 0 }, this.content);
    this.jumpCount = h('span');
    this.jump = h('button.jump', { type: 'button', hidden: true, onclick: () => this.scroll.toEnd() }, icon('down'), this.jumpCount);
    this.scroll = new ScrollOwner(this.node, this.content, (pinned) => this.#pinned(pinned));
    /** @type {Map<string, MessageView>} */
    this.views = new Map();
    /** Messages to draw again; "*" is all. */
    this.dirty = new Set();
    this.frame = 0;
    this.watched = 0;
    this.cardCount = 0;
    this.cardIsNew = false;
    this.parking = new IntersectionObserver((entries) => this.#park(entries), { root: this.node, rootMargin: '3000px 0px' });
    this.#listen();
    this.#order();
  }

  #listen() {
    const { client } = this;
    client.on('open', () => this.#opened());
    client.on('session', ({ id, change }) => {
      if (id !== client.current) return;
      if (change.kind === 'order') this.#mark('*');
      else if (change.kind === 'message' || change.kind === 'text') this.#mark(change.id);
    });
    client.on('outbox', () => this.#mark('*'));
    client.on('cards', () => {
      const count = this.#cards().length;
      this.cardIsNew = count > this.cardCount;
      this.cardCount = count;
      this.#mark('*');
    });
    client.on('connection', () => {
      this.#mark('*');
      clearTimeout(this.lost);
      // A quick reconnect need not be shown.
      if (!client.online) this.lost = setTimeout(() => this.#mark('*'), LOST_MS);
    });
    delegate(this.node, 'click', '[data-action]', (_event, button) => {
      const view = /** @type {any} */ (button.closest('.message'))?.__view;
      if (view) act(client, view, button.dataset.action, button.dataset.to);
    });
    document.addEventListener('visibilitychange', () => this.#draw());
  }

  #opened() {
    this.views.clear();
    this.parking.disconnect();
    this.watched = 0;
    this.seenLast = undefined;
    this.cardCount = this.#cards().length;
    this.#order();
    this.scroll.toEnd();
  }

  /** @param {string} id */
  #mark(id) {
    this.dirty.add(id);
    // A hidden page draws when it is shown: frames do not come until then.
    this.frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.dirty.has('*')) this.#order();
    else for (const id of this.dirty) this.#message(id);
    this.dirty.clear();
    this.scroll.follow();
    if (this.cardIsNew) this.#showCard();
  }

  /** Brings the list of elements in line with the model. */
  #order() {
    const { client } = this;
    const { model } = client;
    const first = this.list.firstElementChild;
    const items = this.#items();
    const place = () =>
      keyed(
        this.list,
        items,
        (item) => item.key,
        (item) => item.make(),
        (node, item) => item.update(node),
      );
    const grewAbove = first && items.length && items[0].key !== /** @type {any} */ (first).dataset.key;
    if (grewAbove) this.scroll.keep(place);
    else place();
    for (const id of this.views.keys()) if (!model?.messages.has(id)) this.views.delete(id);
    this.#watchFar();
    this.older.hidden = !model?.more;
    this.loading.hidden = !client.current || Boolean(model?.ready);
    this.#count();
  }

  /** Everything that is shown, in order. */
  #items() {
    const { client } = this;
    const { model } = client;
    const order = model?.order ?? [];
    const cards = this.#cards();
    /** @type {Array<{key: string, make: () => Element, update: (node: any) => void}>} */
    const items = [];
    const addCards = (/** @type {string} */ after) => {
      for (const entry of cards) {
        if (entry.after === after || (after === '$end' && entry.after && !order.includes(entry.after))) {
          items.push({ key: entry.id, make: () => cardView(client, entry).node, update: (node) => node.__card.update(entry.card) });
        }
      }
    };
    addCards('');
    for (const id of order) {
      items.push({ key: id, make: () => this.#make(id), update: () => this.#message(id) });
      addCards(id);
    }
    addCards('$end');
    for (const entry of client.pending)
      items.push({ key: entry.cid, make: () => pendingView(client, entry).node, update: (node) => node.__pending.update(entry) });
    if (!items.length && !client.current) items.push({ key: 'empty', make: () => emptyView(client, this.ongo), update: () => {} });
    return items;
  }

  #cards() {
    return this.client.cards.filter((entry) => entry.session === this.client.current);
  }

  /** A card that is taller than the screen is read from its top. */
  #showCard() {
    this.cardIsNew = false;
    const card = /** @type {HTMLElement | undefined} */ ([...this.list.querySelectorAll('.card')].at(-1));
    if (card && card.offsetHeight > this.node.clientHeight - 40) this.scroll.reveal(card);
  }

  /** @param {string} id */
  #make(id) {
    const view = new MessageView(/** @type {any} */ (this.client.model?.messages.get(id)));
    this.views.set(id, view);
    this.parking.observe(view.node);
    return view.node;
  }

  /** @param {string} id */
  #message(id) {
    const { model } = this.client;
    const message = model?.messages.get(id);
    if (!message) return;
    const { offlineSince } = this.client;
    const lost = offlineSince > 0 && Date.now() - offlineSince >= LOST_MS;
    this.views.get(id)?.update(message, { run: model?.runOf(id), last: model?.order.at(-1) === id, lost });
  }

  async #earlier() {
    this.older.disabled = true;
    // The reader is at the top: the end must not pull them down.
    this.scroll.unpin();
    await this.client.earlier().catch(failure);
    this.older.disabled = false;
  }

  /** @param {boolean} pinned */
  #pinned(pinned) {
    if (!pinned) this.seenLast = this.client.model?.order.at(-1);
    this.jump.hidden = pinned;
    this.#count();
  }

  /** How many messages have come since the reader left the end. */
  #count() {
    const order = this.client.model?.order ?? [];
    const fresh = this.seenLast ? order.length - 1 - order.indexOf(this.seenLast) : 0;
    text(this.jumpCount, fresh > 0 && fresh < order.length ? t('transcript.new', { n: fresh }) : t('transcript.latest'));
  }

  /** Shows the message of that id; loads older pages until it is there. @param {string} id */
  async reveal(id) {
    const { model } = this.client;
    const loaded = async () => {
      // Bounded: a message of another branch never comes.
      for (let page = 0; page < 40 && model?.more && !model.messages.has(id); page++) await this.client.earlier();
      return Boolean(model?.messages.has(id));
    };
    try {
      if (!(await loaded())) {
        await this.client.select(id);
        await loaded();
      }
    } catch (error) {
      failure(error);
    }
    if (this.client.model !== model) return;
    this.#draw();
    const node = this.views.get(id)?.node;
    if (!node) return;
    this.scroll.reveal(node);
    node.classList.add('found');
    node.addEventListener('animationend', () => node.classList.remove('found'), { once: true });
  }

  /** Moves the focus from message to message. @param {1 | -1} step */
  step(step) {
    const nodes = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll('.message')]);
    if (!nodes.length) return;
    const focused = nodes.indexOf(/** @type {any} */ (document.activeElement?.closest('.message')));
    // From outside: the last message that has begun on the screen.
    const box = this.node.getBoundingClientRect();
    const visible = nodes.findLastIndex((node) => node.getBoundingClientRect().top < box.bottom - 40);
    const next = nodes[Math.max(0, Math.min(nodes.length - 1, focused < 0 ? visible : focused + step))];
    next.focus({ preventScroll: true });
    this.scroll.reveal(next);
  }

  /** Makes the observer check every message again once there are too many: it reports only changes. */
  #watchFar() {
    const count = this.views.size;
    if (count <= MOST_LIVE || count === this.watched || this.client.model?.runs.size) return;
    this.watched = count;
    this.parking.disconnect();
    for (const view of this.views.values()) this.parking.observe(view.node);
  }

  /** Empties messages that are far away to their height, and fills those that come near. @param {IntersectionObserverEntry[]} entries */
  #park(entries) {
    const streaming = Boolean(this.client.model?.runs.size);
    for (const entry of entries) {
      const view = /** @type {any} */ (entry.target).__view;
      if (entry.isIntersecting && view.parked) {
        view.unpark();
        this.#message(view.id);
      } else if (!entry.isIntersecting && !streaming && this.views.size > MOST_LIVE) {
        view.park(entry.boundingClientRect.height);
      }
    }
  }
}
