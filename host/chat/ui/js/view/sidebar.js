/**
 * The list of sessions: find one, open one, tidy up.
 */

import { fill, h, icon, keyed, set, text } from '../dom.js';
import { period, t } from '../i18n.js';
import { CompositionGuard } from '../text/ime.js';
import { menuButton } from './menu.js';
import { failure } from './toast.js';
import { sessionItems, titleOf } from './sessions.js';

/** A pause in typing after which a search is asked for. */
const SEARCH_MS = 180;

/** @typedef {import('../net/wire.js').Session} Session */

export class SidebarView {
  /**
   * @param {import('../net/client.js').Client} client
   * @param {{onnew: () => void, onsettings: () => void, onpick: (session: string, message?: string) => void, pill: Element}} actions
   */
  constructor(client, { onnew, onsettings, onpick, pill }) {
    this.client = client;
    this.onpick = onpick;
    /** The result of a search, or null while there is none. @type {{sessions: Session[], partial?: boolean} | null} */
    this.found = null;
    this.query = '';
    this.guard = new CompositionGuard();
    this.search = h('input', {
      type: 'search',
      placeholder: t('search.placeholder'),
      'aria-label': t('search.label'),
      autocomplete: 'off',
      spellcheck: 'false',
    });
    this.guard.watch(this.search);
    this.list = h('ul.sessions');
    this.state = h('p.list-state', { role: 'status' });
    this.more = h(
      'button.small-button',
      { type: 'button', hidden: true, onclick: () => client.loadList(true).catch(failure) },
      t('list.more'),
    );
    this.scroller = h('div.list-scroll', null, this.list, this.state, this.more);
    this.node = h(
      'nav.sidebar',
      { 'aria-label': t('list.label'), id: 'sidebar' },
      h(
        'div.sidebar-head',
        null,
        h('span.brand', null, h('span.brand-mark', { 'aria-hidden': 'true' }), 'Sluicegate'),
        h('button.icon-button.drawer-close', { type: 'button', 'aria-label': t('drawer.close') }, icon('close')),
      ),
      h('button.button.new', { type: 'button', onclick: onnew }, icon('plus'), t('list.new')),
      h('div.search', { role: 'search' }, icon('search'), this.search),
      this.scroller,
      h(
        'div.sidebar-foot',
        null,
        pill,
        h(
          'button.icon-button',
          { type: 'button', 'aria-label': t('settings.title'), title: t('settings.title'), onclick: onsettings },
          icon('gear'),
        ),
      ),
    );
    this.#listen();
    this.render();
  }

  #listen() {
    this.search.addEventListener('input', () => {
      // Half a word of an input method is not a query.
      if (!this.guard.composing) this.#later();
    });
    this.search.addEventListener('compositionend', () => this.#later());
    this.search.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Escape' && !this.guard.owns(event) && this.search.value) {
        event.stopPropagation();
        event.preventDefault();
        this.search.value = '';
        this.#later();
      } else if (event.key === 'ArrowDown') {
        event.preventDefault();
        this.list.querySelector('a')?.focus();
      }
    });
    this.list.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.#walk(event));
    for (const topic of /** @type {const} */ (['list', 'open', 'connection'])) this.client.on(topic, () => this.render());
  }

  /** Arrow keys go from link to link. @param {KeyboardEvent} event */
  #walk(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    const links = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll('a')]);
    const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    event.preventDefault();
    const next = at + (event.key === 'ArrowDown' ? 1 : -1);
    (links[next] ?? (next < 0 ? this.search : links[at])).focus();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#find(), SEARCH_MS);
  }

  async #find() {
    const query = this.search.value.trim();
    this.query = query;
    if (!query) {
      this.found = null;
      return this.render();
    }
    try {
      const found = await this.client.request('sessions.list', { q: query, limit: 50 });
      // The results of earlier queries may arrive late.
      if (this.query === query) this.found = found;
    } catch (error) {
      failure(error);
    }
    return this.render();
  }

  /** Ends the search: the list is the whole one again. */
  clear() {
    clearTimeout(this.timer);
    if (!this.search.value && !this.found) return;
    this.search.value = '';
    this.query = '';
    this.found = null;
    this.render();
  }

  render() {
    const { client, found } = this;
    const sessions = found ? found.sessions : client.list.sorted();
    const now = Date.now();
    let heading = '';
    /** @type {Array<{key: string, heading?: string, session?: Session}>} */
    const items = [];
    for (const session of sessions) {
      const group = found ? '' : session.pinned ? 'pinned' : period(session.updated_at, now);
      if (group !== heading) items.push({ key: `group-${group}`, heading: group });
      heading = group;
      items.push({ key: session.id, session });
    }
    keyed(
      this.list,
      items,
      (item) => item.key,
      (item) => (item.session ? this.#item(item.session) : h('li.group')),
      (node, item) => (item.session ? this.#update(node, item.session) : text(node, t(`list.${item.heading}`))),
    );
    this.more.hidden = Boolean(found) || !client.list.cursor;
    text(this.state, this.#state(sessions.length));
  }

  /** @param {number} count */
  #state(count) {
    if (this.found) return count ? (this.found.partial ? t('search.partial') : '') : t('search.none');
    return count || !this.client.list.ready ? '' : t('list.none');
  }

  /** @param {Session} session */
  #item(session) {
    const link = h('a', { href: `#${session.id}` }, h('span.title', { dir: 'auto' }), h('span.snippet', { dir: 'auto' }));
    const hit = () => this.found?.sessions.find((found) => found.id === session.id)?.hits?.find((candidate) => candidate.message)?.message;
    link.addEventListener('click', () => this.onpick(session.id, hit()));
    const menu = menuButton({
      label: t('session.menu'),
      items: () => sessionItems(this.client, this.client.list.get(session.id) ?? session),
    });
    return h('li.session', null, link, h('span.dot', { 'aria-hidden': 'true' }), menu);
  }

  /** @param {any} node @param {Session} session */
  #update(node, session) {
    const [link, dot, menu] = node.children;
    const title = titleOf(session);
    const current = session.id === this.client.current;
    text(link.firstChild, title);
    const parts = session.hits?.find((hit) => hit.message)?.snippet;
    fill(link.lastChild, parts ? parts.map((part) => (part.hit ? h('mark', null, part.t) : part.t)) : []);
    set(link, 'aria-current', current ? 'page' : null);
    const state = session.running ? 'running' : session.unread && !current ? 'unread' : '';
    dot.className = `dot ${state}`;
    set(link, 'aria-label', state ? `${title}, ${t(`list.${state}`)}` : null);
    set(menu, 'aria-label', t('session.menu.of', { title }));
  }
}
