import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionModel } from '../../../host/chat/ui/js/net/session.js';

const user = (id, parent, text = id) => ({ id, parent, role: 'user', status: 'done', text, created_at: 1 });
const answer = (id, parent, text = id) => ({ id, parent, role: 'assistant', status: 'done', text, created_at: 2 });

/** A model after a snapshot of one exchange at position 10. */
function ready(extra = {}) {
  const changes = [];
  const model = new SessionModel('ses_A', (change) => changes.push(change));
  model.subscribed({
    mode: 'snapshot',
    epoch: 'e',
    seq: 10,
    session: { id: 'ses_A', seq: 10 },
    messages: [user('m1'), answer('m2', 'm1')],
    more: false,
    runs: [],
    queue: [],
    ...extra,
  });
  changes.length = 0;
  return { model, changes };
}

/** The same with an answer under way. */
function streaming() {
  const { model, changes } = ready();
  model.event({ seq: 11, ev: 'message.added', data: { message: user('m3', 'm2') } });
  model.event({
    seq: 12,
    ev: 'run.started',
    data: { run: 'r1', message: 'm4', parent: 'm3', model: 'x', base: { text: 0, reasoning: 0 }, request_id: 'req_1', created_at: 3 },
  });
  return { model, changes };
}

const delta = (from, to, text, ch = 'text') => ({ run: 'r1', ch, from, to, text });
const ended = (to, extra = {}) => ({
  seq: 13,
  ev: 'run.ended',
  data: { run: 'r1', message: 'm4', finish: 'stop', to, duration_ms: 5, request_id: 'req_1', ...extra },
});

test('an event in sequence is applied, a known one ignored, one after a gap is not applied', () => {
  const { model } = ready();
  assert.equal(model.event({ seq: 10, ev: 'message.added', data: { message: user('x', 'm2') } }), 'ignored');
  assert.equal(model.event({ seq: 12, ev: 'message.added', data: { message: user('x', 'm2') } }), 'gap');
  assert.deepEqual(model.order, ['m1', 'm2']);
  assert.equal(model.event({ seq: 11, ev: 'message.added', data: { message: user('m3', 'm2') } }), 'applied');
  assert.deepEqual(model.order, ['m1', 'm2', 'm3']);
  assert.equal(model.seq, 11);
});

test('before the snapshot every event is a gap', () => {
  const model = new SessionModel('ses_A');
  assert.equal(model.event({ seq: 1, ev: 'message.added', data: { message: user('m1') } }), 'gap');
  assert.deepEqual(model.position(), { session: 'ses_A' });
});

test('an unknown event advances the position', () => {
  const { model } = ready();
  assert.equal(model.event({ seq: 11, ev: 'later.invention', data: {} }), 'ignored');
  assert.equal(model.event({ seq: 12, ev: 'queue.changed', data: { queue: [] } }), 'applied');
});

test('a delta is appended at its position only', () => {
  const { model } = streaming();
  assert.equal(model.delta(delta(0, 6, '你好')), 'applied');
  assert.equal(model.delta(delta(0, 6, '你好')), 'ignored');
  assert.equal(model.delta(delta(9, 12, '！')), 'gap');
  assert.equal(model.delta(delta(6, 9, '，')), 'applied');
  assert.equal(model.delta(delta(0, 4, 'hmm.', 'reasoning')), 'applied');
  const message = model.messages.get('m4');
  assert.equal(message.text, '你好，');
  assert.equal(message.reasoning, 'hmm.');
  assert.deepEqual(model.position(), { session: 'ses_A', epoch: 'e', after: 12, runs: { r1: { text: 9, reasoning: 4 } } });
});

test('a delta of an unknown run is a gap', () => {
  const { model } = ready();
  assert.equal(model.delta(delta(0, 1, 'x')), 'gap');
});

