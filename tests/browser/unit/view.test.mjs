import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { test } from 'node:test';
import * as i18n from '../../../host/chat/ui/js/i18n.js';
import { SessionList } from '../../../host/chat/ui/js/net/list.js';
import { ScrollPin } from '../../../host/chat/ui/js/view/scroll.js';

const UI = new URL('../../../host/chat/ui/', import.meta.url);
const catalog = async (name) => JSON.parse(await readFile(new URL(`i18n/${name}.json`, UI), 'utf8'));

async function sources() {
  const names = (await readdir(new URL('js/', UI), { recursive: true })).filter((name) => name.endsWith('.js'));
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(new URL(`js/${name}`, UI), 'utf8') })));
}

test('both catalogs have the same keys and the same placeholders', async () => {
  const [en, zh] = await Promise.all([catalog('en'), catalog('zh-CN')]);
  assert.deepEqual(Object.keys(zh), Object.keys(en));
  const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [key, text] of Object.entries(en)) assert.deepEqual(placeholders(zh[key]), placeholders(text), key);
});

test('the English catalog has no Chinese, the Chinese one no untranslated sentence', async () => {
  const [en, zh] = await Promise.all([catalog('en'), catalog('zh-CN')]);
  const han = /\p{Script=Han}/u;
  for (const [key, text] of Object.entries(en)) assert.doesNotMatch(text, han, key);
  for (const [key, text] of Object.entries(zh)) assert.match(text, han, key);
});

