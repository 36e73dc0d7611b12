/** The conversation: ask, watch, stop, again, edit, tidy up. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { held } from './lib/fake.mjs';
import { URL_OF_GATEWAY, answer, answerText, another, done, eventually, fake, field, online, open, prompt, send } from './lib/page.mjs';

const SLOW = { text: 'word '.repeat(400), ms: 20, size: 5 };

test('an answer streams in, and ends with its figures and its request id', async (t) => {
  const page = await open(t);
  const ask = prompt('figures');
  fake.on(ask, { reasoning: 'Let me think about that.', text: 'It is **forty-two**.\n\n```rust\nfn main() {}\n```\n', ms: 30 });
  await send(page, ask);
  await answer(page).locator('.reasoning[open]').waitFor();
  await done(page);
  assert.equal(await answer(page).locator('strong').innerText(), 'forty-two');
  assert.equal(await answer(page).locator('.reasoning').getAttribute('open'), null, 'closed when the answer began');
  await answer(page).locator('.code .hl-keyword, .code [class^="hl-"]').first().waitFor();
  const id = await answer(page).locator('.figures .copy-text').innerText();
  assert.match(id, /^req_[a-z0-9]{16}$/);
  assert.equal(fake.requests(ask)[0].requestId, id, 'the same id reached the model server');
  await answer(page).locator('.figures .copy-text').click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id);
});

test('copying an answer gives its Markdown without the reasoning, copying code gives the code', async (t) => {
  const page = await open(t);
  const ask = prompt('copy');
  const text = 'See **this**:\n\n```js\nlet a = 1;\n```';
  fake.on(ask, { reasoning: 'secret thoughts', text, ms: 1 });
  await send(page, ask);
  await done(page);
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
  await answer(page).getByRole('button', { name: 'Copy', exact: true }).click();
  await eventually(async () => (await clipboard()) === text, 'the Markdown is on the clipboard');
  await answer(page).getByRole('button', { name: 'Copy code' }).click();
  await eventually(async () => (await clipboard()) === 'let a = 1;', 'the code is on the clipboard');
});

test('stop reaches the model server within a second, and continue goes on', async (t) => {
  const page = await open(t);
  const ask = prompt('stop');
  fake.on(ask, SLOW);
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  const pressed = Date.now();
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await eventually(() => Boolean(fake.requests(ask)[0].left), 'the model server sees that nobody listens');
  assert.ok(fake.requests(ask)[0].left - pressed < 1_000);
  await done(page);
  await answer(page).getByText('Stopped.').waitFor();
  const before = await answerText(page);
  fake.on(ask, { text: 'and the end.', ms: 1 });
  await answer(page).getByRole('button', { name: 'Continue' }).click();
  await eventually(async () => (await answerText(page)).includes('and the end.'), 'the answer goes on');
  assert.ok((await answerText(page)).startsWith(before.trim().slice(0, 40)));
});

test('stop works before the first token', async (t) => {
  const page = await open(t);
  const ask = prompt('early stop');
  fake.on(ask, { text: 'late', wait: 120_000 });
  await send(page, ask);
  await page.getByText('Waiting for the model').waitFor();
  await field(page).press('Escape');
  await done(page);
});

test('a new answer stands beside the old one, and both can be looked at', async (t) => {
  const page = await open(t);
  const ask = prompt('again');
  fake.on(ask, { text: 'First answer.', ms: 1 });
  await send(page, ask);
  await done(page);
  fake.on(ask, { text: 'Second answer.', ms: 1 });
  await answer(page).getByRole('button', { name: 'Write a new answer' }).click();
  await eventually(async () => (await answerText(page)).includes('Second answer.'), 'the second answer');
  await done(page);
  await answer(page).getByText('2/2').waitFor();
  await answer(page).getByRole('button', { name: 'Previous version' }).click();
  await eventually(async () => (await answerText(page)).includes('First answer.'), 'the first answer again');
});

test('editing a message makes a branch', async (t) => {
  const page = await open(t);
  const ask = prompt('edit');
  fake.on(ask, { text: 'Old.', ms: 1 });
  await send(page, ask);
  await done(page);
  fake.on(`${ask} changed`, { text: 'New.', ms: 1 });
  await field(page).press('ArrowUp');
  const editor = page.locator('.editor textarea');
  await editor.fill(`${ask} changed`);
  await editor.press('Control+Enter');
  await eventually(async () => (await answerText(page)).includes('New.'), 'the answer to the edited message');
  assert.equal(await page.locator('.message.user').count(), 1);
  await page.locator('.message.user').getByText('2/2').waitFor();
});

test('a message written during an answer waits its turn, and can be taken back', async (t) => {
  const page = await open(t);
  const ask = prompt('queue');
  const { promise: hold, release } = held();
  fake.on(ask, { text: 'word '.repeat(80), ms: 1, size: 5, hold });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await send(page, `${ask} second`);
  await send(page, `${ask} third`);
  await page.locator('.queue li').nth(1).waitFor();
  await page.locator('.queue li').nth(1).getByRole('button').click();
  await eventually(async () => (await page.locator('.queue li').count()) === 1, 'one is left');
  fake.on(`${ask} second`, { text: 'To the second.', ms: 1 });
  release();
  await eventually(async () => (await answerText(page)).includes('To the second.'), 'its answer');
  assert.equal(fake.requests(`${ask} third`).length, 0);
});

test('a session can be renamed, pinned, found in Chinese, deleted and brought back', async (t) => {
  const page = await open(t);
  const ask = prompt('用冒泡排序');
  fake.on(ask, { text: '先比较相邻的元素。', ms: 1 });
  await send(page, ask);
  await done(page);
  const name = prompt('排序笔记');
  await page.locator('.bar').getByRole('button', { name: 'Actions for this chat' }).click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill(name);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name }).waitFor();
  await page.getByRole('searchbox').fill('相邻');
  const hit = page.locator('.session', { hasText: name });
  await hit.locator('mark', { hasText: '相邻' }).waitFor();
  await page.getByRole('searchbox').press('Escape');
  await page.getByRole('button', { name: `Actions for ${name}` }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await eventually(async () => (await page.locator('.session', { hasText: name }).count()) === 0, 'it is gone');
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.locator('.session', { hasText: name }).waitFor();
});

test('a session is exported as Markdown', async (t) => {
  const page = await open(t);
  const ask = prompt('export');
  fake.on(ask, { text: 'The *answer*.', ms: 1 });
  await send(page, ask);
  await done(page);
  const download = page.waitForEvent('download');
  await send(page, '/export');
  const text = await readFile(await (await download).path(), 'utf8');
  assert.ok(text.includes(ask) && text.includes('The *answer*.'));
});

test('the system prompt and the model of a session reach the model server', async (t) => {
  const page = await open(t);
  await send(page, '/system');
  const shown = page.locator('.bar').getByRole('button', { name: 'System prompt' });
  assert.equal(await shown.count(), 0);
  await page.getByRole('dialog').getByRole('textbox').fill('Answer like a pirate.');
  await page.getByRole('button', { name: 'Save' }).click();
  await shown.waitFor();
  await page.getByRole('combobox', { name: 'Model' }).selectOption('qwen3:32b');
  const ask = prompt('pirate');
  await send(page, ask);
  await done(page);
  const [seen] = fake.requests(ask);
  assert.equal(seen.model, 'qwen3:32b');
  assert.deepEqual(seen.messages[0], { role: 'system', content: 'Answer like a pirate.' });
  assert.equal(await answer(page).locator('.model').innerText(), 'qwen3:32b');
  // As long as there is one it can be seen, and is one click away.
  await shown.click();
  assert.equal(await page.getByRole('dialog').getByRole('textbox').inputValue(), 'Answer like a pirate.');
  await page.getByRole('dialog').getByRole('textbox').fill('');
  await page.getByRole('button', { name: 'Save' }).click();
  await shown.waitFor({ state: 'hidden' });
});

test('/debug shows the chain in this tab only, and reaches neither model nor store', async (t) => {
  const page = await open(t);
  const ask = prompt('debug');
  await send(page, ask);
  await done(page);
  await send(page, '/debug');
  const card = page.getByRole('region', { name: 'State of the chain' });
  await card.getByRole('heading', { name: 'Web gateway' }).waitFor();
  await card.getByRole('heading', { name: 'Proxy' }).waitFor();
  const model = card.locator('.layer').filter({ has: page.getByRole('heading', { name: 'Model server' }) });
  const row = (name) => model.locator('dl > div').filter({ has: page.getByText(name, { exact: true }) }).locator('dd');
  assert.equal(await row('Version').innerText(), '0.12.0');
  assert.equal(await row('Models in memory').innerText(), 'qwen3:32b');
  assert.equal(fake.requests('/debug').length, 0);
  const id = await answer(page).locator('.figures .copy-text').innerText();
  await send(page, `/debug ${id}`);
  await page.getByRole('heading', { name: 'One request' }).waitFor();
  const second = await another(t, page.context(), new URL(page.url()).hash);
  await second.getByText(ask).first().waitFor();
  assert.equal(await second.locator('.card').count(), 0);
});

test('a failed answer says what broke, and a new one can be asked for', async (t) => {
  const page = await open(t);
  const ask = prompt('fail');
  fake.on(ask, { text: '', status: 500 });
  await send(page, ask);
  await answer(page).locator('.error-note .chain .bad').waitFor();
  fake.on(ask, { text: 'Better now.', ms: 1 });
  await answer(page).getByRole('button', { name: 'Write a new answer' }).click();
  await eventually(async () => (await answerText(page)).includes('Better now.'), 'the second attempt');
});

/** What a model server can answer in place of an answer, and what the reader is told. */
const CAUSES = [
  {
    about: 'memory',
    script: { status: 500, error: 'model requires more system memory (5.6 GiB) than is available (1.4 GiB)' },
    words: 'The model server answered with an error.',
    said: 'model requires more system memory (5.6 GiB) than is available (1.4 GiB)',
    retry: true,
  },
  {
    about: 'no model',
    script: { status: 404, error: "model 'demo' not found" },
    words: 'The model server does not have this model.',
    said: "model 'demo' not found",
  },
  {
    about: 'sign-in',
    script: { status: 401, error: 'unauthorized' },
    words: 'The model server wants a login.',
  },
  {
    about: 'redirect',
    script: { status: 308, headers: { location: 'http://127.0.0.1:1/elsewhere' } },
    words: 'or the proxy calls the wrong address',
  },
];

