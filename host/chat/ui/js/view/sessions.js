/**
 * What can be done with a session as a whole, from the list and from the header.
 */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { download } from '../net/rest.js';
import { ask, open } from './dialog.js';
import { failure, toast } from './toast.js';

/** @typedef {import('../net/wire.js').Session} Session */
/** @typedef {import('../net/client.js').Client} Client */

/** How long the undo button stays. */
const UNDO_MS = 12_000;

/** @param {Session | null | undefined} session */
export function titleOf(session) {
  return session?.title || t('session.untitled');
}

/**
 * The items of a session's menu.
 * @param {Client} client
 * @param {Session} session
 * @returns {import('./menu.js').Item[]}
 */
export function sessionItems(client, session) {
  return [
    { label: t('session.rename'), icon: 'edit', act: () => rename(client, session) },
    {
      label: session.pinned ? t('session.unpin') : t('session.pin'),
      icon: 'pin',
      act: () => client.patch(session.id, { pinned: !session.pinned }).catch(failure),
    },
    { label: t('session.system'), icon: 'gear', act: () => system(client, session) },
    { label: t('session.export.md'), icon: 'save', act: () => save(session, 'md') },
    { label: t('session.export.json'), icon: 'save', act: () => save(session, 'json') },
    { label: t('session.delete'), icon: 'trash', danger: true, act: () => remove(client, session) },
  ];
}

/** @param {Client} client @param {Session} session */
export async function rename(client, session) {
  const title = await ask({ title: t('session.rename'), label: t('session.name'), value: session.title, action: t('save') });
  if (title !== null) await client.patch(session.id, { title: title.trim() }).catch(failure);
}

/**
 * Edits the system prompt.
 * @param {Client} client
 * @param {Session | null} session null for a chat that has none yet
 * @param {{value: string, onchange: (value: string) => void}} [fresh] where to keep it until there is one
 */
export async function system(client, session, fresh) {
  const field = h('textarea', {
    rows: 7,
    value: session ? (session.system ?? '') : (fresh?.value ?? ''),
    placeholder: t('system.placeholder'),
  });
  const body = h('label.field', null, h('span', null, t('system.about')), field);
  const opened = open({
    title: t('session.system'),
    body,
    actions: [
      { label: t('cancel'), value: '' },
      { label: t('save'), value: 'ok', class: 'primary' },
    ],
  });
  field.focus();
  if ((await opened) !== 'ok') return;
  const value = field.value.trim();
  if (session) await client.patch(session.id, { system: value || null }).catch(failure);
  else fresh?.onchange(value);
}

/** @param {Client} client @param {Session} session */
export async function remove(client, session) {
  client.removing.add(session.id);
  try {
    const answer = await client.request('sessions.delete', { session: session.id });
    client.list.upsert({ ...answer.session, deleted_at: answer.session.deleted_at ?? Date.now() });
    client.emit('list');
  } catch (error) {
    client.removing.delete(session.id);
    return failure(error);
  }
  if (client.current === session.id) location.hash = '';
  const undo = async () => {
    try {
      const answer = await client.request('sessions.restore', { session: session.id });
      client.list.upsert(answer.session);
      client.emit('list');
      client.removing.delete(session.id);
      location.hash = session.id;
    } catch (error) {
      failure(error);
    }
  };
  return toast(t('session.deleted', { title: titleOf(session) }), { ms: UNDO_MS, action: { label: t('undo'), act: undo } });
}

/** @param {Session} session @param {'md' | 'json'} format */
export function save(session, format) {
  download(`sessions/${session.id}/export?format=${format}`, `${titleOf(session)}.${format}`).catch(failure);
}
