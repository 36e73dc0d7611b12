/** Long sessions open quickly, and typing stays light while text streams in. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { URL_OF_GATEWAY, answer, done, eventually, fake, field, open, prompt, send } from './lib/page.mjs';

const MESSAGES = 2_000;

/** Imports a session of that many messages, in the gateway's own export format. */
async function importLong(page, title) {
  const bind = await page.evaluate(() => localStorage.getItem('sluice.bind'));
  const request = page.context().request;
  const headers = { 'x-sluice-bind': bind, origin: URL_OF_GATEWAY };
  const ask = prompt('shape of an export');
  await send(page, ask);
  await done(page);
  const id = new URL(page.url()).hash.slice(1);
  const sample = await (await request.get(`${URL_OF_GATEWAY}/api/v1/sessions/${id}/export?format=json`, { headers })).json();
  const session = sample.sessions?.[0] ?? sample;
  const [user, reply] = session.messages;
  const messages = [];
  const stamp = Date.now().toString(36);
  for (let i = 0; i < MESSAGES; i++) {
    const like = i % 2 ? reply : user;
    const text = i % 2 ? `Answer **${i}** with \`code\`.\n\n- one\n- two\n\n\`\`\`js\nlet x = ${i};\n\`\`\`\n` : `Question ${i}`;
    const message = {
      ...like,
      id: `msg_${stamp}${i}`,
      parent: i ? `msg_${stamp}${i - 1}` : undefined,
      text,
      created_at: like.created_at + i,
    };
    delete message.cid;
    delete message.run;
    messages.push(message);
  }
  const long = { ...session, id: `ses_${stamp}`, title, leaf: messages.at(-1).id, messages };
  if (long.session) long.session = { ...long.session, id: long.id, title, leaf: long.leaf };
  const body = sample.sessions ? { ...sample, sessions: [long] } : long;
  const answer = await request.post(`${URL_OF_GATEWAY}/api/v1/import`, { data: body, headers });
  assert.ok(answer.ok(), await answer.text());
}

test(`a session of ${MESSAGES} messages opens within a second, and typing in it stays below 50 ms`, async (t) => {
  const page = await open(t);
  const title = prompt('long session');
  await importLong(page, title);
  await page.reload();
  const link = page.locator('.session', { hasText: title }).getByRole('link');
  await link.waitFor();
  const opened = await page.evaluate(async (name) => {
    const anchor = [...document.querySelectorAll('.session a')].find((node) => node.textContent?.includes(name));
    const began = performance.now();
    /** @type {HTMLElement} */ (anchor).click();
    while (document.querySelectorAll('.message').length < 50) await new Promise((resolve) => requestAnimationFrame(resolve));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - began;
  }, title);
  t.diagnostic(`opened in ${Math.round(opened)} ms`);
  assert.ok(opened < 1_000, `${opened} ms`);

  // Many pages further up, so that the document is as full as it gets.
  for (let i = 0; i < 9; i++) {
    const before = await page.locator('.message').count();
    await page.getByRole('button', { name: 'Show earlier messages' }).evaluate((node) => /** @type {HTMLElement} */ (node).click());
    await eventually(async () => (await page.locator('.message').count()) > before, 'an earlier page');
  }
  const parked = () => page.locator('.message').evaluateAll((nodes) => nodes.filter((node) => !node.firstChild).length);
  await eventually(async () => (await parked()) > 100, 'messages far from the screen are emptied');
  await page.locator('.transcript').evaluate((node) => (node.scrollTop = node.scrollHeight / 2));
  await eventually(
    () =>
      page.evaluate(() => {
        const box = document.querySelector('.transcript')?.getBoundingClientRect() ?? new DOMRect();
        const middle = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        return Boolean(
          middle?.closest('.message')?.textContent?.includes('Answer') || middle?.closest('.message')?.textContent?.includes('Question'),
        );
      }),
    'what comes to the screen is filled again',
  );
  await page.locator('.jump').click();
  const ask = prompt('stream while typing');
  fake.on(ask, { text: 'words '.repeat(2_000), ms: 10, size: 6 });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await page.evaluate(() => {
    const times = /** @type {any} */ (window.__times = /** @type {number[]} */ ([]));
    document.querySelector('.composer textarea')?.addEventListener('keydown', (event) => {
      const began = event.timeStamp;
      requestAnimationFrame(() => setTimeout(() => times.push(performance.now() - began)));
    });
  });
  await field(page).focus();
  await page.keyboard.type('the quick brown fox jumps over the lazy dog, twice over', { delay: 40 });
  const times = (await page.evaluate(() => /** @type {any} */ (window).__times)).sort(
    (/** @type {number} */ a, /** @type {number} */ b) => a - b,
  );
  const p95 = times[Math.floor(times.length * 0.95)];
  t.diagnostic(
    `key to paint: median ${Math.round(times[times.length >> 1])} ms, p95 ${Math.round(p95)} ms, ${await page.locator('.message').count()} messages in the document`,
  );
  assert.ok(p95 < 50, `p95 ${p95} ms`);
  const heap = await page.evaluate(() => /** @type {any} */ (performance).memory?.usedJSHeapSize ?? 0);
  t.diagnostic(`heap ${Math.round(heap / 1024 / 1024)} MiB`);
  assert.ok(heap < 60 * 1024 * 1024, `${heap} bytes`);
  await field(page).fill('');
  await field(page).press('Escape');
  await done(page);
});