for (const { about, script, words, said, retry = false } of CAUSES) {
  test(`a failed answer tells its cause: ${about}`, async (t) => {
    const page = await open(t);
    const ask = prompt(about);
    fake.on(ask, { text: '', ...script });
    await send(page, ask);
    const note = answer(page).locator('.error-note');
    await note.getByText(words).waitFor();
    await note.locator('.chain .bad', { hasText: 'Model server' }).waitFor();
    assert.equal(await note.getByText('cannot be reached').count(), 0);
    if (said) {
      assert.ok(await note.getByText(said).isHidden());
      await note.getByText('Details').click();
      await note.getByText(said).waitFor();
    }
    const again = note.getByRole('button', { name: 'Try again' });
    assert.equal(await again.count(), retry ? 1 : 0);
    if (!retry) return;
    fake.on(ask, { text: 'Better now.', ms: 1 });
    await again.click();
    await eventually(async () => (await answerText(page)).includes('Better now.'), 'the second attempt');
  });
}

test('an answer that comes while another session is open marks its session unread', async (t) => {
  const page = await open(t);
  const ask = prompt('unread');
  const { promise: hold, release } = held();
  fake.on(ask, { text: 'word '.repeat(30), ms: 1, size: 5, hold });
  await send(page, ask);
  await answer(page).waitFor();
  await page.getByRole('button', { name: 'New chat' }).click();
  const link = page.locator('.session', { hasText: ask });
  await link.locator('.dot.running').waitFor({ state: 'attached' });
  release();
  await link.locator('.dot.unread').waitFor({ state: 'attached' });
  await link.getByRole('link').click();
  await done(page);
  await eventually(async () => (await link.locator('.dot.unread').count()) === 0, 'read now');
});

