/** One browser, several people: what one has left is never shown to another, sent by another, or written back after a log out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OTHER_TOKEN, TOKEN, URL_OF_GATEWAY, another, controlSockets, cut, done, eventually, fake, field, online, open, prompt, send } from './lib/page.mjs';

/** Ends the login of the page's person at the gateway, as its age would. @param {import('playwright-core').Page} page */
async function expire(page) {
  const bind = await page.evaluate(() => localStorage.getItem('sluice.bind'));
  const ended = await page.context().request.post(`${URL_OF_GATEWAY}/api/v1/logout`, {
    data: {},
    headers: { 'x-sluice-bind': String(bind), origin: URL_OF_GATEWAY },
  });
  assert.equal(ended.status(), 204);
}

/** @param {import('playwright-core').Page} page @param {string} token */
async function logIn(page, token) {
  await page.locator('.login input').fill(token);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await online(page);
}

/** @param {import('playwright-core').Page} page */
async function logOut(page) {
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  await page.locator('.login').waitFor();
}

/** All that the browser keeps for the page, as text. @param {import('playwright-core').Page} page */
const kept = (page) =>
  page.evaluate(async () => {
    const database = await new Promise((resolve, reject) => {
      const opening = indexedDB.open('sluice');
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    const entries = await new Promise((resolve) => {
      const asked = database.transaction('outbox').objectStore('outbox').getAll();
      asked.onsuccess = () => resolve(asked.result);
    });
    database.close();
    return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, entries]);
  });

test('what A wrote offline is neither shown to B nor sent by B, and goes out once A is back', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const [ask, draft] = [prompt('written offline by A'), prompt('half a thought of A')];
  await cut(page);
  await send(page, ask);
  await page.getByText('Will be sent when the connection is back').waitFor();
  await field(page).fill(draft);
  await expire(page);
  await page.evaluate(() => sessionStorage.removeItem('blocked'));
  await page.locator('.login').waitFor();
  assert.equal(await page.title(), 'Sluicegate');
  await logIn(page, OTHER_TOKEN);
  const own = prompt('written by B');
  await send(page, own);
  await done(page);
  assert.equal(fake.requests(own).length, 1);
  assert.equal(fake.requests(ask).length, 0, 'not in the name of B');
  const seen = await page.locator('body').innerText();
  assert.ok(!seen.includes(ask) && !seen.includes(draft), seen);
  assert.equal(await field(page).inputValue(), '');
  await logOut(page);
  await logIn(page, TOKEN);
  await eventually(() => fake.requests(ask).length === 1, 'the message of A goes out');
  assert.equal(await field(page).inputValue(), draft);
  assert.ok(!(await page.locator('body').innerText()).includes(own));
});

test('the same person who logs in again goes on where they were', async (t) => {
  const page = await open(t);
  await send(page, prompt('before the login expires'));
  await done(page);
  await field(page).fill('still here');
  await expire(page);
  await page.locator('.login').waitFor();
  await page.locator('.login input').fill(TOKEN);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await online(page);
  assert.equal(await field(page).inputValue(), 'still here');
  assert.match(new URL(page.url()).hash, /^#ses_/);
});

test('a log out removes unsent text for good, in all tabs', async (t) => {
  const page = await open(t);
  await send(page, prompt('before the log out'));
  await done(page);
  const { hash } = new URL(page.url());
  const second = await another(t, page.context(), hash);
  await online(second);
  await controlSockets(page);
  const [draft, other, unsent] = [prompt('draft'), prompt('draft of another tab'), prompt('unsent')];
  await page.getByRole('button', { name: 'New chat' }).click();
  await cut(page);
  await send(page, unsent);
  await page.getByText('Will be sent when the connection is back').waitFor();
  await field(page).fill(draft);
  await field(second).fill(other);
  await eventually(async () => (await kept(page)).includes(draft) && (await kept(second)).includes(other), 'both drafts are stored');
  await logOut(page);
  await second.locator('.login').waitFor();
  assert.equal(new URL(second.url()).hash, '');
  for (const tab of [page, second]) {
    const all = await kept(tab);
    for (const text of [draft, other, unsent]) assert.ok(!all.includes(text), `${text} in ${all}`);
  }
  await page.evaluate(() => sessionStorage.removeItem('blocked'));
  await logIn(page, TOKEN);
  assert.equal(await field(page).inputValue(), '');
  assert.equal(await page.locator('.pending').count(), 0);
  await page.goto(`${URL_OF_GATEWAY}/${hash}`);
  await page.locator('.message.assistant').waitFor();
  assert.equal(await field(page).inputValue(), '');
  assert.equal(fake.requests(unsent).length, 0);
});

test('somebody else who logs in takes over the tabs of whoever was there before', async (t) => {
  const page = await open(t);
  const ask = prompt('a chat of A');
  await send(page, ask);
  await done(page);
  await field(page).fill('text of A');
  await eventually(async () => (await kept(page)).includes('text of A'), 'the draft is stored');
  const made = await fetch(`${URL_OF_GATEWAY}/api/v1/login-codes`, {
    method: 'POST',
    body: '{}',
    headers: { authorization: `Bearer ${OTHER_TOKEN}`, 'content-type': 'application/json' },
  });
  const { link } = await made.json();
  const second = await another(t, page.context(), new URL(link).hash);
  await online(second);
  await eventually(async () => !(await page.locator('body').innerText()).includes(ask), 'nothing of A is on screen');
  await online(page);
  assert.equal(await field(page).inputValue(), '');
  const own = prompt('a chat of B');
  await send(page, own);
  await done(page);
  await second.locator('.session', { hasText: own }).waitFor();
});
