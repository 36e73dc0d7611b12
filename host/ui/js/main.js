/**
 * Starts the page: language, login, parser, connection, view.
 */

import * as i18n from './i18n.js';
import { Client } from './net/client.js';
import { openShelf } from './net/outbox.js';
import { login } from './net/rest.js';
import { SUBPROTOCOL } from './net/wire.js';
import * as settings from './settings.js';
import { load as loadMarkdown } from './text/markdown.js';
import { AppView } from './view/app.js';
import { useParser } from './view/body.js';
import * as code from './view/code.js';
import { loginView } from './view/login.js';
import { regions } from './view/status.js';
import { place as toastPlace } from './view/toast.js';

/** After this many sockets that never opened, where plain HTTP works, something in between does not let them through. */
const SOCKET_TRIES = 3;

const build = document.querySelector('meta[name="sluice-build"]')?.getAttribute('content') ?? '';
const tab = `t_${Math.random().toString(36).slice(2, 10)}`;
const root = /** @type {HTMLElement} */ (document.getElementById('app'));

/** The code of a login link; taken out of the address before anything else can see it. */
function takeCode() {
  const code = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, '', location.pathname);
  return code;
}

async function start() {
  const loginCode = takeCode();
  const language = /** @type {i18n.Language} */ (settings.get('language')) || i18n.choose(navigator.languages);
  document.documentElement.lang = language;
  const parser = loadMarkdown(new URL('../markdown.wasm', import.meta.url));
  const [shelf] = await Promise.all([openShelf(), i18n.load(language)]);
  let loginError;
  if (loginCode) await login({ code: loginCode }).catch((error) => (loginError = error));
  // Without the parser messages are shown as plain text.
  await parser.then((markdown) => useParser(markdown.parse)).catch((error) => console.warn(error));
  document.body.append(...regions(), toastPlace());
  run(shelf, loginError);
}

/** @param {import('./net/outbox.js').Shelf} shelf @param {any} loginError */
function run(shelf, loginError) {
  const client = new Client({ build, shelf, visible: () => document.visibilityState === 'visible', hello, open: transport });
  code.configure(
    async (lang, text) => (await client.request('code.highlight', { lang, text })).ranges,
    () => client.limits.highlight_bytes ?? 0,
  );
  /** @type {AppView | null} */
  let app = null;
  client.on('connection', (state) => {
    if (state === 'waiting') checkBlocked(client);
    if (state === 'login') {
      const again = () => {
        if (app) show(app);
        client.connection.connect();
      };
      root.replaceChildren(loginView({ onlogin: again, error: loginError }));
      root.querySelector('input')?.focus();
    } else if (state === 'online') {
      loginError = undefined;
      app ??= new AppView(client);
      if (!app.node.isConnected) show(app);
    }
  });
  // The theme was changed in another tab.
  addEventListener('storage', (event) => event.key === 'sluice.theme' && settings.applyTheme(settings.get('theme')));
  document.addEventListener('visibilitychange', () => client.visibility());
  addEventListener('online', () => client.connection.probe());
  addEventListener('pageshow', (event) => event.persisted && client.connection.probe());
  // Where we have been before, the page is there at once, with drafts and unsent messages, whatever the server does.
  if (settings.get('bind')) {
    app = new AppView(client);
    show(app);
  }
  client.start();
}

/** @param {AppView} app */
function show(app) {
  root.replaceChildren(app.node);
  app.shown();
}

/** Carries the frames over HTTP, until the page is loaded again. @type {typeof import('./net/sse.js').SseSocket | undefined} */
let Fallback;

/** Looks whether something on the way eats WebSockets. @param {Client} client */
async function checkBlocked(client) {
  if (Fallback || client.connection.failures < SOCKET_TRIES) return;
  const answer = await fetch('/healthz').catch(() => null);
  if (answer?.ok) Fallback = (await import('./net/sse.js')).SseSocket;
}

function transport() {
  if (Fallback) return new Fallback();
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return new WebSocket(`${scheme}://${location.host}/ws`, SUBPROTOCOL);
}

function hello() {
  const bind = settings.get('bind');
  return {
    min: 1,
    max: 1,
    ...(bind && { bind }),
    tab,
    visible: document.visibilityState === 'visible',
    client: { name: 'web', version: '0.1.0', build },
    locale: document.documentElement.lang,
  };
}

start();