test('an answer that ends complete is done; one that ends short is fetched', () => {
  const complete = streaming().model;
  complete.delta(delta(0, 2, 'ok'));
  assert.equal(complete.event(ended({ text: 2, reasoning: 0 }, { usage: { in: 1, out: 2 } })), 'applied');
  const message = complete.messages.get('m4');
  assert.equal(message.status, 'done');
  assert.deepEqual(message.run.usage, { in: 1, out: 2 });
  assert.equal(complete.active, undefined);

  const short = streaming().model;
  short.delta(delta(0, 2, 'ok'));
  assert.deepEqual(short.event(ended({ text: 4, reasoning: 0 })), { fetch: 'm4' });
});

test('each finish leaves its status', () => {
  for (const [finish, status] of [
    ['stop', 'done'],
    ['length', 'done'],
    ['stopped', 'stopped'],
    ['abandoned', 'stopped'],
    ['error', 'error'],
    ['interrupted', 'interrupted'],
  ]) {
    const { model } = streaming();
    model.event(ended({ text: 0, reasoning: 0 }, { finish }));
    assert.equal(model.messages.get('m4').status, status, finish);
  }
});

test('a queued run becomes the running one without a second message', () => {
  const { model } = ready();
  const data = { run: 'r1', message: 'm3', parent: 'm2', base: { text: 0, reasoning: 0 }, created_at: 3 };
  model.event({ seq: 11, ev: 'run.queued', data: { ...data, position: 2 } });
  assert.equal(model.messages.get('m3').status, 'queued');
  assert.equal(model.runOf('m3').position, 2);
  model.event({ seq: 12, ev: 'run.started', data });
  assert.equal(model.messages.get('m3').status, 'streaming');
  assert.deepEqual(model.order, ['m1', 'm2', 'm3']);
});

test('continue re-opens the message where its text ends', () => {
  const { model } = ready();
  model.event({
    seq: 11,
    ev: 'run.started',
    data: { run: 'r1', message: 'm2', parent: 'm1', kind: 'continue', base: { text: 2, reasoning: 0 }, created_at: 3 },
  });
  assert.equal(model.delta(delta(2, 6, ' and')), 'applied');
  assert.equal(model.messages.get('m2').text, 'm2 and');
});

test('continue of an answer that had not begun empties it', () => {
  const { model } = ready({ messages: [user('m1'), { ...answer('m2', 'm1', ''), reasoning: 'old thoughts' }] });
  model.event({
    seq: 11,
    ev: 'run.started',
    data: { run: 'r1', message: 'm2', parent: 'm1', kind: 'continue', base: { text: 0, reasoning: 0 }, created_at: 3 },
  });
  assert.equal(model.messages.get('m2').reasoning, '');
});

test('a message under an earlier parent cuts what was below it', () => {
  const { model } = ready();
  model.event({ seq: 11, ev: 'message.added', data: { message: { ...user('m5'), siblings: ['m1', 'm5'] } } });
  assert.deepEqual(model.order, ['m5']);
  assert.equal(model.messages.has('m2'), false);
});

test('a message under a parent that is not loaded asks for the branch', () => {
  const { model } = ready({ more: true });
  assert.equal(model.event({ seq: 11, ev: 'message.added', data: { message: user('m9', 'm0') } }), 'branch');
});

test('choosing a branch asks for a snapshot', () => {
  const { model } = ready();
  assert.equal(model.event({ seq: 11, ev: 'branch.selected', data: { leaf: 'm2' } }), 'branch');
});

