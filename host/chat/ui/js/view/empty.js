/**
 * A conversation that has not begun.
 */

import { h, icon } from '../dom.js';
import { t } from '../i18n.js';

const SAMPLES = ['sample.1', 'sample.2', 'sample.3'];

/**
 * @param {import('../net/client.js').Client} client
 * @param {(text: string) => void} ongo puts a sample into the composer
 */
export function emptyView(client, ongo) {
  const name = client.user?.name && client.user.name !== 'local' ? client.user.name : '';
  return h(
    'div.empty',
    null,
    h('div.mark', { 'aria-hidden': 'true' }, icon('chat')),
    h('h2', null, name ? t('empty.hello', { name }) : t('empty.title')),
    h('p', null, t('empty.text')),
    h(
      'div.samples',
      null,
      SAMPLES.map((key) => h('button.sample', { type: 'button', onclick: () => ongo(t(key)) }, t(key))),
    ),
  );
}