test('drafts are kept for each session, over a reload too', async (t) => {
  const page = await open(t);
  await send(page, prompt('draft'));
  await done(page);
  await field(page).fill('half a thought');
  await page.getByRole('button', { name: 'New chat' }).click();
  await field(page).fill('another one');
  await page.reload();
  await online(page);
  assert.equal(await field(page).inputValue(), 'another one');
  await page.goBack();
  await eventually(async () => (await field(page).inputValue()) === 'half a thought', 'the first draft');
});

test('a one-time link logs in once, a wrong token is refused in plain words', async (t) => {
  const first = await open(t);
  const bind = await first.evaluate(() => localStorage.getItem('sluice.bind'));
  const made = await first
    .context()
    .request.post(`${URL_OF_GATEWAY}/api/v1/login-codes`, { data: {}, headers: { 'x-sluice-bind': bind, origin: URL_OF_GATEWAY } });
  const { link } = await made.json();
  const hash = new URL(link).hash;
  const page = await open(t, { login: false });
  await page.goto('about:blank');
  await page.goto(`${URL_OF_GATEWAY}/${hash}`);
  await online(page);
  assert.equal(new URL(page.url()).hash, '', 'the code is out of the address bar');
});

test('the first page is light and asks for nothing twice', async (t) => {
  const page = await open(t, { login: false });
  await page.locator('.login').waitFor();
  const sizes = await page.evaluate(() =>
    performance
      .getEntriesByType('resource')
      .concat(performance.getEntriesByType('navigation'))
      .map((entry) => [entry.name, entry.encodedBodySize, entry.decodedBodySize]),
  );
  const transferred = sizes.reduce((sum, [, encoded]) => sum + encoded, 0);
  const unpacked = sizes.reduce((sum, [, , decoded]) => sum + decoded, 0);
  t.diagnostic(
    `first load: ${sizes.length} files, ${Math.round(transferred / 1024)} KiB transferred, ${Math.round(unpacked / 1024)} KiB unpacked`,
  );
  assert.ok(transferred < 400 * 1024, `${transferred} bytes`);
  assert.equal(new Set(sizes.map(([name]) => name)).size, sizes.length);
});

