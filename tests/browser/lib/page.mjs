/**
 * A browser, a page that is logged in, and what must hold for every page: no error in the console, no violation of the
 * content security policy, no request to anywhere else.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { FakeModel } from './fake.mjs';

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set; see tests/browser/README.md`);

/** The web gateway under test, without a slash at its end. */
export const URL_OF_GATEWAY = need('SLUICE_CHAT_URL').replace(/\/$/, '');
/** Logs in the person whom {@link open} logs in. */
export const TOKEN = need('SLUICE_CHAT_TOKEN');
/** Logs in another person than the one whom {@link open} logs in. */
export const OTHER_TOKEN = need('SLUICE_CHAT_OTHER_TOKEN');
const FAKE_PORT = Number(need('SLUICE_FAKE_PORT'));

/** How long anything may take that a test waits for, in ms: long enough for a machine with other work. */
const TIMEOUT = 30_000;

/** Characters of a page that are worth printing. */
const SHOWN = 2_000;

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--lang=en-US',
  // Sites of the tests' own.
  '--host-resolver-rules=MAP *.test 127.0.0.1',
];

export const fake = new FakeModel();
/** @type {import('playwright-core').BrowserContext[]} */
const contexts = [];
/** @type {import('playwright-core').Browser} */
let browser;
let profile = '';

before(async () => {
  await fake.start(FAKE_PORT);
  profile = await mkdtemp(join(tmpdir(), 'sluice-browser-'));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...ARGS, `--disk-cache-dir=${join(profile, 'cache')}`],
  });
  // The suite before took its model server away; the gateway has to find this one.
  await eventually(modelIsUp, 'the gateway finds its model server');
});

async function modelIsUp() {
  const answer = await fetch(`${URL_OF_GATEWAY}/readyz`);
  return (await answer.json()).health.model === 'up';
}

after(async () => {
  for (const context of contexts) await context.close();
  await browser?.close();
  await fake.stop();
  await rm(profile, { recursive: true, force: true });
});

/**
 * @typedef {object} Options
 * @property {number} [width]
 * @property {number} [height]
 * @property {'light' | 'dark'} [theme]
 * @property {'en' | 'zh-CN'} [language]
 * @property {boolean} [touch]
 * @property {boolean} [login] default true
 */

/**
 * A new browser profile with one page, logged in, connected.
 * @param {import('node:test').TestContext} t what the page must not do is checked at its end
 * @param {Options} [options]
 */
export async function open(t, { width = 1280, height = 800, theme = 'light', language = 'en', touch = false, login = true } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    locale: language,
    hasTouch: touch,
    isMobile: touch,
    reducedMotion: 'reduce',
    acceptDownloads: true,
  });
  contexts.push(context);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: URL_OF_GATEWAY });
  if (login) await logIn(context);
  const page = await another(t, context);
  if (login) await online(page);
  return page;
}

/** A page of another site, in a profile of its own. @param {import('node:test').TestContext} t @param {string} url */
export async function elsewhere(t, url) {
  const context = await browser.newContext();
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  t.after(() => page.close());
  await page.goto(url);
  return page;
}

/** One more tab of the same profile. @param {import('node:test').TestContext} t @param {import('playwright-core').BrowserContext} context @param {string} [hash] */
export async function another(t, context, hash = '') {
  const page = await context.newPage();
  watch(t, page);
  await page.goto(`${URL_OF_GATEWAY}/${hash}`);
  return page;
}

/** @param {import('playwright-core').BrowserContext} context */
async function logIn(context) {
  const answer = await context.request.post(`${URL_OF_GATEWAY}/api/v1/login`, {
    data: { token: TOKEN },
    headers: { origin: URL_OF_GATEWAY },
  });
  assert.equal(answer.status(), 200, await answer.text());
  const { user, bind } = await answer.json();
  await context.addInitScript(
    (login) => {
      // Once: what the page makes of it later, a log out too, is what is tested.
      if (localStorage.getItem('test.login')) return;
      localStorage.setItem('test.login', login.user);
      localStorage.setItem('sluice.user', login.user);
      localStorage.setItem('sluice.bind', login.bind);
    },
    { user: user.id, bind },
  );
}

/** Waits until the line is up. @param {import('playwright-core').Page} page */
export function online(page) {
  return page.locator('.pill.ok').first().waitFor({ state: 'attached' });
}

