/** What goes wrong for a person who tries the page: nothing of theirs is lost, and the page says what it does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { held } from './lib/fake.mjs';
import { URL_OF_GATEWAY, answer, answerText, another, controlSockets, cut, done, eventually, fake, field, mend, online, open, prompt, send } from './lib/page.mjs';

/** Starts an answer that stands still after its first words. @param {import('playwright-core').Page} page @param {string} ask */
async function halted(page, ask) {
  const { promise: hold, release } = held();
  fake.on(ask, { text: 'word '.repeat(20), ms: 1, size: 5, hold });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  return release;
}

test('a waiting message that is taken back is in the field again, behind what is there', async (t) => {
  const page = await open(t);
  const ask = prompt('take back');
  t.after(await halted(page, ask));
  await send(page, `${ask} waits`);
  await page.locator('.queue li').waitFor();
  await field(page).fill('already here');
  await page.locator('.queue').getByRole('button', { name: 'Take back' }).click();
  await page.locator('.queue li').waitFor({ state: 'detached' });
  await eventually(async () => (await field(page).inputValue()) === `already here\n\n${ask} waits`, 'both texts are there');
});

test('a refused message that is edited leaves the draft that is there', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const error = { code: 'TOO_LARGE', layer: 'gateway', message: 'too long', retryable: false };
  await page.evaluate((error) => sessionStorage.setItem('refused', JSON.stringify(error)), error);
  const ask = prompt('refused');
  await send(page, ask);
  const refused = page.locator('.pending.failed');
  await refused.getByText('This is too long.').waitFor();
  await field(page).fill('a draft');
  await refused.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await field(page).inputValue(), `a draft\n\n${ask}`);
  assert.equal(await page.locator('.pending').count(), 0);
});

test('another tab that is loaded again leaves the draft of this one', async (t) => {
  const page = await open(t);
  await send(page, prompt('two tabs'));
  await done(page);
  const second = await another(t, page.context(), new URL(page.url()).hash);
  await done(second);
  await field(page).fill('written here');
  const stored = () => page.evaluate(() => JSON.stringify({ ...localStorage }));
  await eventually(async () => (await stored()).includes('written here'), 'it is stored');
  await second.reload();
  await done(second);
  assert.ok((await stored()).includes('written here'));
  await page.reload();
  await done(page);
  assert.equal(await field(page).inputValue(), 'written here');
});

test('what a search finds on another branch is shown', async (t) => {
  const page = await open(t);
  const ask = prompt('branches');
  const needle = `needle${process.pid}`;
  fake.on(ask, { text: `The first answer has a ${needle} in it.`, ms: 1 });
  await send(page, ask);
  await done(page);
  fake.on(ask, { text: 'The second answer.', ms: 1 });
  await answer(page).getByRole('button', { name: 'Write a new answer' }).click();
  await eventually(async () => (await answerText(page)).includes('The second answer.'), 'the second answer');
  await done(page);
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByRole('searchbox').fill(needle);
  await page.locator('.session mark', { hasText: needle }).waitFor();
  await page.locator('.session a').first().click();
  await page.locator('.message.assistant .md', { hasText: needle }).waitFor();
});

test('a search ends with a new chat: what is written there is in the list', async (t) => {
  const page = await open(t);
  await send(page, prompt('found'));
  await done(page);
  await page.getByRole('searchbox').fill('found');
  await page.locator('.session mark').first().waitFor();
  await page.getByRole('button', { name: 'New chat' }).click();
  assert.equal(await page.getByRole('searchbox').inputValue(), '');
  const ask = prompt('another');
  await send(page, ask);
  await page.locator('.session', { hasText: ask }).waitFor();
  // Searched for in the middle of a new chat, too.
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByRole('searchbox').fill('found');
  await page.locator('.session mark').first().waitFor();
  const third = prompt('a third');
  await send(page, third);
  await page.locator('.session', { hasText: third }).waitFor();
});

test('on a wide touch screen the menu of every session can be seen', async (t) => {
  const page = await open(t, { width: 1024, height: 768, touch: true });
  for (const ask of [prompt('one'), prompt('two')]) {
    await page.getByRole('button', { name: 'New chat' }).tap();
    await field(page).fill(ask);
    await page.getByRole('button', { name: 'Send', exact: true }).tap();
    await done(page);
  }
  const opacity = await page.locator('.session > .icon-button').evaluateAll((nodes) => nodes.map((node) => getComputedStyle(node).opacity));
  assert.ok(opacity.length >= 2);
  assert.deepEqual([...new Set(opacity)], ['1']);
});