test('Escape closes a menu and nothing else: the answer goes on', async (t) => {
  const page = await open(t);
  const ask = prompt('escape');
  const { promise, release } = held();
  fake.on(ask, { text: 'one two three four five six', hold: promise });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await page.locator('.bar').getByRole('button', { name: 'Actions for this chat' }).click();
  await page.getByRole('menuitem', { name: 'Rename' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('menu').waitFor({ state: 'detached' });
  assert.ok(await page.locator('.bar .icon-button[aria-haspopup]').evaluate((node) => node === document.activeElement));
  release();
  await done(page);
  assert.equal(await answerText(page), 'one two three four five six');
});

test('the focus is in the field after Stop', async (t) => {
  const page = await open(t);
  const ask = prompt('focus after stop');
  const { promise, release } = held();
  t.after(release);
  fake.on(ask, { text: 'one two three four five six', hold: promise });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await done(page);
  assert.ok(await field(page).evaluate((node) => node === document.activeElement));
});

test('a message that waits behind a failed answer says why, and goes out after a new answer', async (t) => {
  const page = await open(t);
  const ask = prompt('held back');
  const waiting = prompt('waits');
  const { promise, release } = held();
  fake.on(ask, { text: 'one two three four', hold: promise, fail: true });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await send(page, waiting);
  await page.locator('.queue li').waitFor();
  assert.ok(await page.locator('.queue-held').isHidden(), 'an answer is being written: no explanation is needed');
  release();
  await answer(page).locator('.error-note').waitFor();
  await page.locator('.queue-held').waitFor();
  assert.equal(fake.requests(waiting).length, 0);
  fake.on(ask, { text: 'Better now.' });
  await answer(page).getByRole('button', { name: 'Write a new answer' }).click();
  await page.locator('.queue li').waitFor({ state: 'hidden' });
  await done(page);
  assert.equal(fake.requests(waiting).length, 1);
  assert.ok(await page.locator('.queue-held').isHidden());
});
