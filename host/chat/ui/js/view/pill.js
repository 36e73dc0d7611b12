/**
 * The state of the connection: to the gateway, and from there to the model.
 */

import { h, text } from '../dom.js';
import { t } from '../i18n.js';

/**
 * The state to show.
 * @param {import('../net/client.js').Client} client
 * @returns {{level: 'ok' | 'busy' | 'warn' | 'bad', key: string, n?: number}}
 */
export function lineState(client) {
  const { state, retryAt } = client.connection;
  if (state === 'stopped') return { level: 'bad', key: 'line.stopped' };
  if (state === 'login') return { level: 'warn', key: 'line.login' };
  if (state === 'waiting') {
    const n = Math.ceil((retryAt - Date.now()) / 1000);
    return n > 0 ? { level: 'warn', key: 'line.waiting', n } : { level: 'busy', key: 'line.connecting' };
  }
  if (state === 'connecting') return { level: 'busy', key: 'line.connecting' };
  if (client.health.proxy === 'down') return { level: 'bad', key: 'line.proxy' };
  if (client.health.model === 'down') return { level: 'bad', key: 'line.model' };
  return { level: 'ok', key: 'line.ok' };
}

export class PillView {
  /** @param {import('../net/client.js').Client} client */
  constructor(client) {
    this.client = client;
    this.label = h('span');
    this.retry = h('button.link', { type: 'button', hidden: true, onclick: () => client.connection.connect() }, t('line.retry'));
    this.node = h('div.pill', null, h('span.dot', { 'aria-hidden': 'true' }), this.label, this.retry);
    for (const topic of /** @type {const} */ (['connection', 'system'])) client.on(topic, () => this.render());
    this.render();
  }

  render() {
    const { level, key, n } = lineState(this.client);
    clearTimeout(this.timer);
    // A quick reconnect need not be shown.
    const brief = level === 'busy' && !this.slow;
    if (brief) {
      this.timer = setTimeout(() => {
        this.slow = true;
        this.render();
      }, 700);
      return;
    }
    this.slow = level === 'busy';
    this.node.className = `pill ${level}`;
    text(this.label, t(key, n === undefined ? undefined : { n }));
    this.retry.hidden = this.client.connection.state !== 'waiting';
    if (n !== undefined) this.timer = setTimeout(() => this.render(), 500);
  }
}
