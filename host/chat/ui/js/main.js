/**
 * Starts the page: login, language, parser, connection, view.
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
import { loginView, startOver } from './view/login.js';
import { regions } from './view/status.js';
import { clear as clearToasts, place as toastPlace } from './view/toast.js';

/** After this many sockets that never opened, although plain HTTP works, something in between must block them. */
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
  /** @type {any} */
  let loginError;
  if (loginCode) await login({ code: loginCode }).catch((error) => (loginError = error));
  settings.begin();
  const parser = loadMarkdown(new URL('../markdown.wasm', import.meta.url));
  await useLook();
  // Without the parser messages are shown as plain text.
  await parser.then((markdown) => useParser(markdown.parse)).catch((error) => console.warn(error));
  // Another tab can log in, as somebody else too, and log out. The person that this page belongs to is not there any more then.
  addEventListener('storage', (event) => {
    if (!settings.isOurs()) startOver();
    else if (settings.concerns(event, 'theme')) settings.applyTheme(settings.get('theme'));
  });
  if (!settings.ownerId()) {
    await new Promise((resolve) => showLogin(() => resolve(undefined), loginError));
    settings.begin();
    await useLook();
  }
  const owner = settings.ownerId();
  run(owner, await openShelf(owner, settings.hasLeft), loginError);
}

/** Applies the language and the theme of the page's person. */
async function useLook() {
  const language = /** @type {i18n.Language} */ (settings.get('language')) || i18n.choose(navigator.languages);
  settings.applyTheme(settings.get('theme'));
  if (document.documentElement.lang === language && i18n.loaded()) return;
  document.documentElement.lang = language;
  await i18n.load(language);
}

/** @param {() => void} onlogin @param {any} [error] why an attempt before this one failed */
function showLogin(onlogin, error) {
  document.title = 'Sluicegate';
  clearToasts();
  root.replaceChildren(loginView({ onlogin, error }));
  root.querySelector('input')?.focus();
}

/** @param {string} owner @param {import('./net/outbox.js').Shelf} shelf @param {any} loginError */
function run(owner, shelf, loginError) {
  document.body.append(...regions(), toastPlace());
  const client = new Client({ build, owner, shelf, visible: () => document.visibilityState === 'visible', hello, open: transport });
  code.configure(
    async (lang, text) => (await client.request('code.highlight', { lang, text })).ranges,
    () => client.limits.highlight_bytes ?? 0,
  );
  client.on('stranger', (user) => {
    settings.loggedIn(user);
    startOver();
  });
  // If this person was here before, the page is shown at once, with drafts and unsent messages, even without a server.
  const app = new AppView(client);
  show(app);
  client.on('connection', (state) => {
    if (state === 'waiting') checkBlocked(client);
    if (state === 'login') {
      const again = () => {
        if (!settings.isOurs()) return startOver();
        show(app);
        return client.connection.connect();
      };
      showLogin(again, loginError);
    } else if (state === 'online') {
      loginError = undefined;
      if (!app.node.isConnected) show(app);
    }
  });
  document.addEventListener('visibilitychange', () => client.visibility());
  addEventListener('online', () => client.connection.probe());
  addEventListener('pageshow', (event) => {
    // A page that the browser had put aside has heard of nothing.
    if (event.persisted && !settings.isOurs()) startOver();
    else if (event.persisted) client.connection.probe();
  });
  client.start();
}

/** @param {AppView} app */
function show(app) {
  root.replaceChildren(app.node);
  app.shown();
}

/** Uses HTTP for the frames until the page is reloaded. @type {typeof import('./net/sse.js').SseSocket | undefined} */
let Fallback;

/** Checks whether something on the way blocks WebSockets. @param {Client} client */
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
  const bind = settings.bind();
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
