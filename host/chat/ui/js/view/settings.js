/**
 * The settings of this browser.
 */

import { h, text } from '../dom.js';
import { LANGUAGES, current, dateTime, t } from '../i18n.js';
import { call, logout } from '../net/rest.js';
import * as settings from '../settings.js';
import { copyButton } from './copy.js';
import { open } from './dialog.js';
import { startOver } from './login.js';
import { failure } from './toast.js';

const NAMES = { 'zh-CN': '简体中文', en: 'English' };

/** @param {import('../net/client.js').Client} client */
export async function openSettings(client) {
  const choice = (
    /** @type {string} */ key,
    /** @type {Array<[string, string]>} */ options,
    /** @type {(value: string) => void} */ then = () => {},
  ) => {
    const select = h(
      'select',
      null,
      options.map(([value, label]) => h('option', { value }, label)),
    );
    select.value = settings.get(key) || (key === 'language' ? current() : options[0][0]);
    select.addEventListener('change', () => {
      settings.put(key, select.value);
      then(select.value);
    });
    return h('label.row', null, h('span', null, t(`settings.${key}`)), select);
  };
  const options = (/** @type {string} */ key, /** @type {string[]} */ values) =>
    /** @type {Array<[string, string]>} */ (values.map((value) => [value, t(`settings.${key}.${value}`)]));
  const body = h(
    'div.settings',
    null,
    choice('theme', options('theme', ['auto', 'light', 'dark']), settings.applyTheme),
    // Everything on screen has been made in one language; the page comes back where it was, drafts and streams included.
    choice(
      'language',
      LANGUAGES.map((name) => [name, NAMES[name]]),
      () => location.reload(),
    ),
    choice('enter', options('enter', ['send', 'newline']), () => client.emit('limits')),
    choice('announce', options('announce', ['end', 'sentences', 'off'])),
    choice('wrap', options('wrap', ['off', 'on'])),
    linkRow(),
    h('h3', null, t('settings.keys')),
    keyTable(),
    h('p.fine', null, t('settings.version', { version: client.server?.version ?? '–', build: client.build || '–' })),
    h('button.button', { type: 'button', onclick: () => logout(client.outbox).then(startOver) }, t('settings.logout')),
  );
  await open({ title: t('settings.title'), body, class: 'wide' });
}

/** A one-time link for the phone on the desk. */
function linkRow() {
  const out = h('div.one-time');
  const make = async () => {
    try {
      const { link, expires_at } = await (await call('POST', 'login-codes')).json();
      out.replaceChildren(
        copyButton(link, { text: link, label: t('copy.link') }),
        h('p.fine', null, t('settings.link.until', { time: dateTime(expires_at) })),
      );
    } catch (error) {
      failure(error);
    }
  };
  const label = h('span');
  text(label, t('settings.link'));
  return h('div', null, h('div.row', null, label, h('button.button', { type: 'button', onclick: make }, t('settings.link.make'))), out);
}

function keyTable() {
  const rows = [
    ['Ctrl+Enter', 'keys.send'],
    ['Shift+Enter', 'keys.newline'],
    ['↑', 'keys.edit'],
    ['/', 'keys.commands'],
    ['Esc', 'keys.stop'],
    ['F6', 'keys.areas'],
    ['J K', 'keys.messages'],
    ['Ctrl+K', 'keys.search'],
  ];
  return h(
    'dl.keys',
    null,
    rows.map(([key, about]) => h('div', null, h('dt', null, h('kbd', null, key)), h('dd', null, t(about)))),
  );
}
