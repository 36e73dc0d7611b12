/**
 * Editing a message of one's own, in its place. Sending makes a branch; the old one stays.
 */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { grow } from './grow.js';
import { CompositionGuard } from '../text/ime.js';

/**
 * Turns the bubble into a field.
 * @param {import('../net/client.js').Client} client
 * @param {any} view a `MessageView`
 */
export function startEdit(client, view) {
  if (view.node.classList.contains('editing')) return;
  const guard = new CompositionGuard();
  const field = h('textarea', { value: view.message.text, 'aria-label': t('message.edit'), rows: 1 });
  guard.watch(field);
  grow(field);
  const close = () => {
    editor.replaceWith(view.bubble);
    view.node.classList.remove('editing');
    view.node.focus({ preventScroll: true });
  };
  const send = () => {
    const value = field.value.trim();
    if (!value) return;
    client.send(value, { edit_of: view.id, when: 'interrupt' });
    close();
  };
  const editor = h(
    'div.editor',
    null,
    field,
    h(
      'div.editor-actions',
      null,
      h('button.button', { type: 'button', onclick: close }, t('cancel')),
      h('button.button.primary', { type: 'button', onclick: send }, t('edit.send')),
    ),
  );
  field.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (guard.owns(event)) return;
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send();
    }
  });
  view.node.classList.add('editing');
  view.bubble.replaceWith(editor);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}
