/**
 * What the buttons of a message do.
 */

import { startEdit } from './edit.js';
import { failure } from './toast.js';
import { uuid } from '../net/wire.js';

/**
 * @param {import('../net/client.js').Client} client
 * @param {import('./message.js').MessageView} view
 * @param {string} action
 * @param {string} [to] the sibling to show, for `branch`
 */
export function act(client, view, action, to) {
  const session = client.current;
  const target = { session, message: view.id };
  if (action === 'regenerate') client.request('chat.regenerate', { ...target, cid: uuid() }).catch(failure);
  else if (action === 'continue') client.request('chat.continue', { ...target, cid: uuid() }).catch(failure);
  else if (action === 'branch') client.request('branch.select', { session, leaf: to }).catch(failure);
  else if (action === 'edit') startEdit(client, view);
}
