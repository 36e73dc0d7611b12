/**
 * The `/debug` card: the state of each layer at a glance. It is shown in this tab only, and not stored.
 */

import { fill, h, icon } from '../dom.js';
import { dateTime, duration, has, number, size, t, time } from '../i18n.js';
import { copyButton } from './copy.js';

/** How long and how often `/debug watch` refreshes. */
const WATCH_MS = 60_000;
const EVERY_MS = 2_000;

class CardView {
  /** @param {import('../net/client.js').Client} client @param {import('../net/client.js').CardEntry} entry */
  constructor(client, entry) {
    this.client = client;
    this.id = entry.id;
    this.content = h('div.card-body');
    this.title = h('h2');
    const close = h(
      'button.icon-button',
      { type: 'button', 'aria-label': t('close'), title: t('close'), onclick: () => this.#close() },
      icon('close'),
    );
    this.copy = copyButton(() => JSON.stringify(this.card, null, 2), { label: t('debug.copy') });
    this.node = h(
      'section.card',
      { tabIndex: -1, 'aria-label': t('debug.label') },
      h('header', null, this.title, h('span.fine', null, t('debug.only')), this.copy, close),
      this.content,
    );
    this.node.__card = this;
    if (entry.card.watch) this.#watch();
  }

  /** @param {any} card */
  update(card) {
    if (card === this.card) return;
    this.card = card;
    const trace = card.kind === 'trace';
    fill(this.title, trace ? t('debug.trace') : t('debug.title'));
    if (card.raw) fill(this.content, h('pre.raw', { tabIndex: 0 }, JSON.stringify(card, null, 2)));
    else fill(this.content, trace ? traceBody(card) : debugBody(card));
  }

  #close() {
    clearInterval(this.timer);
    this.client.removeCard(this.id);
  }

  #watch() {
    const until = Date.now() + WATCH_MS;
    this.timer = setInterval(async () => {
      if (Date.now() > until || !this.client.cards.some((entry) => entry.id === this.id)) return clearInterval(this.timer);
      const answer = await this.client.request('cmd', { name: 'debug' }).catch(() => null);
      if (answer) this.client.addCard(answer.card, this.id);
    }, EVERY_MS);
  }
}

/** @param {import('../net/client.js').Client} client @param {import('../net/client.js').CardEntry} entry */
export function cardView(client, entry) {
  return new CardView(client, entry);
}

/** @param {any} card */
function debugBody({ sections, requests, at }) {
  return [
    h('div.sections', null, sections.map(section)),
    requests?.length ? requestTable(requests) : null,
    h('p.fine', null, t('debug.at', { time: time(at) })),
  ];
}

/** @param {any} value */
function section({ id, level, rows }) {
  const hints = rows.filter((/** @type {any} */ row) => row.hint).map((/** @type {any} */ row) => hint(row.hint));
  return h(
    'section.layer',
    { class: level },
    h('h3', null, light(level), has(`layer.${id}`) ? t(`layer.${id}`) : id),
    h(
      'dl',
      null,
      rows.map((/** @type {any} */ row) =>
        h(
          'div',
          { class: row.level },
          h('dt', null, has(`debug.row.${row.id}`) ? t(`debug.row.${row.id}`) : row.id),
          h('dd', null, value(row), row.level === 'ok' ? null : h('span.sr-only', null, ` (${t(`debug.level.${row.level}`)})`)),
        ),
      ),
    ),
    hints,
  );
}

/** @param {string} level */
function light(level) {
  return h('span.light', { class: level, role: 'img', 'aria-label': t(`debug.level.${level}`) });
}

/** @param {{code: string, subject?: string, text: string}} value */
function hint({ code, subject, text }) {
  const key = `debug.hint.${code}`;
  return h('p.hint', null, has(key) ? t(key, { subject: subject ?? '' }) : text);
}

/** @param {{value: any, unit?: string}} row */
function value({ value: given, unit }) {
  if (typeof given === 'boolean') return given ? t('yes') : t('no');
  if (Array.isArray(given)) return given.length ? given.join(', ') : '–';
  if (typeof given !== 'number') return String(given ?? '–');
  if (unit === 'ms') return duration(given);
  if (unit === 's') return given < 60 ? duration(given * 1000) : elapsed(given);
  if (unit === 'bytes') return size(given);
  return unit === 'percent' ? number(given / 100, { style: 'percent', maximumFractionDigits: 1 }) : number(given);
}

