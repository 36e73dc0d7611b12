// What Anthropic's official TypeScript client makes of the gateway's responses.
//
// Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.

import process from 'node:process';
import Anthropic from '@anthropic-ai/sdk';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';

const URL = process.env.GATEWAY_URL;
const KEY = process.env.GATEWAY_KEY;
const connected = (more) => new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 0, timeout: 60_000, ...more });
const client = connected({});

const WEATHER = {
  name: 'get_weather',
  description: 'The weather in a city.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const MAIL = {
  name: 'send_mail',
  description: 'Sends a mail.',
  input_schema: { type: 'object', properties: { subject: { type: 'string' } }, required: ['subject'] },
};
const BOTH = 'The weather in Oslo, by mail, please.';
const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};
const THINKING = { type: 'enabled', budget_tokens: 1024 };
// One pixel.
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

const asked = (text, more) => ({
  model: 'demo', max_tokens: 2000, messages: [{ role: 'user', content: text }], ...more,
});
const create = (text, more, options) => client.messages.create(asked(text, more), options);
const final = (text, more) => client.messages.stream(asked(text, more)).finalMessage();

const ofType = (message, type) => message.content.filter((block) => block.type === type);
const textOf = (message) => ofType(message, 'text').map((block) => block.text).join('');
const thoughtsOf = (message) => ofType(message, 'thinking').map((block) => block.thinking).join('');
const typesOf = (message) => message.content.map((block) => block.type);
const callsOf = (message) => ofType(message, 'tool_use').map((block) => [block.name, block.input]);
const namesOf = (message) => callsOf(message).map(([name]) => name);
const countsOf = (usage) => usage.input_tokens > 0 && usage.output_tokens > 0;

// The facts of an exception, in words that both languages share.
const failure = (error) => ({
  class: error.constructor.name,
  status: error.status ?? null,
  type: error.error?.error?.type ?? null,
  has_message: Boolean(error.message),
  has_request_id: Boolean(error.requestID) && error.requestID === error.error?.request_id,
});

const failing = async (call) => {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) throw error;
    return failure(error);
  }
  return { class: null };
};

// An exception of a case that may also have an answer.
const unless = async (call) => {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) throw error;
    return { type: failure(error).type };
  }
};

const streamedFailure = async (word) => {
  const seen = [];
  const found = await failing(async () => {
    for await (const event of await create(`/error ${word}`, { stream: true })) seen.push(event.type);
  });
  return {
    type: found.type ?? null,
    has_message: found.has_message ?? null,
    has_deltas_before: seen.includes('content_block_delta'),
    has_an_end: seen.includes('message_stop'),
  };
};

const thought = (answer) => ({
  types: typesOf(answer),
  reasons: thoughtsOf(answer).includes('simulation'),
  says: textOf(answer).includes('simulated'),
  is_signed: Boolean(answer.content[0].signature),
});

const called = (answer) => ({
  calls: callsOf(answer),
  ids: new Set(ofType(answer, 'tool_use').map((block) => block.id)).size,
  stop_reason: answer.stop_reason,
});

const typed = (answer) => ({ types: typesOf(answer), stop_reason: answer.stop_reason });
const named = (answer) => ({ names: namesOf(answer), stop_reason: answer.stop_reason });
const leaking = (answer) => ({ leaks: textOf(answer).includes('tool_call'), stop_reason: answer.stop_reason });
const stopped = (answer) => ({
  text: textOf(answer), stop_reason: answer.stop_reason, stop_sequence: answer.stop_sequence,
});

