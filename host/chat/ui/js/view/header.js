/**
 * Above the conversation: its title, its model, and its menu.
 */

import { h, icon, keyed, set, text } from '../dom.js';
import { t } from '../i18n.js';
import * as settings from '../settings.js';
import { menuButton } from './menu.js';
import { rename, sessionItems, system, titleOf } from './sessions.js';
import { failure } from './toast.js';

export class HeaderView {
  /**
   * @param {import('../net/client.js').Client} client
   * @param {{ondrawer: () => void, pill: Element}} actions
   */
  constructor(client, { ondrawer, pill }) {
    this.client = client;
    /** The system prompt of a chat that has no session yet. */
    this.system = '';
    this.drawer = h(
      'button.icon-button',
      {
        type: 'button',
        class: 'drawer-open',
        'aria-label': t('drawer.open'),
        title: t('drawer.open'),
        'aria-controls': 'sidebar',
        onclick: ondrawer,
      },
      icon('menu'),
    );
    this.title = h('h1', { dir: 'auto', tabIndex: -1 });
    this.model = h('select', { 'aria-label': t('model.label'), title: t('model.label') });
    this.model.addEventListener('change', () => this.#choose(this.model.value));
    this.prompt = h(
      'button.icon-button',
      { type: 'button', 'aria-label': t('session.system'), title: t('session.system'), onclick: () => this.editSystem() },
      icon('gear'),
    );
    this.menu = menuButton({ label: t('session.menu'), items: () => this.#items() });
    const model = h('span.select', null, this.model, icon('chevron'));
    this.node = h('header.bar', null, this.drawer, this.title, pill, this.prompt, model, this.menu);
    for (const topic of /** @type {const} */ (['open', 'list', 'system', 'connection'])) client.on(topic, () => this.render());
    client.on('session', ({ id, change }) => id === client.current && change.kind === 'session' && this.render());
    this.title.addEventListener('dblclick', () => this.session && rename(client, this.session));
    this.render();
  }

  /** @returns {import('../net/wire.js').Session | undefined} */
  get session() {
    const { client } = this;
    return client.model?.session ?? client.list.get(client.current);
  }

  render() {
    const { client, session } = this;
    const title = client.current ? titleOf(session) : t('list.new');
    text(this.title, title);
    document.title = client.current ? `${title} · Sluicegate` : 'Sluicegate';
    const chosen = session?.model ?? (client.current ? '' : settings.get('model'));
    const fallback = client.available.find((model) => model.default)?.id ?? client.available[0]?.id ?? '';
    const names = client.available.map((model) => model.id);
    // A model that is gone, or not known while the proxy is down, stays visible as what it is.
    if (chosen && !names.includes(chosen)) names.unshift(chosen);
    keyed(
      this.model,
      names.length ? names : [''],
      (name) => `o${name}`,
      (name) => h('option', { value: name }, name || t('model.none')),
      () => {},
    );
    const value = chosen || fallback;
    if (this.model.value !== value) this.model.value = value;
    this.model.disabled = !names.length;
    // Answers are not what they would be without it: it should not be out of sight.
    this.prompt.hidden = !(client.current ? session?.system : this.system);
  }

  /** Opens the system prompt, of the session or of the one that there will be. */
  editSystem() {
    const keep = (/** @type {string} */ value) => {
      this.system = value;
      this.render();
    };
    return system(this.client, this.session ?? null, { value: this.system, onchange: keep });
  }

  /** What is sent with the first message of a new chat. */
  params() {
    const model = this.model.value;
    const params = { ...(model && { model }), ...(this.system && { system: this.system }) };
    this.system = '';
    return params;
  }

  /** @param {string} model */
  #choose(model) {
    settings.put('model', model);
    if (this.client.current) this.client.patch(this.client.current, { model }).catch(failure);
  }

  #items() {
    if (this.session) return sessionItems(this.client, this.session);
    return [{ label: t('session.system'), icon: /** @type {const} */ ('gear'), act: () => this.editSystem() }];
  }

  /** @param {boolean} open */
  drawerOpen(open) {
    set(this.drawer, 'aria-expanded', String(open));
  }
}
