/** Nothing is lost: refresh, cut sockets, several tabs, a reader that does not read, a model server that is away. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { SessionModel } from '../../host/chat/ui/js/net/session.js';
import { held } from './lib/fake.mjs';
import {
  URL_OF_GATEWAY,
  answer,
  answerText,
  another,
  controlSockets,
  cut,
  done,
  eventually,
  fake,
  field,
  mend,
  online,
  open,
  prompt,
  send,
} from './lib/page.mjs';

/** Text in which every word is different, so that a loss or a repetition shows. */
const words = (count) => Array.from({ length: count }, (_, i) => `w${i}`).join(' ');
const squeeze = (text) => text.replace(/\s+/g, ' ').trim();

test('a refresh at ten random points loses nothing', async (t) => {
  const page = await open(t);
  const ask = prompt('refresh');
  const text = words(600);
  fake.on(ask, { text, ms: 10, size: 6 });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  const [seen] = fake.requests(ask);
  for (let i = 0; i < 10; i++) {
    const chunk = seen.chunks + Math.random() * 25;
    await eventually(() => seen.chunks >= chunk || seen.ended !== undefined, 'a few more words');
    await page.reload();
    await page.getByText(ask).first().waitFor();
  }
  await done(page);
  assert.equal(squeeze(await answerText(page)), text);
  assert.equal(fake.requests(ask).length, 1);
});

test('a socket that is cut a hundred times in one answer gives the same text', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const ask = prompt('cut');
  const text = words(1_500);
  fake.on(ask, { text, ms: 15, size: 8 });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  let cuts = 0;
  while (cuts < 100) {
    const cut = await page.evaluate(() => {
      const socket = /** @type {any} */ (window).__socket;
      // The schedule of retries would make this an hour: the network says that it is back.
      if (socket?.readyState !== 1) dispatchEvent(new Event('online'));
      else socket.close();
      return socket?.readyState === 2;
    });
    if (cut) cuts++;
    // Time itself: a network fails when it likes.
    await page.waitForTimeout(10 + Math.random() * 90);
  }
  const live = await page.locator('.message.live').count();
  t.diagnostic(`the answer was ${live ? 'still being written' : 'over'} after the last cut`);
  await done(page, 60_000);
  await eventually(async () => squeeze(await answerText(page)) === text, 'the whole text');
  assert.equal(await page.locator('.message').count(), 2);
});

test('three tabs show the same, whichever one writes', async (t) => {
  const first = await open(t);
  const ask = prompt('tabs');
  fake.on(ask, { text: words(200), ms: 10, size: 8 });
  await send(first, ask);
  await answer(first).waitFor();
  const { hash } = new URL(first.url());
  const tabs = [first, await another(t, first.context(), hash), await another(t, first.context(), hash)];
  for (const tab of tabs) await done(tab);
  const follow = prompt('tabs again');
  fake.on(follow, { text: 'Seen by all.', ms: 1 });
  await send(tabs[2], follow);
  for (const tab of tabs) {
    await tab.getByText(follow).first().waitFor();
    await eventually(async () => (await answerText(tab)).includes('Seen by all.'), 'the answer in every tab');
    assert.equal(await tab.locator('.message').count(), 4);
  }
});

/** A client without a browser, which can stop reading. Keeps the session in the page's own model. */
class Reader {
  /** @param {import('playwright-core').Page} page whose login it shares */
  static async of(page, session) {
    const reader = new Reader();
    reader.bind = await page.evaluate(() => localStorage.getItem('sluice.bind'));
    reader.cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    reader.model = new SessionModel(session);
    await reader.connect();
    return reader;
  }

  async connect() {
    const socket = new WebSocket(`${URL_OF_GATEWAY.replace('http', 'ws')}/ws`, 'sluice.v1', {
      origin: URL_OF_GATEWAY,
      headers: { cookie: this.cookie },
    });
    this.socket = socket;
    this.closed = 0;
    this.waiting = new Map();
    socket.on('close', (code) => (this.closed = code));
    socket.on('message', (data) => this.frame(JSON.parse(String(data))));
    await new Promise((resolve, reject) => (socket.once('open', resolve), socket.once('error', reject)));
    await this.request('hello', {
      min: 1,
      max: 1,
      bind: this.bind,
      tab: 't_slow',
      visible: true,
      client: { name: 'test', version: '0', build: '' },
    });
    await this.request('sub', this.model.position());
  }

  frame(frame) {
    if (frame.type === 'res') {
      // As in the page: what follows the answer belongs to the state that it describes.
      if (frame.payload?.mode) this.model.subscribed(frame.payload);
      this.waiting.get(frame.id)?.(frame);
    } else if (frame.type === 'event' && frame.session === this.model.id) {
      assert.notEqual(this.model.event(frame), 'gap');
    } else if (frame.type === 'delta' && this.model.runs.has(frame.run)) {
      assert.notEqual(this.model.delta(frame), 'gap');
    }
  }