test('every key that is used is there, and every key that is there is used', async () => {
  const keys = Object.keys(await catalog('en'));
  const base = new Set(keys.map((key) => key.replace(/\.(one|other)$/, '')));
  const all = (await sources()).map((source) => source.text).join('\n');
  const literal = new Set([...all.matchAll(/'([a-z]+(?:\.[A-Za-z0-9_]+)+|[a-z]+)'/g)].map((match) => match[1]));
  const families = [...all.matchAll(/`([a-z]+(?:\.[a-z]+)*)\.\$\{/g)].map((match) => `${match[1]}.`);
  for (const match of all.matchAll(/\bt\('([^']+)'/g)) assert.ok(base.has(match[1]), `missing: ${match[1]}`);
  const unused = [...base].filter((key) => !literal.has(key) && !families.some((family) => key.startsWith(family)));
  assert.deepEqual(unused, []);
});

test('there is no way from text to markup in the sources', async () => {
  const sinks =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|setHTMLUnsafe|srcdoc|setAttribute\(\s*'(style|on)/;
  for (const { name, text } of await sources()) assert.doesNotMatch(text, sinks, name);
});

test('the page preloads every module but the one that it seldom needs', async () => {
  const page = await readFile(new URL('index.html', UI), 'utf8');
  const listed = [...page.matchAll(/(?:modulepreload" href|src)="\/assets\/@\/js\/([^"]+)"/g)].map((match) => match[1]).sort();
  const present = (await sources())
    .map(({ name }) => name)
    .filter((name) => name !== 'net/sse.js')
    .sort();
  assert.deepEqual(listed, present);
});

test('words, plurals and placeholders', () => {
  i18n.use('en', { 'a.one': '{n} token', 'a.other': '{n} tokens', b: 'Hello {name}' });
  assert.equal(i18n.t('a', { n: 1 }), '1 token');
  assert.equal(i18n.t('a', { n: 1234 }), '1,234 tokens');
  assert.equal(i18n.t('b', { name: '$&{n}' }), 'Hello $&{n}');
  assert.equal(i18n.t('missing'), 'missing');
});

test('the language follows the first preference that we speak', () => {
  assert.equal(i18n.choose(['fr', 'zh-TW', 'en']), 'zh-CN');
  assert.equal(i18n.choose(['en-GB', 'zh']), 'en');
  assert.equal(i18n.choose(['de']), 'en');
});

test('times and sizes read well', () => {
  i18n.use('en', {});
  assert.equal(i18n.duration(180.4), '180 ms');
  assert.equal(i18n.duration(5210), '5.2 s');
  assert.equal(i18n.duration(184_000), '3 min 4 s');
  assert.equal(i18n.size(0), '0 B');
  assert.equal(i18n.size(48_234_496), '46 MB');
});

test('days are counted by the calendar', () => {
  const now = new Date(2026, 6, 15, 0, 30).getTime();
  const hour = 3_600_000;
  assert.equal(i18n.period(now - 0.25 * hour, now), 'today');
  assert.equal(i18n.period(now - hour, now), 'yesterday');
  assert.equal(i18n.period(now - 6 * 24 * hour, now), 'week');
  assert.equal(i18n.period(now - 29 * 24 * hour, now), 'month');
  assert.equal(i18n.period(now - 60 * 24 * hour, now), 'older');
});

test('the view follows its end until the reader moves up, and again from the true end', () => {
  const pin = new ScrollPin();
  pin.moving(500);
  pin.scrolled(500, 500);
  assert.equal(pin.pinned, true);
  pin.scrolled(490, 500);
  assert.equal(pin.pinned, false);
  pin.scrolled(495, 500);
  assert.equal(pin.pinned, false, 'near the end is not the end');
  pin.scrolled(500, 500);
  assert.equal(pin.pinned, true);
});

test('movements of three pixels are not the reader', () => {
  const pin = new ScrollPin();
  pin.scrolled(500, 500);
  pin.scrolled(497, 500);
  assert.equal(pin.pinned, true);
});

test('our own scroll never unpins, even upward', () => {
  const pin = new ScrollPin();
  pin.scrolled(500, 500);
  pin.moving(300);
  pin.scrolled(300, 300);
  assert.equal(pin.pinned, true);
});

test('a view whose content shrinks is not moved by the reader', () => {
  const pin = new ScrollPin();
  pin.scrolled(500, 500);
  pin.scrolled(420, 420);
  assert.equal(pin.pinned, true);
});

test('a wheel turned upward counts before the view has moved', () => {
  const pin = new ScrollPin();
  pin.scrolled(500, 500);
  pin.moving(510);
  pin.up();
  pin.scrolled(510, 510);
  assert.equal(pin.pinned, true, 'a scroll to the very end pins again');
  pin.up();
  pin.scrolled(505, 520);
  assert.equal(pin.pinned, false);
});

test('the list shows pinned sessions first, then the latest', () => {
  const list = new SessionList();
  const session = (id, updated_at, extra = {}) => ({ id, title: id, pinned: false, archived: false, updated_at, ...extra });
  list.page({ sessions: [session('a', 1), session('b', 3), session('c', 2, { pinned: true })], cursor: 'x' }, list.changes, true);
  assert.deepEqual(
    list.sorted().map((entry) => entry.id),
    ['c', 'b', 'a'],
  );
  list.upsert(session('a', 4));
  list.upsert(session('b', 3, { deleted_at: 5 }));
  list.upsert(session('c', 2, { archived: true }));
  assert.deepEqual(
    list.sorted().map((entry) => entry.id),
    ['a'],
  );
  list.page({ sessions: [session('d', 9)] }, list.changes, true);
  assert.deepEqual(
    list.sorted().map((entry) => entry.id),
    ['d'],
  );
});

test('loading the first page again keeps older pages and drops what was deleted meanwhile', () => {
  const list = new SessionList();
  const session = (id, updated_at) => ({ id, title: id, pinned: false, archived: false, updated_at });
  list.page({ sessions: [session('e', 5), session('d', 4)], cursor: '1' }, list.changes, true);
  list.page({ sessions: [session('c', 3), session('b', 2)], cursor: '2' }, list.changes, false);
  list.page({ sessions: [session('f', 6), session('d', 4)], cursor: '3' }, list.changes, true);
  assert.deepEqual(
    list.sorted().map((entry) => entry.id),
    ['f', 'd', 'c', 'b'],
  );
  assert.equal(list.cursor, '2');
  list.page({ sessions: [session('f', 6)] }, list.changes, true);
  assert.deepEqual(
    list.sorted().map((entry) => entry.id),
    ['f'],
  );
  assert.equal(list.cursor, undefined);
});

test('a page that comes late does not undo what was told since it was asked for', () => {
  const list = new SessionList();
  const session = (id, updated_at, extra = {}) => ({ id, title: id, pinned: false, archived: false, updated_at, ...extra });
  list.upsert(session('old', 0));
  const asked = list.changes;
  list.upsert(session('new', 5, { running: true }));
  list.upsert(session('a', 4, { running: true }));
  list.upsert(session('gone', 3, { deleted_at: 6 }));
  list.page({ sessions: [session('gone', 3), session('b', 2), session('a', 1)] }, asked, true);
  assert.deepEqual(
    list.sorted().map((entry) => [entry.id, Boolean(entry.running)]),
    [
      ['new', true],
      ['a', true],
      ['b', false],
    ],
  );
});
