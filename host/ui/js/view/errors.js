/**
 * Where the chain is broken, in plain words.
 */

import { h, icon, text } from '../dom.js';
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
 * @param {number} at when it failed
 */
export function errorNote(error, at) {
  const words = h('p', null, errorText(error), ' ', countdown(Math.min(at, Date.now()) + (error.retry_after_ms ?? 0)));
  return h(
    'div.error-note',
    null,
    icon('alert'),
    h('div', null, words, chain(error.layer), h('p.fine', null, h('code', null, error.code))),
  );
}

/** Counts down to `until`, then is gone. @param {number} until */
function countdown(until) {
  const node = h('span');
  const tick = () => {
    const n = Math.ceil((until - Date.now()) / 1000);
    text(node, n > 0 ? t('error.again', { n }) : '');
    if (n <= 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 500);
  tick();
  return node;
}
