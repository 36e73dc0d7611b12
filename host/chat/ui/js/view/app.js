/**
 * The page as a whole: its parts side by side, the address bar, the drawer on narrow screens.
 */

import { h, set } from '../dom.js';
import { t } from '../i18n.js';
import * as settings from '../settings.js';
import { announce } from './announce.js';
import { ComposerView } from './composer.js';
import { startEdit } from './edit.js';
import { HeaderView } from './header.js';
import * as keys from './keys.js';
import { NoticeView } from './notice.js';
import { PillView } from './pill.js';
import { rename, remove, save } from './sessions.js';
import { openSettings } from './settings.js';
import { SidebarView } from './sidebar.js';
import { toast } from './toast.js';
import { TranscriptView } from './transcript.js';

export class AppView {
  /** @param {import('../net/client.js').Client} client */
  constructor(client) {
    this.client = client;
    this.narrow = matchMedia('(max-width: 760px)');
    this.sidebar = new SidebarView(client, {
      onnew: () => this.#fresh(),
      onsettings: () => openSettings(client),
      onpick: (session, message) => this.#picked(session, message),
      pill: new PillView(client).node,
    });
    this.header = new HeaderView(client, { ondrawer: () => this.#drawer(!this.open), pill: new PillView(client).node });
    this.transcript = new TranscriptView(client, { ongo: (text) => this.composer.put(text) });
    this.composer = new ComposerView(client, {
      commands: this.#commands(),
      params: () => this.header.params(),
      onsend: () => this.transcript.scroll.toEnd(),
      editLast: () => this.#editLast(),
    });
    this.notice = new NoticeView(client);
    this.main = h(
      'main.conversation',
      null,
      this.header.node,
      this.transcript.node,
      h('div.dock', null, this.transcript.jump, this.notice.node, this.composer.node),
    );
    this.shade = h('div.shade', { onclick: () => this.#drawer(false) });
    this.node = h('div.app', null, this.sidebar.node, this.shade, this.main);
    this.open = !this.narrow.matches && settings.get('sidebar') !== 'closed';
    this.#listen();
    this.#showDrawer();
    this.#route();
  }

  #listen() {
    const { client } = this;
    addEventListener('hashchange', () => this.#route());
    this.narrow.addEventListener('change', () => this.#drawer(!this.narrow.matches && settings.get('sidebar') !== 'closed', false));
    this.sidebar.node.querySelector('.drawer-close').addEventListener('click', () => this.#drawer(false));
    client.on('open', (detail) => detail?.made && this.#made(detail));
    client.on('build', () => toast(t('build.new'), { ms: 0, action: { label: t('build.reload'), act: () => location.reload() } }));
    client.on('session', ({ id, change }) => change.kind === 'deleted' && id === client.current && this.#gone(id));
    keys.listen({
      areas: () => [
        ...(this.open
          ? [{ area: this.sidebar.node, target: this.sidebar.list.querySelector('[aria-current]') ?? this.sidebar.search }]
          : []),
        { area: this.transcript.node, target: this.transcript.node },
        { area: this.composer.node, target: this.composer.field },
      ],
      step: (step) => this.transcript.step(step),
      escape: () => this.#escape(),
      search: () => {
        this.#drawer(true);
        this.sidebar.search.focus();
      },
    });
    announce(client);
  }

  /** The page is in the document: one can begin to write. */
  shown() {
    if (!this.narrow.matches) this.composer.focus();
  }

  /** Shows what the address names. */
  #route() {
    const id = location.hash.slice(1);
    // A login link that was opened in this very tab.
    if (id.startsWith('login=')) return location.reload();
    const known = /^ses_\w+$/.test(id);
    if (id && !known) {
      history.replaceState(null, '', location.pathname);
      toast(t('session.gone'), { kind: 'error' });
    }
    this.client.show(known ? id : '');
    if (this.narrow.matches) this.#drawer(false);
    else if (!known) this.composer?.focus();
    return undefined;
  }

  /** The session on screen is not there, or not any more. @param {string} id */
  #gone(id) {
    location.hash = '';
    if (!this.client.removing.has(id)) toast(t('session.gone'), { kind: 'error' });
  }

  /** The first message of a new chat has made a session. @param {{made: string, chat: string}} detail */
  #made({ made, chat }) {
    // Only where that chat is still on screen.
    if (this.client.current || chat !== this.client.chat) return;
    // In the list of a search it would not be.
    this.sidebar.clear();
    history.replaceState(null, '', `#${made}`);
    this.#route();
  }

  #fresh() {
    if (location.hash.length > 1) location.hash = '';
    else this.client.show('');
    this.sidebar.clear();
    this.#drawer(this.narrow.matches ? false : this.open);
    this.composer.focus();
  }

  /** A session was chosen in the list. @param {string} session @param {string} [message] where a search found something */
  async #picked(session, message) {
    if (this.narrow.matches) this.#drawer(false);
    /** Whether this is still what the reader looks for. */
    const pick = (this.pick = {});
    if (!message) return;
    const { client } = this;
    // The session is opened by the link itself; its messages come after that.
    const shown = () => client.current === session && Boolean(client.model?.ready);
    await client.when('session', () => shown() || this.pick !== pick);
    if (this.pick === pick) await this.transcript.reveal(message);
  }

  #editLast() {
    const model = this.client.model;
    const last = model?.order.findLast((id) => model.messages.get(id)?.role === 'user');
    const view = last && this.transcript.views.get(last);
    if (view) startEdit(this.client, view);
  }

  /** The innermost thing that Escape can end. */
  #escape() {
    if (this.narrow.matches && this.open) this.#drawer(false);
    else if (this.client.model?.active) this.composer.stop();
    else if (document.activeElement !== this.composer.field) this.composer.focus();
    else return false;
    return true;
  }

  /** @param {boolean} open @param {boolean} [remember] */
  #drawer(open, remember = true) {
    if (open === this.open) return;
    this.open = open;
    if (remember && !this.narrow.matches) settings.put('sidebar', open ? 'open' : 'closed');
    this.#showDrawer();
    if (!this.narrow.matches) return;
    if (open) this.sidebar.node.querySelector('.new').focus();
    else this.header.drawer.focus();
  }

  #showDrawer() {
    const over = this.narrow.matches && this.open;
    this.node.classList.toggle('sidebar-open', this.open);
    set(this.sidebar.node, 'inert', !this.open);
    set(this.main, 'inert', over);
    this.header.drawerOpen(this.open);
  }

  /** @returns {import('./slash.js').Command[]} */
  #commands() {
    const { client } = this;
    const withSession = (/** @type {(session: any) => void} */ act) => () => {
      const session = this.header.session;
      if (session) act(session);
      else toast(t('slash.nosession'));
    };
    return [
      { name: '/debug', about: 'slash.debug', run: null },
      { name: '/debug json', about: 'slash.debug.json', run: null },
      { name: '/debug watch', about: 'slash.debug.watch', run: null },
      { name: '/new', about: 'slash.new', run: () => this.#fresh() },
      { name: '/rename', about: 'slash.rename', run: withSession((session) => rename(client, session)) },
      { name: '/system', about: 'slash.system', run: () => this.header.editSystem() },
      { name: '/export', about: 'slash.export', run: withSession((session) => save(session, 'md')) },
      { name: '/delete', about: 'slash.delete', run: withSession((session) => remove(client, session)) },
      { name: '/settings', about: 'slash.settings', run: () => openSettings(client) },
    ];
  }
}