test('a stop holds what waits, and says so', async (t) => {
  const page = await open(t);
  const ask = prompt('stop holds');
  t.after(await halted(page, ask));
  const waiting = prompt('held');
  await send(page, waiting);
  await page.locator('.queue li').waitFor();
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await answer(page).getByText('Stopped.').waitFor();
  await page.getByText('Held back, because the answer was stopped.').waitFor();
  assert.equal(fake.requests(waiting).length, 0);
  fake.on(ask, { text: 'and more.', ms: 1 });
  await answer(page).getByRole('button', { name: 'Continue' }).click();
  await eventually(() => fake.requests(waiting).length === 1, 'it goes out after the next answer');
});

test('an answer that was cut can be continued where another message follows', async (t) => {
  const page = await open(t);
  const ask = prompt('cut and followed');
  t.after(await halted(page, ask));
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await answer(page).getByText('Stopped.').waitFor();
  const follow = prompt('follows');
  await send(page, follow);
  await page.locator('.message.user', { hasText: follow }).waitFor();
  await done(page);
  fake.on(ask, { text: 'the other half.', ms: 1 });
  const first = page.locator('.message.assistant').first();
  await first.hover();
  await first.getByRole('button', { name: 'Continue' }).click();
  await eventually(async () => (await answerText(page)).includes('the other half.'), 'it goes on');
  await done(page);
  assert.equal(await page.locator('.message').count(), 2);
  assert.match(await answerText(page), /^word word .*the other half\.$/);
  await answer(page).getByText('2/2').waitFor();
  await answer(page).getByRole('button', { name: 'Previous version' }).click();
  await page.locator('.message.user', { hasText: follow }).waitFor();
});

test('without any model the picker says so', async (t) => {
  const page = await open(t);
  fake.models = [];
  try {
    // The gateway asks for the list when it is opened after a while; a card asks for it at once.
    await eventually(async () => {
      await send(page, '/debug');
      return (await page.locator('.bar select').evaluate((node) => node.selectedOptions[0]?.textContent)) === 'No model';
    }, 'the picker has words');
    assert.ok(await page.locator('.bar select').isDisabled());
  } finally {
    fake.models = ['demo', 'qwen3:32b'];
    await eventually(async () => {
      await send(page, '/debug');
      return (await page.locator('.bar select').inputValue()) === 'demo';
    }, 'the models are back');
  }
});

test('one failed request is told in words, in Chinese too', async (t) => {
  const page = await open(t, { language: 'zh-CN' });
  const ask = prompt('追踪');
  fake.on(ask, { text: '', status: 500, error: 'model requires more system memory' });
  await send(page, ask);
  const id = await answer(page).locator('.figures .copy-text').innerText();
  await send(page, `/debug ${id}`);
  const card = page.locator('.card');
  await card.waitFor();
  const names = await card.locator('dt').allInnerTexts();
  assert.deepEqual(
    names.filter((name) => !/\p{Script=Han}/u.test(name)),
    [],
    'no raw keys',
  );
  const shown = await card.innerText();
  assert.doesNotMatch(shown, /\b1[6-9]\d{11}\b/, 'no milliseconds since 1970');
  assert.match(shown, /失败/);
  const lights = await card.locator('.light').evaluateAll((nodes) => nodes.map((node) => node.className));
  assert.deepEqual(lights, ['light bad', 'light bad'], 'red where it went wrong');
});

test('the slash of a Chinese input method opens the commands', async (t) => {
  const page = await open(t);
  for (const [typed, command] of [
    ['／deb', '/debug'],
    ['、se', '/settings'],
  ]) {
    await field(page).fill(typed);
    await page.locator('.slash [aria-selected="true"]', { hasText: command }).waitFor();
  }
  await field(page).press('Enter');
  await page.getByRole('dialog', { name: 'Settings' }).waitFor();
  await page.keyboard.press('Escape');
  await field(page).fill('／debug json');
  await field(page).press('Control+Enter');
  await page.locator('.card .raw').waitFor();
  assert.equal(fake.requests('debug json').length, 0);
});

