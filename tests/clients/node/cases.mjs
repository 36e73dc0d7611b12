// What the official Node.js client makes of the gateway's responses.
//
// Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.

import process from 'node:process';
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: `${process.env.GATEWAY_URL}/v1`,
  apiKey: process.env.GATEWAY_KEY,
  maxRetries: 0,
  timeout: 60_000,
});
const completions = client.chat.completions;

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const MAIL = {
  type: 'function',
  function: {
    name: 'send_mail',
    description: 'Sends a mail.',
    parameters: { type: 'object', properties: { subject: { type: 'string' } }, required: ['subject'] },
  },
};
const SCHEMA = {
  type: 'json_schema',
  json_schema: {
    name: 'person',
    strict: true,
    schema: {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
      additionalProperties: false,
    },
  },
};

const user = (text) => [{ role: 'user', content: text }];

const addsUp = (usage) => usage.prompt_tokens > 0 && usage.prompt_tokens + usage.completion_tokens === usage.total_tokens;

const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};

// The facts of an exception, in words that both languages share.
const failing = async (call) => {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
      param: error.param ?? null,
      has_message: Boolean(error.message),
      has_request_id: Boolean(error.requestID),
    };
  }
  return { class: null };
};

const chosen = async (request) => {
  const chunks = await collect(await completions.create({ stream: true, ...request }));
  return chunks.flatMap((chunk) => chunk.choices.slice(0, 1));
};

const joined = (choices, field) => choices.map((choice) => choice.delta[field] ?? '').join('');
const reasons = (choices) => choices.map((choice) => choice.finish_reason).filter(Boolean);

// The calls of a stream, put together as a client does: by their index.
const streamedCalls = async (request) => {
  const choices = await chosen(request);
  const calls = new Map();
  let isWellBegun = true;
  for (const delta of choices.flatMap((choice) => choice.delta.tool_calls ?? [])) {
    if (!calls.has(delta.index)) {
      calls.set(delta.index, [delta.function.name, '']);
      isWellBegun &&= Boolean(delta.id && delta.type === 'function' && delta.function.name)
        && typeof delta.function.arguments === 'string';
    }
    calls.get(delta.index)[1] += delta.function.arguments ?? '';
  }
  return {
    calls: [...calls.values()].map(([name, text]) => [name, JSON.parse(text)]),
    is_well_begun: isWellBegun,
    finish_reasons: reasons(choices),
  };
};

// An exception of a case that may also have an answer.
const unless = async (call) => {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { class: error.constructor.name, code: error.code ?? null };
  }
};

const streamedFailure = async (word) => {
  let seen = 0;
  const found = await failing(async () => {
    const stream = await completions.create({ model: 'demo', messages: user(`/error ${word}`), stream: true });
    for await (const _chunk of stream) seen += 1;
  });
  return { class: found.class, has_message: found.has_message, has_chunks_before: seen > 0 };
};

