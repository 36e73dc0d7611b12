/**
 * A line above the composer while the chain below the gateway is broken.
 */

import { fill, h, icon } from '../dom.js';
import { t } from '../i18n.js';
import { chain } from './errors.js';
import { lineState } from './pill.js';
import { say } from './status.js';

export class NoticeView {
  /** @param {import('../net/client.js').Client} client */
  constructor(client) {
    this.client = client;
    this.node = h('div.notice', { hidden: true });
    this.key = '';
    for (const topic of /** @type {const} */ (['connection', 'system'])) client.on(topic, () => this.render());
    this.render();
  }

  render() {
    const { key } = lineState(this.client);
    const broken = key === 'line.proxy' ? 'proxy' : key === 'line.model' ? 'model' : key === 'line.stopped' ? 'gateway' : '';
    if (broken === this.key) return;
    const was = this.key;
    this.key = broken;
    this.node.hidden = !broken;
    if (!broken) {
      if (was) say(t('line.ok'));
      return;
    }
    fill(this.node, icon('alert'), h('div', null, h('p', null, t(`notice.${broken}`)), chain(broken)));
    say(t(`notice.${broken}`), true);
  }
}