test('a link to a session that is not there says so', async (t) => {
  const page = await open(t);
  const gone = page.getByText('This chat does not exist, or no longer exists.').last();
  for (const hash of ['#ses_01ZZZZZZZZZZZZZZZZZZZZZZZZ', '#nonsense']) {
    const second = await another(t, page.context(), hash);
    await second.getByText('This chat does not exist, or no longer exists.').last().waitFor();
    await eventually(() => new URL(second.url()).hash === '', 'a new chat');
  }
  const ask = prompt('deleted elsewhere');
  await send(page, ask);
  await done(page);
  const second = await another(t, page.context(), new URL(page.url()).hash);
  await done(second);
  await second.getByRole('button', { name: `Actions for ${ask}` }).click();
  await second.getByRole('menuitem', { name: 'Delete' }).click();
  await gone.waitFor();
  await second.locator('.toast', { hasText: 'Deleted' }).waitFor();
  assert.equal(await second.getByText('This chat does not exist').count(), 0, 'whoever deletes it knows');
});

test('where nothing scrolls there is no way to the end', async (t) => {
  const page = await open(t);
  const ask = prompt('long');
  fake.on(ask, { text: Array.from({ length: 60 }, (_, i) => `Line ${i}`).join('\n\n'), ms: 0, size: 2_000 });
  await send(page, ask);
  await done(page);
  await page.locator('.transcript').hover();
  await page.mouse.wheel(0, -2_000);
  const jump = page.locator('.jump');
  await jump.waitFor();
  await page.setViewportSize({ width: 1280, height: 6_000 });
  await jump.waitFor({ state: 'hidden' });
});

test('a selection in the paragraph that is being written stays', async (t) => {
  const page = await open(t);
  const ask = prompt('selection');
  const { promise: hold, release } = held();
  t.after(release);
  fake.on(ask, { text: 'Take this word and then some **bold** and *more* to come, and a `little` code.', ms: 2, size: 5, hold });
  await send(page, ask);
  await answer(page).getByText('Take this word').waitFor();
  await answer(page)
    .locator('.md p')
    .evaluate((node) => {
      const text = /** @type {Text} */ (node.firstChild);
      getSelection()?.setBaseAndExtent(text, 5, text, 9);
    });
  const selected = () => page.evaluate(() => String(getSelection()));
  assert.equal(await selected(), 'this');
  release();
  await done(page);
  assert.equal(await answer(page).locator('.md code').innerText(), 'little');
  assert.equal(await selected(), 'this');
});

test('Enter sends where the browser knows of no pointer', async (t) => {
  const page = await open(t);
  await page.addInitScript(() => {
    const native = window.matchMedia.bind(window);
    window.matchMedia = (query) => native(query.replace(/\((any-)?(hover|pointer): \w+\)/g, '(max-width: 0px)'));
  });
  await page.reload();
  await online(page);
  const ask = prompt('no pointer');
  await field(page).fill(ask);
  await field(page).press('Enter');
  await done(page);
  assert.equal(fake.requests(ask).length, 1);
});

test('/debug waits for no limit, and is not kept for later', async (t) => {
  const page = await open(t);
  await controlSockets(page);
  const error = { code: 'RATE_LIMITED', layer: 'gateway', message: 'too many', retryable: true, retry_after_ms: 60_000 };
  await page.evaluate((error) => sessionStorage.setItem('refused', JSON.stringify(error)), error);
  await send(page, prompt('limited'));
  await page.locator('.pending', { hasText: 'Sending again in' }).waitFor();
  await send(page, '/debug');
  await page.locator('.card').waitFor();
  assert.equal(await page.locator('.pending').count(), 1);
  await cut(page);
  await send(page, '/debug');
  await page.locator('.toast', { hasText: 'No connection to the gateway.' }).waitFor();
  assert.equal(await field(page).inputValue(), '/debug', 'to be asked for again');
  await mend(page);
  await field(page).press('Control+Enter');
  await page.locator('.card').nth(1).waitFor();
});

test('a login link that is opened in a tab with the page logs in there', async (t) => {
  const page = await open(t);
  const bind = await page.evaluate(() => localStorage.getItem('sluice.bind'));
  const made = await page.context().request.post(`${URL_OF_GATEWAY}/api/v1/login-codes`, {
    data: {},
    headers: { 'x-sluice-bind': String(bind), origin: URL_OF_GATEWAY },
  });
  const { link } = await made.json();
  const again = page.waitForEvent('load');
  await page.evaluate((hash) => (location.hash = hash), new URL(link).hash);
  await again;
  await online(page);
  assert.notEqual(await page.evaluate(() => localStorage.getItem('sluice.bind')), bind, 'a new login');
  assert.equal(new URL(page.url()).hash, '');
});