const CASES = {
  async chat() {
    const answer = await completions.create({ model: 'demo', messages: user('/echo Hello big world') });
    const [choice] = answer.choices;
    return {
      object: answer.object,
      model: answer.model,
      role: choice.message.role,
      content: choice.message.content,
      finish_reason: choice.finish_reason,
      completion_tokens: answer.usage.completion_tokens,
      usage_adds_up: addsUp(answer.usage),
      has_request_id: Boolean(answer._request_id),
    };
  },

  async chinese() {
    const answer = await completions.create({ model: 'qwen3:32b', messages: user('你好,请用一句话介绍你自己') });
    const { message } = answer.choices[0];
    return {
      answers_in_chinese: message.content.includes('模拟'),
      reasons: (message.reasoning ?? '').includes('模拟'),
    };
  },

  async nulls() {
    const answer = await completions.create({
      model: 'demo', messages: user('/echo ok'), stop: null, max_tokens: null, temperature: null,
    });
    return { content: answer.choices[0].message.content };
  },

  async limits() {
    const answer = await completions.create({ model: 'demo', messages: user('/long 50'), max_completion_tokens: 5 });
    return { finish_reason: answer.choices[0].finish_reason, completion_tokens: answer.usage.completion_tokens };
  },

  async request_id() {
    const headers = { 'x-request-id': 'req_of_the_client' };
    const answer = await completions.create({ model: 'demo', messages: user('/echo ok') }, { headers });
    return { request_id: answer._request_id };
  },

  async stream() {
    const messages = user('/echo Hello big world');
    const chunks = await collect(await completions.create({ model: 'demo', messages, stream: true }));
    const choices = chunks.flatMap((chunk) => chunk.choices.slice(0, 1));
    return {
      content: choices.map((choice) => choice.delta.content ?? '').join(''),
      roles: choices.map((choice) => choice.delta.role).filter(Boolean),
      finish_reasons: choices.map((choice) => choice.finish_reason).filter(Boolean),
      ids: new Set(chunks.map((chunk) => chunk.id)).size,
      objects: [...new Set(chunks.map((chunk) => chunk.object))].sort(),
      has_usage: chunks.some((chunk) => chunk.usage),
    };
  },

  async stream_usage() {
    const chunks = await collect(await completions.create({
      model: 'demo', messages: user('/echo Hello big world'), stream: true, stream_options: { include_usage: true },
    }));
    const last = chunks.at(-1);
    return {
      chunks_with_usage: chunks.filter((chunk) => chunk.usage).length,
      is_last: Boolean(last.usage),
      choices: last.choices.length,
      completion_tokens: last.usage.completion_tokens,
      usage_adds_up: addsUp(last.usage),
    };
  },

  async stream_helper() {
    const stream = completions.stream({ model: 'demo', messages: user('/echo Hello big world') });
    let deltas = '';
    stream.on('content', (delta) => { deltas += delta; });
    const final = await stream.finalChatCompletion();
    const { message, finish_reason } = final.choices[0];
    return { deltas, content: message.content, role: message.role, finish_reason };
  },

  async tools() {
    const messages = user('What is the weather in Oslo?');
    const answer = await completions.create({ model: 'demo', messages, tools: [WEATHER] });
    const { message, finish_reason } = answer.choices[0];
    const [call] = message.tool_calls;
    messages.push(message, { role: 'tool', tool_call_id: call.id, content: '12 degrees' });
    const second = await completions.create({ model: 'demo', messages, tools: [WEATHER] });
    return {
      finish_reason,
      calls: message.tool_calls.length,
      type: call.type,
      has_id: Boolean(call.id),
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
      tells_the_result: second.choices[0].message.content.includes('get_weather: 12 degrees'),
    };
  },

  async tools_helper() {
    const messages = user('What is the weather in Oslo?');
    const stream = completions.stream({ model: 'qwen3:32b', messages, tools: [WEATHER] });
    const final = await stream.finalChatCompletion();
    const { message, finish_reason } = final.choices[0];
    const [call] = message.tool_calls;
    return {
      finish_reason,
      calls: message.tool_calls.length,
      ids: call.id.split('call_').length - 1,
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
    };
  },

  async json_schema() {
    const messages = user('Somebody, please.');
    const answer = await completions.create({ model: 'demo', messages, response_format: SCHEMA });
    const person = JSON.parse(answer.choices[0].message.content);
    return { keys: Object.keys(person).sort(), age_is_integer: Number.isInteger(person.age) };
  },

  async parse_helper() {
    // The helper parses where the format has a parser of its own, as those made from a schema library have.
    const format = { ...SCHEMA };
    Object.defineProperties(format, {
      $brand: { value: 'auto-parseable-response-format', enumerable: false },
      $parseRaw: { value: (text) => JSON.parse(text), enumerable: false },
    });
    const messages = user('Somebody, please.');
    const answer = await completions.parse({ model: 'demo', messages, response_format: format });
    return { is_parsed: typeof answer.choices[0].message.parsed?.name === 'string' };
  },

  async tools_parallel() {
    const messages = user('The weather in Oslo, by mail, please.');
    const answer = await completions.create({ model: 'demo', messages, tools: [WEATHER, MAIL] });
    const calls = answer.choices[0].message.tool_calls;
    return {
      names: calls.map((call) => call.function.name),
      ids: new Set(calls.map((call) => call.id)).size,
      finish_reason: answer.choices[0].finish_reason,
    };
  },

  tools_stream() {
    const messages = user('The weather in Oslo, by mail, please.');
    return streamedCalls({ model: 'demo', messages, tools: [WEATHER, MAIL] });
  },

  async tools_not_chosen() {
    const answer = await completions.create({ model: 'demo', messages: user('Hello'), tools: [WEATHER] });
    const { message, finish_reason } = answer.choices[0];
    return { calls: (message.tool_calls ?? []).length, says: message.content.includes('simulated'), finish_reason };
  },

  async tools_not_chosen_stream() {
    const choices = await chosen({ model: 'demo', messages: user('Hello'), tools: [WEATHER] });
    return {
      calls: choices.flatMap((choice) => choice.delta.tool_calls ?? []).length,
      says: joined(choices, 'content').includes('simulated'),
      finish_reasons: reasons(choices),
    };
  },

  // A call that breaks off: an answer that says it was cut, or an error; never a call that counts as one.
  tools_broken() {
    return unless(async () => {
      const answer = await completions.create({ model: 'demo', messages: user('/error call'), tools: [WEATHER] });
      const { message, finish_reason } = answer.choices[0];
      return {
        calls: (message.tool_calls ?? []).length, leaks: (message.content ?? '').includes('tool_call'), finish_reason,
      };
    });
  },

  tools_broken_stream() {
    return unless(async () => {
      const choices = await chosen({ model: 'demo', messages: user('/error call'), tools: [WEATHER] });
      return { leaks: joined(choices, 'content').includes('tool_call'), finish_reasons: reasons(choices) };
    });
  },

  async tools_required() {
    const messages = user('Hello');
    const answer = await completions.create({ model: 'demo', messages, tools: [WEATHER], tool_choice: 'required' });
    const { message, finish_reason } = answer.choices[0];
    return { names: (message.tool_calls ?? []).map((call) => call.function.name), finish_reason };
  },

  async tools_named_stream() {
    const named = { type: 'function', function: { name: 'send_mail' } };
    const request = { model: 'demo', messages: user('Hello'), tools: [WEATHER, MAIL], tool_choice: named };
    const found = await streamedCalls(request);
    return { ...found, calls: found.calls.map(([name]) => name) };
  },

  async reasoning_stream() {
    const choices = await chosen({ model: 'qwen3:32b', messages: user('Hello') });
    const [thoughts, content] = [joined(choices, 'reasoning'), joined(choices, 'content')];
    const first = (field) => choices.findIndex((choice) => choice.delta[field]);
    return {
      reasons: thoughts.includes('simulation'),
      says: content.includes('simulated'),
      has_tags: (content + thoughts).includes('think>'),
      thinks_first: first('content') > first('reasoning'),
      begins_with_a_blank: /^\s/.test(content),
    };
  },

  async reasoning_off() {
    const request = { model: 'qwen3:32b', messages: user('Hello'), reasoning_effort: 'none' };
    const { message } = (await completions.create(request)).choices[0];
    return {
      reasons: Boolean(message.reasoning),
      says: message.content.includes('simulated'),
      has_tags: message.content.includes('think>'),
    };
  },

  async json_schema_stream() {
    const choices = await chosen({ model: 'demo', messages: user('Somebody, please.'), response_format: SCHEMA });
    return { keys: Object.keys(JSON.parse(joined(choices, 'content'))).sort() };
  },

  async logprobs() {
    const request = { model: 'qwen3:32b', messages: user('Hello'), logprobs: true, top_logprobs: 2 };
    const { message, logprobs } = (await completions.create(request)).choices[0];
    const tokens = logprobs.content.map((entry) => entry.token).join('');
    return {
      is_of_the_content: tokens.trim() === message.content.trim(),
      alternatives: [...new Set(logprobs.content.map((entry) => entry.top_logprobs.length))].sort(),
    };
  },

  async logprobs_stream() {
    const request = { model: 'qwen3:32b', messages: user('Hello'), logprobs: true, top_logprobs: 1 };
    const choices = await chosen(request);
    const tokens = choices.flatMap((choice) => choice.logprobs?.content ?? []).map((entry) => entry.token).join('');
    return { is_of_the_content: tokens.trim() === joined(choices, 'content').trim() };
  },

  async stop_text() {
    const answer = await completions.create({ model: 'demo', messages: user('/echo one two three'), stop: 'two' });
    const { message, finish_reason } = answer.choices[0];
    return { content: message.content, finish_reason };
  },

  async stop_text_stream() {
    const choices = await chosen({ model: 'demo', messages: user('/echo one two three'), stop: ['two'] });
    return { content: joined(choices, 'content'), finish_reasons: reasons(choices) };
  },

  async many_tokens() {
    const answer = await completions.create({ model: 'demo', messages: user('/long 3000'), max_tokens: 1100 });
    const { message, finish_reason } = answer.choices[0];
    const words = message.content.split(/\s+/).filter(Boolean).length;
    return { finish_reason, completion_tokens: answer.usage.completion_tokens, words };
  },

  // Every default, sent as a value.
  async defaults_of_openai() {
    const answer = await completions.create({
      model: 'demo', messages: user('/echo ok'), temperature: 1, top_p: 1, n: 1, presence_penalty: 0,
      frequency_penalty: 0, logit_bias: {}, logprobs: false, parallel_tool_calls: true,
      response_format: { type: 'text' }, user: 'somebody', store: false, service_tier: 'auto', tools: [],
    });
    return { content: answer.choices[0].message.content };
  },

  async greedy() {
    const answer = await completions.create({
      model: 'demo', messages: user('/echo ok'), temperature: 0, seed: -1, presence_penalty: 0.5,
    });
    return { content: answer.choices[0].message.content };
  },

  async models() {
    const list = await client.models.list();
    const retrieved = await client.models.retrieve('qwen3:32b');
    return { ids: list.data.map((model) => model.id).sort(), retrieved: retrieved.id };
  },

  wrong_key() {
    const stranger = client.withOptions({ apiKey: 'sk-of-a-stranger' });
    return failing(() => stranger.chat.completions.create({ model: 'demo', messages: user('hi') }));
  },

  no_messages() {
    return failing(() => completions.create({ model: 'demo', messages: [] }));
  },

  async two_choices() {
    const contents = [];
    const found = await failing(async () => {
      const answer = await completions.create({ model: 'demo', messages: user('/echo hi'), n: 2 });
      contents.push(...answer.choices.map((choice) => choice.message.content));
    });
    return { ...found, contents };
  },

  unknown_model() {
    return failing(() => completions.create({ model: 'gpt-nonsense', messages: user('hi') }));
  },

  unknown_model_in_a_stream() {
    return failing(() => completions.create({ model: 'gpt-nonsense', messages: user('hi'), stream: true }));
  },

  unknown_model_retrieved() {
    return failing(() => client.models.retrieve('gpt-nonsense'));
  },

  failed_model_server() {
    return failing(() => completions.create({ model: 'demo', messages: user('/error 500') }));
  },

  broken_answer() {
    return failing(() => completions.create({ model: 'demo', messages: user('/error mid') }));
  },

  broken_stream() {
    return streamedFailure('mid');
  },

  truncated_stream() {
    return streamedFailure('truncate');
  },

  failed_before_a_stream() {
    return failing(() => chosen({ model: 'demo', messages: user('/error 500') }));
  },

  overload() {
    return failing(() => completions.create({ model: 'demo', messages: user('/error 429') }));
  },

  overload_in_a_stream() {
    return failing(() => chosen({ model: 'demo', messages: user('/error 429') }));
  },

  page_of_a_proxy() {
    return failing(() => completions.create({ model: 'demo', messages: user('/error html') }));
  },

  stopped_server() {
    return streamedFailure('abort');
  },

  async completion() {
    const answer = await client.completions.create({ model: 'demo', prompt: '/echo Hello big world' });
    const [choice] = answer.choices;
    return {
      object: answer.object,
      model: answer.model,
      text: choice.text,
      finish_reason: choice.finish_reason,
      usage_adds_up: addsUp(answer.usage),
    };
  },

  async completion_stream() {
    const request = { model: 'demo', prompt: '/echo Hello big world', stream: true };
    const chunks = await collect(await client.completions.create(request));
    const choices = chunks.flatMap((chunk) => chunk.choices);
    return {
      text: choices.map((choice) => choice.text).join(''),
      finish_reasons: reasons(choices),
      has_usage: chunks.some((chunk) => chunk.usage),
      ids: new Set(chunks.map((chunk) => chunk.id)).size,
    };
  },

  async completion_limit() {
    const chunks = await collect(await client.completions.create({
      model: 'demo', prompt: '/long 50', max_tokens: 5, stream: true, stream_options: { include_usage: true },
    }));
    const choices = chunks.flatMap((chunk) => chunk.choices);
    return { finish_reasons: reasons(choices), completion_tokens: chunks.at(-1).usage.completion_tokens };
  },

  embeddings() {
    return unless(async () => {
      const answer = await client.embeddings.create({ model: 'embed', input: ['one', 'two'] });
      const floats = await client.embeddings.create({ model: 'embed', input: 'one', encoding_format: 'float' });
      const [decoded, plain] = [answer.data[0].embedding, floats.data[0].embedding];
      return {
        object: answer.object,
        model: answer.model,
        indexes: answer.data.map((entry) => entry.index),
        dimensions: [...new Set(answer.data.map((entry) => entry.embedding.length))].sort(),
        is_the_same_as_floats: decoded.every((value, at) => Math.abs(value - plain[at]) < 1e-6),
        counts: answer.usage.prompt_tokens > 0,
      };
    });
  },

  embeddings_short() {
    return unless(async () => {
      const answer = await client.embeddings.create({ model: 'embed', input: 'one', dimensions: 8 });
      return { dimensions: answer.data[0].embedding.length };
    });
  },

  embeddings_of_a_chat_model() {
    return failing(() => client.embeddings.create({ model: 'demo', input: 'one' }));
  },

  embeddings_of_nothing() {
    return failing(() => client.embeddings.create({ model: 'embed', input: [] }));
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