/** @param {number} seconds */
function elapsed(seconds) {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const part = (/** @type {number} */ value, /** @type {string} */ unit) => number(value, { style: 'unit', unit, unitDisplay: 'short' });
  return [days && part(days, 'day'), (days || hours) && part(hours, 'hour'), !days && part(minutes, 'minute')].filter(Boolean).join(' ');
}

/** @param {any[]} requests */
function requestTable(requests) {
  const layers = [...new Set(requests.flatMap((request) => request.layers.map((/** @type {any} */ layer) => layer.layer)))];
  const cell = (/** @type {any} */ request, /** @type {string} */ name) => {
    const found = request.layers.find((/** @type {any} */ layer) => layer.layer === name);
    return h('td.num', null, found?.ms === undefined ? '–' : duration(found.ms));
  };
  return h(
    'div.table',
    { tabIndex: 0 },
    h(
      'table.requests',
      null,
      h('caption', null, t('debug.requests')),
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          ['debug.request', 'debug.model', 'debug.finish'].map((key) => h('th', { scope: 'col' }, t(key))),
          layers.map((layer) => h('th.num', { scope: 'col' }, t(`layer.${layer}`))),
        ),
      ),
      h(
        'tbody',
        null,
        requests.map((request) =>
          h(
            'tr',
            null,
            h('td', null, copyButton(request.request_id, { text: request.request_id, label: t('copy.request') })),
            h('td', null, request.model ?? '–'),
            h('td', null, request.finish ? finish(request.finish) : '…'),
            layers.map((layer) => cell(request, layer)),
          ),
        ),
      ),
    ),
  );
}

/** @param {any} card */
function traceBody({ request_id, found, layers }) {
  return [
    h('p', null, copyButton(request_id, { text: request_id, label: t('copy.request') }), found ? null : ` ${t('debug.unknown')}`),
    h(
      'div.sections',
      null,
      layers.map((/** @type {any} */ layer) =>
        h(
          'section.layer',
          null,
          h('h3', null, light(traceLevel(layer)), has(`layer.${layer.layer}`) ? t(`layer.${layer.layer}`) : layer.layer),
          layer.found ? tree(layer.facts) : h('p.fine', null, t('debug.nothing')),
        ),
      ),
    ),
  ];
}

/** The result of a request in a layer. @param {{found: boolean, facts?: any}} layer */
function traceLevel({ found, facts }) {
  if (!found) return 'warn';
  const end = facts.run?.finish;
  if (end === 'error' || facts.error || (facts.status ?? 0) >= 400) return 'bad';
  return end === 'interrupted' || end === 'stopped' || end === 'abandoned' || facts.cancelled ? 'warn' : 'ok';
}

/** @param {string} value */
function finish(value) {
  return has(`finish.${value}`) ? t(`finish.${value}`) : value;
}

/** @param {any} facts @returns {any} */
function tree(facts) {
  return h(
    'dl',
    null,
    Object.entries(facts).map(([key, item]) => {
      const nested = item !== null && typeof item === 'object' && !Array.isArray(item);
      const name = has(`debug.fact.${key}`) ? t(`debug.fact.${key}`) : key;
      return h('div', { class: nested && 'nested' }, h('dt', null, name), h('dd', null, nested ? tree(item) : fact(key, item)));
    }),
  );
}

/** A figure in the unit that its name says. @param {string} key @param {any} item @returns {string} */
function fact(key, item) {
  if (item === null || item === '') return '–';
  if (Array.isArray(item)) return item.map((one) => fact(key, one)).join(', ') || '–';
  if (typeof item === 'boolean') return item ? t('yes') : t('no');
  if (key === 'received_ms') return dateTime(item);
  if (typeof item === 'number' && /(^|_)ms$/.test(key)) return duration(item);
  if (typeof item === 'number' && key.endsWith('_bytes')) return size(item);
  if (key === 'layer' && has(`layer.${item}`)) return t(`layer.${item}`);
  return key === 'finish' ? finish(String(item)) : String(item);
}
