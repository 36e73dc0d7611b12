/**
 * A message that the server has not confirmed: on its way, waiting, or refused.
 */

import { fill, h, icon, text } from '../dom.js';
import { number, t } from '../i18n.js';
import { errorText } from './toast.js';

class PendingView {
  /** @param {import('../net/client.js').Client} client @param {import('../net/outbox.js').Entry} entry */
  constructor(client, entry) {
    this.client = client;
    this.bubble = h('div.bubble', { dir: 'auto' }, entry.text);
    this.state = h('footer.meta');
    this.node = h('article.message.user.pending', { tabIndex: -1, 'aria-label': t('pending.label') }, this.bubble, this.state);
    this.node.__pending = this;
  }

  /** @param {import('../net/outbox.js').Entry} entry */
  update(entry) {
    clearInterval(this.timer);
    this.node.classList.toggle('failed', entry.state === 'failed');
    if (entry.state === 'failed') return this.#failed(entry);
    const until = entry.retryAt ?? 0;
    if (until > Date.now()) {
      const show = () => {
        if (!this.node.isConnected && this.shown) clearInterval(this.timer);
        this.shown = true;
        text(
          this.state,
          t('pending.wait', { reason: errorText(entry.error ?? {}), n: Math.max(0, Math.ceil((until - Date.now()) / 1000)) }),
        );
      };
      show();
      this.timer = setInterval(show, 500);
    } else {
      text(this.state, this.client.online ? t('pending.sending') : t('pending.offline'));
    }
    return undefined;
  }

  /** @param {import('../net/outbox.js').Entry} entry */
  #failed(entry) {
    const { client } = this;
    const again = () => {
      const { expected_leaf: _, ...rest } = /** @type {any} */ (entry.params);
      client.outbox.retry(entry.cid, rest);
    };
    const takeBack = () => {
      client.outbox.remove(entry.cid);
      client.emit('back', entry.text);
    };
    fill(
      this.state,
      h(
        'span.failure',
        null,
        icon('alert'),
        errorText(entry.error ?? {}),
        entry.error?.code === 'TOO_LARGE' ? ` (${number(entry.text.length)})` : null,
      ),
      h('button.small-button', { type: 'button', onclick: again }, t('pending.retry')),
      h('button.small-button', { type: 'button', onclick: takeBack }, t('pending.edit')),
      h('button.small-button', { type: 'button', onclick: () => client.outbox.remove(entry.cid) }, t('pending.discard')),
    );
  }
}

/** @param {import('../net/client.js').Client} client @param {import('../net/outbox.js').Entry} entry */
export function pendingView(client, entry) {
  return new PendingView(client, entry);
}
