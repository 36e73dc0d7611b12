/**
 * Tells a screen reader how an answer goes: that it is being written, and what it says, as much as its user wants.
 */

import { t } from '../i18n.js';
import * as settings from '../settings.js';
import { say } from './status.js';
import { errorText } from './toast.js';

/** The end of an answer is told up to here; the rest is in the transcript. */
const TOLD = 200;
const SENTENCE = /[^.!?。！？\n]+[.!?。！？\n]+/g;

/** @param {import('../net/client.js').Client} client */
export function announce(client) {
  /** How far each live message has been told. @type {Map<string, number>} */
  const told = new Map();

  client.on('session', ({ id, change }) => {
    const model = client.model;
    if (!model || id !== client.current) return;
    if (change.kind === 'order') return started(model);
    const message = model.messages.get(change.id);
    if (message?.role !== 'assistant' || !told.has(message.id)) return;
    if (change.kind === 'text') sentences(message);
    else if (change.kind === 'message' && message.status !== 'streaming' && message.status !== 'queued') ended(message);
  });

  /** @param {any} model */
  function started(model) {
    const leaf = model.leaf;
    if (leaf?.status !== 'streaming' || told.has(leaf.id)) return;
    told.set(leaf.id, 0);
    if (settings.get('announce') !== 'off') say(t('say.writing'));
  }

  /** @param {any} message */
  function sentences(message) {
    if (settings.get('announce') !== 'sentences') return;
    const from = told.get(message.id) ?? 0;
    const whole = [...message.text.slice(from).matchAll(SENTENCE)];
    if (!whole.length) return;
    const last = /** @type {RegExpMatchArray} */ (whole.at(-1));
    told.set(message.id, from + (last.index ?? 0) + last[0].length);
    say(whole.map((match) => match[0].trim()).join(' '));
  }

  /** @param {any} message */
  function ended(message) {
    const from = told.get(message.id) ?? 0;
    told.delete(message.id);
    const mode = settings.get('announce');
    if (message.status === 'error') say(`${t('say.failed')} ${errorText(message.run?.error ?? {})}`, true);
    else if (mode === 'sentences') say(message.text.slice(from) || t('say.ended'));
    else if (mode === 'end') say(`${t('say.ended')} ${message.text.slice(0, TOLD)}`);
  }
}
