/** Writing: input methods, keys, touch. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, answerText, done, eventually, fake, field, open, prompt, send } from './lib/page.mjs';

const sent = (part) => fake.requests(part).length;

test('Enter that takes a candidate of a Chinese input method sends nothing', async (t) => {
  const page = await open(t);
  const cdp = await page.context().newCDPSession(page);
  const mark = prompt('输入法');
  await field(page).fill(mark);
  await field(page).focus();
  await cdp.send('Input.imeSetComposition', { text: 'nihao', selectionStart: 5, selectionEnd: 5 });
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Process', code: 'Enter', windowsVirtualKeyCode: 229 });
  await cdp.send('Input.dispatchKeyEvent', { type: 'keyUp', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  await cdp.send('Input.insertText', { text: '你好' });
  assert.equal(await field(page).inputValue(), `${mark}你好`);
  assert.equal(sent(mark), 0);
  // Time itself: longer than the gap after a composition in which an Enter still belongs to the input method.
  await page.waitForTimeout(60);
  await field(page).press('Enter');
  await done(page);
  assert.equal(fake.requests(mark)[0].prompt, `${mark}你好`);
  assert.equal(sent(mark), 1);
});

test('Enter during a composition sends nothing', async (t) => {
  const page = await open(t);
  const cdp = await page.context().newCDPSession(page);
  await field(page).focus();
  await cdp.send('Input.imeSetComposition', { text: 'ceshi', selectionStart: 5, selectionEnd: 5 });
  await page.keyboard.press('Enter');
  const mark = prompt('after the composition');
  await cdp.send('Input.insertText', { text: `测试${mark}` });
  await page.getByRole('button', { name: 'Send' }).click();
  await done(page);
  // Had the first Enter sent anything, that would have come before.
  assert.equal(await page.locator('.message.user').count(), 1);
  assert.deepEqual(
    // Without a real input method the browser writes this Enter as a line end.
    fake.requests(mark).map((request) => request.prompt.trim()),
    [`测试${mark}`],
  );
});

test('in the order of Safari, where the end of the word comes before its Enter, nothing is sent', async (t) => {
  const page = await open(t);
  const mark = prompt('safari');
  await field(page).fill(mark);
  await field(page).evaluate((node) => {
    node.dispatchEvent(new CompositionEvent('compositionstart'));
    node.dispatchEvent(new CompositionEvent('compositionend', { data: '你好' }));
    node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }));
    node.dispatchEvent(new CompositionEvent('compositionstart'));
    node.dispatchEvent(new CompositionEvent('compositionend', { data: '你好' }));
    node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 13, bubbles: true, cancelable: true }));
  });
  assert.equal(await field(page).inputValue(), mark);
  assert.equal(sent(mark), 0);
});

test('the field is not rewritten while a word is composed and an answer streams in', async (t) => {
  const page = await open(t);
  const cdp = await page.context().newCDPSession(page);
  const ask = prompt('compose while streaming');
  fake.on(ask, { text: 'word '.repeat(100), ms: 10, size: 5 });
  await send(page, ask);
  await answer(page).locator('.md p').waitFor();
  await field(page).focus();
  for (const text of ['n', 'ni', 'nih', 'niha', 'nihao']) {
    await cdp.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length });
    const shown = (await answerText(page)).length;
    await eventually(async () => (await answerText(page)).length > shown, 'more of the answer');
    assert.equal(await field(page).inputValue(), text);
  }
  await cdp.send('Input.insertText', { text: '你好' });
  assert.equal(await field(page).inputValue(), '你好');
});

test('a composition in the search box and in the rename box is left alone', async (t) => {
  const page = await open(t);
  const cdp = await page.context().newCDPSession(page);
  const ask = prompt('rename');
  await send(page, ask);
  await done(page);
  await page.locator('.bar').getByRole('button', { name: 'Actions for this chat' }).click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await cdp.send('Input.imeSetComposition', { text: 'biaoti', selectionStart: 6, selectionEnd: 6 });
  await page.keyboard.press('Enter');
  assert.equal(await page.getByRole('dialog').count(), 1, 'still open');
});

test('Enter breaks the line on a touch screen; the button sends', async (t) => {
  const page = await open(t, { width: 390, height: 800, touch: true });
  const ask = prompt('touch');
  await field(page).fill(ask);
  await field(page).press('Enter');
  await field(page).pressSequentially('more');
  assert.equal(await field(page).inputValue(), `${ask}\nmore`);
  await page.getByRole('button', { name: 'Send', exact: true }).tap();
  await done(page);
  assert.equal(fake.requests(ask)[0].prompt, `${ask}\nmore`);
});

test('a whole visit by keyboard alone', async (t) => {
  const page = await open(t);
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  const ask = prompt('keyboard');
  fake.on(ask, { text: 'Answer by key.', ms: 1 });
  assert.equal(await field(page).evaluate((node) => node === document.activeElement), true, 'the field has the focus');
  await page.keyboard.type(ask);
  await press('Enter');
  await done(page);
  // To the transcript and through its messages.
  await press('Shift+F6');
  assert.equal(await page.evaluate(() => document.activeElement?.className.includes('transcript')), true);
  await press('k');
  await press('k');
  assert.equal(await page.evaluate(() => document.activeElement?.classList.contains('user')), true);
  await press('j');
  assert.equal(await page.evaluate(() => document.activeElement?.classList.contains('assistant')), true);
  // Regenerate by its button.
  fake.on(ask, { text: 'Second answer by key.', ms: 1 });
  await press('Tab', 'Tab', 'Enter');
  await eventually(async () => (await answerText(page)).includes('Second answer by key.'), 'a new answer');
  // To the list, rename through its menu.
  await press('Control+k', 'ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'A');
  await press('Tab', 'Enter', 'Enter');
  const name = prompt('named by key');
  await page.keyboard.type(name);
  await press('Enter');
  await page.locator('.session', { hasText: name }).waitFor();
  // Back to the field by F6, a command from the list.
  await press('Escape');
  await eventually(() => field(page).evaluate((node) => node === document.activeElement), 'Escape leads to the field');
  await page.keyboard.type('/deb');
  assert.equal(
    await page
      .locator('.slash [aria-selected="true"]')
      .innerText()
      .then((text) => text.split(/\s/)[0]),
    '/debug',
  );
  await press('ArrowDown', 'ArrowUp', 'Enter');
  await page.getByRole('region', { name: 'State of the chain' }).waitFor();
  // A dialog gives the focus back.
  await page.keyboard.type('/settings');
  await press('Enter');
  await page.getByRole('dialog').waitFor();
  await press('Escape');
  await eventually(() => field(page).evaluate((node) => node === document.activeElement), 'the focus is back in the field');
});

test('new text never takes the focus', async (t) => {
  const page = await open(t);
  const ask = prompt('focus');
  fake.on(ask, { text: 'word '.repeat(60), ms: 10, size: 5 });
  await send(page, ask);
  await page.getByRole('searchbox').focus();
  await done(page);
  assert.equal(await page.evaluate(() => /** @type {any} */ (document.activeElement)?.type), 'search');
});

test('a message beyond the limit is not sent, and the page says how long it is', async (t) => {
  const page = await open(t);
  await field(page).fill('x'.repeat(100_001));
  await page.getByText('100,001 / 100,000').waitFor();
  await field(page).press('Control+Enter');
  assert.equal(await page.locator('.message').count(), 0);
});
