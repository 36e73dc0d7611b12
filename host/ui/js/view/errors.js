/**
 * Where the chain is broken, in plain words.
 */

import { h, icon } from '../dom.js';
import { t } from '../i18n.js';
import { errorText } from './toast.js';

const LAYERS = ['gateway', 'proxy', 'model'];

/**
 * The layers as a line, with the broken one marked.
 * @param {string} [broken]
 */
export function chain(broken) {
  const at = LAYERS.indexOf(broken ?? '');
  return h(
    'ol.chain',
    { 'aria-label': t('chain.label') },
    LAYERS.map((layer, index) => {
      const state = at < 0 ? '' : index < at ? 'ok' : index === at ? 'bad' : 'unknown';
      return h('li', { class: state }, h('span', null, t(`layer.${layer}`)), state && h('span.sr-only', null, ` (${t(`chain.${state}`)})`));
    }),
  );
}

/**
 * A note on a run that failed. Its request id is below it, with the figures of the message.
 * @param {import('../net/wire.js').WireError} error
 */
export function errorNote(error) {
  return h(
    'div.error-note',
    null,
    icon('alert'),
    h('div', null, h('p', null, errorText(error)), chain(error.layer), h('p.fine', null, h('code', null, error.code))),
  );
}
