/**
 * Copying to the clipboard, and the buttons for it.
 */

import { fill, h, icon } from '../dom.js';
import { t } from '../i18n.js';
import { say } from './status.js';

const CONFIRMED_MS = 1_500;

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS and off loopback there is no clipboard interface; the old way still works.
    const field = h('textarea.sr-only', { value: text, readOnly: true });
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  say(t('copy.done'));
}

/**
 * A button that copies.
 * @param {string | (() => string)} what
 * @param {{label: string, text?: string, class?: string}} options `text` is shown in place of the drawing
 */
export function copyButton(what, { label, text, class: name }) {
  const content = () => text ?? icon('copy');
  const button = h(
    text ? 'button.copy-text' : 'button.icon-button',
    { type: 'button', class: name, 'aria-label': text ? `${label} ${text}` : label, title: label },
    content(),
  );
  button.addEventListener('click', async () => {
    await copy(typeof what === 'string' ? what : what());
    fill(button, text ? [text, ' ', icon('check')] : icon('check'));
    button.classList.add('done');
    setTimeout(() => {
      fill(button, content());
      button.classList.remove('done');
    }, CONFIRMED_MS);
  });
  return button;
}
