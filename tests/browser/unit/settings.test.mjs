import assert from 'node:assert/strict';
import { test } from 'node:test';

/** A storage of the browser over `values`. @param {Map<string, string>} values */
function storage(values) {
  const methods = {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
  return new Proxy(methods, {
    ownKeys: () => [...values.keys()],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  });
}

/** A browser in which nothing is stored yet; what is stored there for all tabs. */
function browser(values = new Map()) {
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, value: storage(values) });
  enter(new Map());
  return values;
}

/** What follows happens in the tab with these values of its own. */
function enter(values) {
  Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, value: storage(values) });
}

let tabs = 0;
/** @returns {Promise<typeof import('../../../host/chat/ui/js/settings.js')>} */
const tab = () => import(`../../../host/chat/ui/js/settings.js?tab=${tabs++}`);

async function pageOf(user) {
  const page = await tab();
  page.loggedIn(user, `bind-${user}`);
  page.begin();
  return page;
}

test('what one person leaves in a browser is not there for the next one, and is there for them again', async () => {
  const storage = browser();
  const first = await pageOf('u_A');
  first.putDraft('', 'a draft of A');
  first.put('model', 'model-of-A');
  const second = await pageOf('u_B');
  assert.equal(second.ownerId(), 'u_B');
  assert.equal(second.draft(''), '');
  assert.equal(second.get('model'), '');
  second.putDraft('', 'a draft of B');
  const again = await pageOf('u_A');
  assert.equal(again.draft(''), 'a draft of A');
  assert.equal(again.get('model'), 'model-of-A');
  assert.ok(storage.size > 0);
});

test('a page knows when its person is no longer the one who is logged in, and then sends no secret', async () => {
  browser();
  const first = await pageOf('u_A');
  assert.equal(first.isOurs(), true);
  assert.equal(first.bind(), 'bind-u_A');
  await pageOf('u_B');
  assert.equal(first.isOurs(), false);
  assert.equal(first.bind(), '');
  first.putDraft('', 'typed just before');
  assert.equal((await pageOf('u_A')).draft(''), 'typed just before', 'an expired login costs no text');
});

test('after a log out nothing of the drafts is left, and no tab writes one back', async () => {
  const storage = browser();
  const one = await pageOf('u_A');
  const other = await pageOf('u_A');
  one.putDraft('ses_1', 'first');
  other.putDraft('', 'second');
  other.put('theme', 'dark');
  one.logOut();
  one.putDraft('ses_1', 'written back as the page goes');
  other.putDraft('', 'written back by another tab');
  assert.deepEqual(
    [...storage.values()].filter((value) => /first|second|written/.test(value)),
    [],
  );
  assert.equal(one.isOurs(), false);
  assert.equal(other.isOurs(), false);
  const again = await pageOf('u_A');
  assert.equal(again.draft(''), '');
  assert.equal(again.get('theme'), 'dark', 'the look is no text');
  again.putDraft('', 'a new one');
  assert.equal(again.draft(''), 'a new one');
});

test('a tab that has written nothing leaves the drafts of other tabs alone', async () => {
  browser();
  const [first, second] = [new Map(), new Map()];
  enter(first);
  const one = await pageOf('u_A');
  assert.equal(one.draft('ses_1'), '');
  one.putDraft('ses_1', 'text of the first tab');
  enter(second);
  const other = await pageOf('u_A');
  other.draft('');
  other.putDraft('', '');
  const opened = other.draft('ses_1');
  assert.equal(opened, 'text of the first tab');
  other.putDraft('ses_1', '');
  enter(first);
  const again = await pageOf('u_A');
  assert.equal(again.draft('ses_1'), 'text of the first tab', 'it is in the first tab, whatever the second does');
});

test('of two tabs that write in one session each keeps its own', async () => {
  const storage = browser();
  const [first, second] = [new Map(), new Map()];
  enter(first);
  const one = await pageOf('u_A');
  one.draft('ses_1');
  enter(second);
  const other = await pageOf('u_A');
  other.draft('ses_1');
  enter(first);
  one.putDraft('ses_1', 'one');
  enter(second);
  other.putDraft('ses_1', 'other');
  other.putDraft('ses_1', '');
  one.putDraft('ses_1', 'one');
  enter(first);
  assert.equal((await pageOf('u_A')).draft('ses_1'), 'one');
  assert.ok(![...storage.values()].includes('other'));
  enter(new Map());
  (await pageOf('u_A')).logOut();
  enter(first);
  one.leave();
  assert.deepEqual([...first.values()].filter(Boolean), [], 'a log out reaches the drafts of all tabs');
});

test('a page whose login was never stored begins as nobody', async () => {
  const storage = browser();
  storage.set('sluice.user', 'u_A');
  const page = await tab();
  assert.equal(page.begin(), '');
  page.putDraft('', 'of nobody');
  assert.equal(page.draft(''), '');
});

test('where storage is refused everything lasts as long as the page', async () => {
  Object.defineProperty(globalThis, 'localStorage', {
    configurable: true,
    get() {
      throw new Error('refused');
    },
  });
  const page = await pageOf('u_A');
  page.putDraft('', 'kept for now');
  assert.equal(page.draft(''), 'kept for now');
  assert.equal(page.bind(), 'bind-u_A');
  assert.equal(page.isOurs(), true);
});