/** Collects what no page may do. @param {import('node:test').TestContext} t @param {import('playwright-core').Page} page */
function watch(t, page) {
  /** @type {string[]} */
  const wrong = [];
  page.setDefaultTimeout(TIMEOUT);
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack}`));
  page.on('dialog', (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on('console', (message) => {
    // The browser's own report of a connection that a test has cut.
    if (
      message.type() === 'error' &&
      !/WebSocket connection|ERR_CONNECTION|ERR_INTERNET|Failed to load resource: net::/.test(message.text())
    )
      wrong.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (/^(https?|wss?):$/.test(protocol) && host !== new URL(URL_OF_GATEWAY).host) wrong.push(`request to ${request.url()}`);
  });
  page.addInitScript(() => {
    /** @type {any} */ (window).__violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      /** @type {any} */ (window).__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  t.after(async () => {
    if (!page.isClosed()) {
      // What a person would look at first.
      if (t.passed === false) t.diagnostic(`the page shows: ${await shown(page)}`);
      for (const violation of await page.evaluate(() => /** @type {any} */ (window).__violations ?? []).catch(() => []))
        wrong.push(`policy: ${violation}`);
      await page.close();
    }
    assert.deepEqual(wrong, []);
  });
}

/** The text on screen, with what has no text: the dots of the list. @param {import('playwright-core').Page} page */
async function shown(page) {
  const text = await page.locator('body').innerText({ timeout: TIMEOUT }).catch(String);
  const dots = await page
    .locator('.session')
    .evaluateAll((nodes) => nodes.slice(0, 5).map((node) => `${node.textContent} (${node.children[1]?.className})`))
    .catch(String);
  return JSON.stringify({ text: text.slice(0, SHOWN), dots });
}

/**
 * Loads the page again with sockets that a test can reach: `__socket` is the latest one, and while `blocked` is set in
 * `sessionStorage` new ones fail as if something on the way did not let them through. While `refused` is set there, messages are
 * answered with that error, as a gateway would answer them.
 * @param {import('playwright-core').Page} page
 */
export async function controlSockets(page) {
  await page.addInitScript(() => {
    const Native = window.WebSocket;
    const { send } = Native.prototype;
    Native.prototype.send = function (data) {
      const { method, id } = JSON.parse(String(data));
      const error = method === 'chat.send' && sessionStorage.getItem('refused');
      if (!error) return send.call(this, data);
      const answer = JSON.stringify({ type: 'res', id, ok: false, error: JSON.parse(error) });
      setTimeout(() => this.dispatchEvent(new MessageEvent('message', { data: answer })), 1);
    };
    /** @type {any} */ (window).WebSocket = function (/** @type {[string, string]} */ ...args) {
      if (sessionStorage.getItem('blocked')) {
        const dead = { readyState: 3, send() {}, close() {}, onclose: /** @type {any} */ (null) };
        setTimeout(() => dead.onclose?.({ code: 1006 }), 5);
        return dead;
      }
      return /** @type {any} */ (window.__socket = new Native(...args));
    };
  });
  await page.reload();
  await online(page);
}

/**
 * Takes a page with controlled sockets off the line, and off plain HTTP, which it would try next.
 * @param {import('playwright-core').Page} page
 */
export async function cut(page) {
  await page.route('**/healthz', (route) => route.abort());
  await page.evaluate(() => {
    sessionStorage.setItem('blocked', '1');
    /** @type {any} */ (window).__socket.close();
  });
  await page.getByRole('button', { name: 'Retry now' }).first().waitFor({ state: 'attached' });
}

/** Lets it back on the line. @param {import('playwright-core').Page} page */
export async function mend(page) {
  await page.evaluate(() => {
    sessionStorage.removeItem('blocked');
    dispatchEvent(new Event('online'));
  });
  await online(page);
}

/** Writes a message and sends it. @param {import('playwright-core').Page} page @param {string} text */
export async function send(page, text) {
  await field(page).fill(text);
  await field(page).press('Control+Enter');
}

/** @param {import('playwright-core').Page} page */
export const field = (page) => page.locator('.composer textarea');

/** The last answer. @param {import('playwright-core').Page} page */
export const answer = (page) => page.locator('.message.assistant').last();

/** Waits until the last answer is complete. @param {import('playwright-core').Page} page @param {number} [timeout] */
export async function done(page, timeout = TIMEOUT) {
  await page.locator('.message.assistant.last:not(.live)').waitFor({ timeout });
  await page.locator('.composer .stop').waitFor({ state: 'hidden', timeout });
}

/** The shown text of the last answer, without its figures. @param {import('playwright-core').Page} page */
export const answerText = (page) => answer(page).locator(':scope > .md').innerText();

/**
 * Waits until `check` gives true.
 * @param {() => Promise<boolean> | boolean} check
 * @param {string} what
 * @param {number} [timeout]
 */
export async function eventually(check, what, timeout = TIMEOUT) {
  const until = Date.now() + timeout;
  for (;;) {
    if (await check()) return;
    if (Date.now() > until) assert.fail(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

let counter = 0;

/** A prompt that no other test uses. @param {string} about */
export const prompt = (about) => `${about} ${process.pid}-${++counter}`;