test('a resume replays what was missed and takes the stored rows of runs that ended', () => {
  const { model } = streaming();
  model.delta(delta(0, 2, 'ok'));
  const outcome = model.subscribed({
    mode: 'events',
    epoch: 'e',
    seq: 15,
    events: [
      ended({ text: 7, reasoning: 0 }),
      { seq: 14, ev: 'message.added', data: { message: user('m5', 'm4') } },
      { seq: 15, ev: 'run.started', data: { run: 'r2', message: 'm6', parent: 'm5', base: { text: 0, reasoning: 0 }, created_at: 4 } },
    ],
    messages: [answer('m4', 'm3', 'ok then')],
    runs: [{ run: 'r2', message: 'm6', state: 'running', to: { text: 0, reasoning: 0 } }],
  });
  assert.equal(outcome, 'applied');
  assert.equal(model.messages.get('m4').text, 'ok then');
  assert.deepEqual(model.order, ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.deepEqual([...model.runs.keys()], ['r2']);
  assert.equal(model.seq, 15);
});

test('a run that the server resets starts over', () => {
  const { model } = streaming();
  model.delta(delta(0, 2, 'ok'));
  model.subscribed({
    mode: 'events',
    epoch: 'e',
    seq: 12,
    events: [],
    messages: [],
    runs: [{ run: 'r1', message: 'm4', state: 'running', to: { text: 0, reasoning: 0 }, reset: true }],
  });
  assert.equal(model.messages.get('m4').text, '');
  assert.equal(model.delta(delta(0, 3, 'new')), 'applied');
});

test('a branch choice among missed events asks for a snapshot', () => {
  const { model } = ready();
  const outcome = model.subscribed({
    mode: 'events',
    epoch: 'e',
    seq: 11,
    events: [{ seq: 11, ev: 'branch.selected', data: { leaf: 'm1' } }],
    messages: [],
    runs: [],
  });
  assert.equal(outcome, 'branch');
});

test('an earlier page is put in front, and known messages are not doubled', () => {
  const { model, changes } = ready({ more: true });
  model.earlier([user('m0'), user('m1')], false);
  assert.deepEqual(model.order, ['m0', 'm1', 'm2']);
  assert.equal(model.more, false);
  assert.deepEqual(changes, [{ kind: 'order' }]);
});

test('one cut and resumed at every place gives the same text', () => {
  const chunks = ['Das ', 'sind ', '哈希', '表', ' 🙂', '.'];
  const bytes = (text) => new TextEncoder().encode(text).length;
  for (let cut = 0; cut <= chunks.length; cut++) {
    const { model } = streaming();
    let at = 0;
    for (const [index, chunk] of chunks.entries()) {
      if (index === cut) {
        // What came before the cut comes once more.
        const have = model.position().runs.r1.text;
        model.subscribed({
          mode: 'events',
          epoch: 'e',
          seq: 12,
          events: [],
          messages: [],
          runs: [{ run: 'r1', message: 'm4', state: 'running', to: { text: have, reasoning: 0 } }],
        });
        if (index) assert.equal(model.delta(delta(at - bytes(chunks[index - 1]), at, chunks[index - 1])), 'ignored');
      }
      assert.equal(model.delta(delta(at, at + bytes(chunk), chunk)), 'applied');
      at += bytes(chunk);
    }
    assert.equal(model.messages.get('m4').text, chunks.join(''));
  }
});

test('a resume that goes on behind text which never came asks for all of it', () => {
  const { model } = streaming();
  model.delta(delta(0, 2, 'ab'));
  const state = (to, extra = {}) => ({ run: 'r1', message: 'm4', state: 'running', to, reset: false, request_id: 'req_1', started_at: 3, ...extra });
  const resume = (to, extra) => model.subscribed({ mode: 'events', epoch: 'e', seq: 12, events: [], messages: [], runs: [state(to, extra)] });
  assert.equal(resume({ text: 2, reasoning: 0 }), 'applied');
  assert.equal(resume({ text: 5, reasoning: 0 }), 'branch');
  assert.equal(resume({ text: 2, reasoning: 1 }), 'branch');
  assert.equal(model.delta(delta(2, 3, 'c')), 'applied', 'until then it stays where it is');
  assert.equal(resume({ text: 0, reasoning: 0 }, { reset: true }), 'applied');
  assert.equal(model.messages.get('m4').text, '');
});