const CASES = {
  async message() {
    const answer = await create('/echo Hello big world');
    return {
      type: answer.type,
      role: answer.role,
      model: answer.model,
      types: typesOf(answer),
      text: textOf(answer),
      stop_reason: answer.stop_reason,
      stop_sequence: answer.stop_sequence,
      counts: countsOf(answer.usage),
      has_id: answer.id.startsWith('msg_'),
      has_request_id: Boolean(answer._request_id?.startsWith('req_')),
    };
  },

  async request_id() {
    const answer = await create('/echo ok', {}, { headers: { 'x-request-id': 'req_of_the_client' } });
    return { request_id: answer._request_id };
  },

  async system_with_cache_fields() {
    const cached = { type: 'ephemeral' };
    const system = [
      { type: 'text', text: 'Be brief.', cache_control: cached }, { type: 'text', text: 'Be kind.' },
    ];
    const content = [{ type: 'text', text: '/echo ok', cache_control: cached }];
    const more = { system, metadata: { user_id: 'somebody' }, service_tier: 'auto' };
    return { text: textOf(await create(content, more)) };
  },

  async sampling() {
    return { text: textOf(await create('/echo ok', { temperature: 0.5, top_p: 0.9, top_k: 40 })) };
  },

  async beta() {
    const betas = ['interleaved-thinking-2025-05-14'];
    return { text: textOf(await client.beta.messages.create({ betas, ...asked('/echo ok') })) };
  },

  async limits() {
    const answer = await create('/long 50', { max_tokens: 5 });
    return { stop_reason: answer.stop_reason, output_tokens: answer.usage.output_tokens };
  },

  async stop_text() {
    return stopped(await create('/echo one two three', { stop_sequences: ['two'] }));
  },

  async stop_text_stream() {
    return stopped(await final('/echo one two three', { stop_sequences: ['two'] }));
  },

  async stream() {
    const events = [];
    for await (const event of await create('/echo Hello big world', { stream: true })) events.push(event);
    const types = events.map((event) => event.type);
    const delta = events.at(-2);
    return {
      order: types.filter((type, at) => types[at - 1] !== type),
      text: events.map((event) => event.delta?.text ?? '').join(''),
      first_input_tokens: events[0].message.usage.input_tokens,
      counts: countsOf(delta.usage),
      stop_reason: delta.delta.stop_reason,
    };
  },

  async stream_helper() {
    let deltas = '';
    const stream = client.messages.stream(asked('/echo Hello big world')).on('text', (text) => { deltas += text; });
    const answer = await stream.finalMessage();
    return {
      deltas,
      text: textOf(answer),
      stop_reason: answer.stop_reason,
      counts: countsOf(answer.usage),
      request_id: Boolean(stream.request_id),
    };
  },

  async thinking() {
    return thought(await create('Hello', { model: 'qwen3:32b', thinking: THINKING }));
  },

  async thinking_stream() {
    return thought(await final('Hello', { model: 'qwen3:32b', thinking: THINKING }));
  },

  async thinking_not_asked() {
    return { types: typesOf(await create('Hello', { model: 'qwen3:32b' })) };
  },

  async thinking_off() {
    return { types: typesOf(await final('Hello', { model: 'qwen3:32b', thinking: { type: 'disabled' } })) };
  },

  async thinking_sent_back() {
    const first = await create('Hello', { model: 'qwen3:32b', thinking: THINKING });
    const messages = [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: first.content },
      { role: 'user', content: '/echo ok' },
    ];
    return { text: textOf(await create('', { model: 'qwen3:32b', thinking: THINKING, messages })) };
  },

  async tools() {
    const question = 'What is the weather in Oslo?';
    const first = await create(question, { tools: [WEATHER] });
    const [call] = ofType(first, 'tool_use');
    const result = { type: 'tool_result', tool_use_id: call.id, content: '12 degrees, rain' };
    const messages = [
      { role: 'user', content: question },
      { role: 'assistant', content: first.content },
      { role: 'user', content: [result] },
    ];
    const second = await create('', { messages, tools: [WEATHER] });
    return {
      stop_reason: first.stop_reason,
      calls: callsOf(first),
      has_id: Boolean(call.id),
      tells_the_result: textOf(second).includes('12 degrees'),
      then: second.stop_reason,
    };
  },

  async tools_parallel() {
    return called(await create(BOTH, { tools: [WEATHER, MAIL] }));
  },

  async tools_stream() {
    return called(await final(BOTH, { tools: [WEATHER, MAIL] }));
  },

  async tools_not_chosen() {
    return typed(await create('Hello', { tools: [WEATHER] }));
  },

  async tools_not_chosen_stream() {
    return typed(await final('Hello', { tools: [WEATHER] }));
  },

  async tools_none() {
    return typed(await create(BOTH, { tools: [WEATHER, MAIL], tool_choice: { type: 'none' } }));
  },

  async tools_any() {
    return named(await create('Hello', { tools: [WEATHER], tool_choice: { type: 'any' } }));
  },

  async tools_named_stream() {
    return named(await final('Hello', { tools: [WEATHER, MAIL], tool_choice: { type: 'tool', name: 'send_mail' } }));
  },

  tools_broken() {
    return unless(async () => leaking(await create('/error call', { tools: [WEATHER] })));
  },

  tools_broken_stream() {
    return unless(async () => leaking(await final('/error call', { tools: [WEATHER] })));
  },

  image() {
    const source = { type: 'base64', media_type: 'image/png', data: PIXEL };
    const content = [{ type: 'image', source }, { type: 'text', text: '/echo ok' }];
    return unless(async () => ({ text: textOf(await create(content)) }));
  },

  async json_schema() {
    const output_config = { format: { type: 'json_schema', schema: PERSON } };
    const found = JSON.parse(textOf(await create('Somebody, please.', { output_config })));
    return { keys: Object.keys(found).sort(), age_is_integer: Number.isInteger(found.age) };
  },

  async parse_helper() {
    const output_config = { format: jsonSchemaOutputFormat(PERSON) };
    const answer = await client.messages.parse(asked('Somebody, please.', { output_config }));
    return { is_parsed: typeof answer.parsed_output?.name === 'string' };
  },

  async count_tokens() {
    const messages = [{ role: 'user', content: 'How many?' }];
    const count = await client.messages.countTokens({ model: 'demo', messages, system: 'Be brief.', tools: [WEATHER] });
    return { counts: count.input_tokens > 5 };
  },

  async models() {
    const other = connected({ baseURL: `${URL}/anthropic` });
    const page = await other.models.list();
    const one = await other.models.retrieve('qwen3:32b');
    return {
      ids: page.data.map((model) => model.id).sort(),
      types: [...new Set(page.data.map((model) => model.type))],
      has_time: new Date(page.data[0].created_at).getUTCFullYear() >= 1970,
      retrieved: one.id,
    };
  },

  wrong_key() {
    return failing(() => connected({ apiKey: 'sk-of-nobody' }).messages.create(asked('/echo ok')));
  },

  async bearer() {
    const other = connected({ apiKey: null, authToken: KEY });
    return { text: textOf(await other.messages.create(asked('/echo ok'))) };
  },

  no_messages() {
    return failing(() => create('', { messages: [] }));
  },

  document() {
    const source = { type: 'text', media_type: 'text/plain', data: 'Once upon a time' };
    return failing(() => create([{ type: 'document', source }]));
  },

  server_tool() {
    return failing(() => create('Hello', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }));
  },

  unknown_model() {
    return failing(() => create('/echo ok', { model: 'nobody' }));
  },

  unknown_model_in_a_stream() {
    return failing(() => final('/echo ok', { model: 'nobody' }));
  },

  failed_model_server() {
    return failing(() => create('/error 500'));
  },

  failed_before_a_stream() {
    return failing(() => final('/error 500'));
  },

  overload() {
    return failing(() => create('/error 429'));
  },

  overload_in_a_stream() {
    return failing(() => final('/error 429'));
  },

  unavailable() {
    return failing(() => create('/error 503'));
  },

  page_of_a_proxy() {
    return failing(() => create('/error html'));
  },

  broken_answer() {
    return failing(() => create('/error mid'));
  },

  broken_stream() {
    return streamedFailure('mid');
  },

  truncated_stream() {
    return streamedFailure('truncate');
  },

  stopped_server() {
    return streamedFailure('abort');
  },
};

for (const [name, run] of Object.entries(CASES)) {
  let found;
  try {
    found = await run();
  } catch (error) {
    found = { unexpected: error.stack ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify({ case: name, found })}\n`);
}
