/**
 * Questions and forms over the page, as native dialogs: the browser keeps the focus inside and gives it back.
 */

import { h, icon } from '../dom.js';
import { t } from '../i18n.js';
import { CompositionGuard } from '../text/ime.js';

let counter = 0;

/**
 * Opens a dialog.
 * @param {object} options
 * @param {string} options.title
 * @param {any} options.body
 * @param {Array<{label: string, value: string, class?: string}>} [options.actions] the last one is what Enter in a field means
 * @param {string} [options.class]
 * @returns {Promise<string>} the value of the action; "" where it was dismissed
 */
export function open({ title, body, actions = [], class: name }) {
  const id = `dialog${++counter}`;
  const guard = new CompositionGuard();
  const form = h(
    'form',
    { method: 'dialog' },
    h(
      'header',
      null,
      h('h2', { id }, title),
      h('button.icon-button', { type: 'button', 'aria-label': t('close'), onclick: () => dialog.close('') }, icon('close')),
    ),
    h('div.dialog-body', null, body),
    actions.length > 0 &&
      h(
        'footer',
        null,
        actions.map((action, index) =>
          h(
            'button.button',
            {
              type: index === actions.length - 1 ? 'submit' : 'button',
              value: action.value,
              class: action.class,
              onclick: () => dialog.close(action.value),
            },
            action.label,
          ),
        ),
      ),
  );
  const dialog = h('dialog', { class: name, 'aria-labelledby': id }, form);
  for (const field of form.querySelectorAll('input, textarea')) guard.watch(field);
  form.addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    dialog.close(actions.at(-1)?.value ?? '');
  });
  // The Enter that takes a candidate must not send the form, nor its Escape close it.
  dialog.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (['Enter', 'Escape'].includes(event.key) && guard.owns(event)) event.preventDefault();
  });
  dialog.addEventListener('click', (/** @type {Event} */ event) => event.target === dialog && dialog.close(''));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue);
    }),
  );
}

/**
 * Asks for a line of text.
 * @param {{title: string, label: string, value: string, action: string, max?: number}} options
 * @returns {Promise<string | null>} null where it was dismissed
 */
export async function ask({ title, label, value, action, max = 200 }) {
  const field = h('input', { type: 'text', value, maxlength: max, autocomplete: 'off' });
  const opened = open({
    title,
    body: h('label.field', null, h('span', null, label), field),
    actions: [
      { label: t('cancel'), value: '' },
      { label: action, value: 'ok', class: 'primary' },
    ],
  });
  field.focus();
  field.select();
  return (await opened) === 'ok' ? field.value : null;
}