  request(method, params) {
    const id = `${method}-${Math.random()}`;
    const answered = new Promise((resolve) => this.waiting.set(id, resolve));
    this.socket.send(JSON.stringify({ type: 'req', id, method, params }));
    return answered;
  }
}

test('a reader that stops reading holds nobody up, and catches up without a gap', async (t) => {
  const page = await open(t);
  const ask = prompt('slow reader');
  const text = words(200_000);
  const { promise: hold, release } = held();
  fake.on(ask, { text, ms: 4, size: 3_000, hold });
  await send(page, ask);
  await answer(page).waitFor();
  const reader = await Reader.of(page, new URL(page.url()).hash.slice(1));
  reader.socket._socket.pause();
  release();
  await done(page, 60_000);
  assert.ok(
    (
      await answer(page)
        .locator(':scope > .md')
        .evaluate((node) => node.textContent ?? '')
    ).endsWith('w199999'),
    'the page has it all',
  );
  const stopped = reader.model.leaf?.text?.length ?? 0;
  assert.ok(stopped < text.length);
  t.diagnostic(`the reader stood still at ${stopped} of ${text.length} characters`);
  reader.socket._socket.resume();
  await eventually(
    () => reader.model.leaf?.status === 'done' || reader.closed > 0,
    'the reader gets the rest, or is told to resume',
  );
  if (reader.closed) {
    t.diagnostic(`the reader was closed with ${reader.closed} and resumes`);
    await reader.connect();
    await eventually(() => reader.model.leaf?.status === 'done', 'the end, after resuming');
  }
  assert.equal(reader.model.leaf?.text, text);
  reader.socket.close();
});

test('with the model server away the page says so, keeps the text, and comes back by itself', async (t) => {
  const page = await open(t);
  await fake.stop();
  try {
    await page.locator('.notice .chain .bad').waitFor();
    await field(page).fill('still possible to write');
    const ask = prompt('away');
    await send(page, ask);
    await answer(page).locator('.error-note').waitFor();
  } finally {
    await fake.start(Number(process.env.SLUICE_FAKE_PORT));
  }
  await page.locator('.notice').waitFor({ state: 'hidden' });
  await answer(page).getByRole('button', { name: 'Write a new answer' }).click();
  await eventually(async () => (await answerText(page)).includes('A plain answer.'), 'an answer again');
});

test('what is written while the gateway cannot be reached goes out once it can, over a reload too', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const ask = prompt('offline');
  await page.evaluate(() => {
    sessionStorage.setItem('blocked', '1');
    /** @type {any} */ (window).__socket.close();
  });
  await page.getByRole('button', { name: 'Retry now' }).first().waitFor({ state: 'attached' });
  await send(page, ask);
  await page.getByText('Will be sent when the connection is back').waitFor();
  await page.reload();
  await page.locator('.pending', { hasText: ask }).waitFor();
  assert.equal(fake.requests(ask).length, 0);
  await page.evaluate(() => sessionStorage.removeItem('blocked'));
  await page.getByText(ask).first().waitFor();
  await eventually(() => fake.requests(ask).length === 1, 'it was sent');
  await page.locator('.session', { hasText: ask }).waitFor();
  await eventually(async () => (await page.locator('.pending').count()) === 0, 'nothing is waiting');
  assert.equal(fake.requests(ask).length, 1);
});

test('what is typed while the first message of a new chat waits stays in the field', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const ask = prompt('waits');
  await page.evaluate(() => {
    sessionStorage.setItem('blocked', '1');
    /** @type {any} */ (window).__socket.close();
  });
  await page.getByRole('button', { name: 'Retry now' }).first().waitFor({ state: 'attached' });
  await send(page, ask);
  await page.getByText('Will be sent when the connection is back').waitFor();
  await field(page).fill('the next one');
  await page.evaluate(() => sessionStorage.removeItem('blocked'));
  await done(page);
  assert.match(new URL(page.url()).hash, /^#ses_/, 'the chat is a session now');
  assert.equal(await field(page).inputValue(), 'the next one');
  await page.getByRole('button', { name: 'New chat' }).click();
  assert.equal(await field(page).inputValue(), '', 'it went with its chat');
});

test('an answer that nobody hands on any more says so, and goes on when the connection is back', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const ask = prompt('stands still');
  const { promise: hold, release } = held();
  t.after(release);
  fake.on(ask, { text: 'one two three four five six', hold });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  const lost = answer(page).getByText('No connection to the gateway.');
  assert.ok(await lost.isHidden());
  await cut(page);
  await lost.waitFor();
  release();
  await mend(page);
  await done(page);
  assert.ok(await lost.isHidden());
  assert.equal(await answerText(page), 'one two three four five six');
});

test('where WebSocket is blocked the page works over plain HTTP', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  await page.evaluate(() => sessionStorage.setItem('blocked', '1'));
  await page.reload();
  await page.locator('.pill.ok').first().waitFor({ state: 'attached' });
  const ask = prompt('over http');
  const text = words(100);
  fake.on(ask, { text, ms: 5, size: 8 });
  await send(page, ask);
  await done(page);
  assert.equal(squeeze(await answerText(page)), text);
});
