import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { BlockList } from '../../../host/chat/ui/js/text/blocks.js';
import { CompositionGuard, enterAction } from '../../../host/chat/ui/js/text/ime.js';
import { isInlineImage, link, split } from '../../../host/chat/ui/js/text/links.js';
import { Markdown, plain } from '../../../host/chat/ui/js/text/markdown.js';

/** A parser that knows only blank lines, and counts what it is given. */
function toy() {
  const seen = [];
  const parse = (bytes) => {
    const text = new TextDecoder().decode(bytes);
    seen.push(bytes.length);
    let at = 0;
    return text
      .split(/(?<=\n\n)/)
      .filter((part) => part.trim())
      .map((part) => {
        const start = text.indexOf(part, at);
        at = start + part.length;
        const bytesBefore = new TextEncoder().encode(text.slice(0, start)).length;
        return `${bytesBefore} ${bytesBefore + part.length} ${JSON.stringify(['p', part.trim()])}\n`;
      })
      .join('');
  };
  return { parse, seen };
}

test('blocks that are complete are not parsed again', () => {
  const { parse, seen } = toy();
  const list = new BlockList(parse);
  for (let i = 0; i < 200; i++) {
    list.append(`paragraph ${i}\n\n`);
    list.update();
  }
  assert.equal(list.blocks.length, 200);
  assert.ok(Math.max(...seen.slice(5)) < 60, `at most two paragraphs at a time, not ${Math.max(...seen)} bytes`);
});

test('line ends of all kinds become one, also where a chunk ends between the two', () => {
  const list = new BlockList(toy().parse);
  for (const chunk of ['a\r', '\nb\r\n\r', '\nc\rd']) list.append(chunk);
  assert.equal(new TextDecoder().decode(list.buffer.subarray(0, list.length)), 'a\nb\n\nc\nd');
});

test('a text that goes on after its end is parsed as a whole again', () => {
  const list = new BlockList(toy().parse);
  list.append('a\n\nb');
  list.finish();
  list.append('c\n\nd');
  assert.deepEqual(
    list.update().map((block) => block.json),
    ['["p","a"]', '["p","bc"]', '["p","d"]'],
  );
});

test('text that no parser has taken is one paragraph with its line breaks', () => {
  assert.equal(plain(new TextEncoder().encode('a\n<b>')), '0 5 ["p","a",["br"],"<b>"]\n');
});

const wasm = process.env.SLUICE_MARKDOWN_WASM;
test('the real parser gives the same blocks streamed as at once', { skip: wasm ? false : 'SLUICE_MARKDOWN_WASM is not set' }, async () => {
  const markdown = new Markdown(new WebAssembly.Module(await readFile(wasm)));
  const text =
    '# 标题\n\nOne **two**\nthree\n\n- a\n- b\n  ```js\n  let x\n  ```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n1. x\n\n   y\n2. z\n\nend **“重点”**。\n';
  for (const step of [1, 2, 3, 7, 50]) {
    const list = new BlockList(markdown.parse);
    for (let at = 0; at < text.length; at += step) {
      list.append(text.slice(at, at + step));
      list.update();
    }
    const streamed = list.blocks.map((block) => block.json);
    assert.deepEqual(
      list.finish().map((block) => block.json),
      streamed,
      `in steps of ${step}`,
    );
  }
});

test('only web and mail addresses are links', () => {
  assert.deepEqual(link('https://a.example/b?c'), { href: 'https://a.example/b?c', host: 'a.example' });
  assert.deepEqual(link('mailto:a@b.example'), { href: 'mailto:a@b.example', host: '' });
  for (const target of [
    'javascript:alert(1)',
    ' JaVaScRiPt:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://a/b',
    '/api/v1/logout',
    '//evil.example',
    '#login=x',
    'chrome://settings',
    '',
  ]) {
    assert.equal(link(target), null, target);
  }
});

test('an address with a name before the host is not a link', () => {
  assert.equal(link('https://bank.example@evil.example/'), null);
});

test('only pixels are inline images', () => {
  assert.equal(isInlineImage('data:image/png;base64,iVBORw0KGgo='), true);
  for (const target of [
    'data:image/svg+xml;base64,PHN2Zz4=',
    'data:text/html;base64,xx',
    'https://a.example/b.png',
    'data:image/png,<script>',
  ]) {
    assert.equal(isInlineImage(target), false, target);
  }
});

test('addresses in text end before the punctuation of the sentence', () => {
  const found = (text) =>
    split(text)
      .filter((part) => typeof part !== 'string')
      .map((part) => part.text);
  assert.deepEqual(found('see https://a.example/b.'), ['https://a.example/b']);
  assert.deepEqual(found('(see https://a.example/b_(c))'), ['https://a.example/b_(c)']);
  assert.deepEqual(found('请看https://a.example/b，谢谢'), ['https://a.example/b']);
  assert.deepEqual(found('请看 https://a.example/b，谢谢'), ['https://a.example/b']);
  assert.deepEqual(found('https://a.example/?q=1&r=2 and http://b.example!'), ['https://a.example/?q=1&r=2', 'http://b.example']);
  assert.deepEqual(found('nothing://here javascript:alert(1)//https'), []);
});

test('the text is complete after it was split', () => {
  const text = 'a https://x.example/y, b http://z.example. c';
  assert.equal(
    split(text)
      .map((part) => (typeof part === 'string' ? part : part.text))
      .join(''),
    text,
  );
});

const key = (extra = {}) => ({
  key: 'Enter',
  shiftKey: false,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  isComposing: false,
  keyCode: 13,
  ...extra,
});
const free = { owns: () => false };
const context = { guard: free, touch: false, enterSends: true };

test('Enter sends with a keyboard, and breaks the line on a touch screen', () => {
  assert.equal(enterAction(key(), context), 'send');
  assert.equal(enterAction(key(), { ...context, touch: true }), 'newline');
  assert.equal(enterAction(key(), { ...context, enterSends: false }), 'newline');
});

test('Ctrl+Enter always sends, Shift+Enter never', () => {
  for (const touch of [true, false]) {
    for (const enterSends of [true, false]) {
      assert.equal(enterAction(key({ ctrlKey: true }), { guard: free, touch, enterSends }), 'send');
      assert.equal(enterAction(key({ metaKey: true }), { guard: free, touch, enterSends }), 'send');
      assert.equal(enterAction(key({ shiftKey: true }), { guard: free, touch, enterSends }), 'newline');
    }
  }
});

test('the Enter of an input method is not ours, however the browser tells', () => {
  let now = 1_000;
  const guard = new CompositionGuard(() => now);
  assert.equal(guard.owns(key({ isComposing: true })), true);
  assert.equal(guard.owns(key({ keyCode: 229 })), true);
  guard.start();
  assert.equal(guard.owns(key()), true);
  // Safari: the end comes first, then the key that caused it.
  guard.end();
  now += 5;
  assert.equal(guard.owns(key()), true);
  now += 100;
  assert.equal(guard.owns(key()), false);
  assert.equal(enterAction(key({ isComposing: true, ctrlKey: true }), { ...context, guard }), 'none');
});

test('an input method that never ends its word does not lock the field', () => {
  const guard = new CompositionGuard(() => 1_000);
  guard.start();
  guard.blur();
  assert.equal(guard.owns(key()), false);
});
