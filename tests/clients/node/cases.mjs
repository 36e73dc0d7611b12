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

// Where the model server is no simulated one: its words and models in place of those here, and what each request needs.
const SERVER = JSON.parse(process.env.MODEL_SERVER ?? '{}');

const real = (word) => SERVER.words?.[word] ?? word;

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
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
// A model that knows one tool only is offered no other.
const BOTH = real('send_mail') === 'get_weather' ? [WEATHER] : [WEATHER, MAIL];
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

const asksWith = (messages, model = 'demo') => ({ model: real(model), messages, ...SERVER.parameters });

const asks = (text, model = 'demo') => asksWith([{ role: 'user', content: real(text) }], model);

const completes = (text) => ({
  model: real('demo'),
  prompt: (SERVER.template ?? '{}').replace('{}', real(text)),
  ...SERVER.parameters,
});

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
    const stream = await completions.create({ ...asks(`/error ${word}`), stream: true });
    for await (const _chunk of stream) seen += 1;
  });
  return { class: found.class, has_message: found.has_message, has_chunks_before: seen > 0 };
};

const CASES = {
  async chat() {
    const answer = await completions.create(asks('/echo Hello big world'));
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
    const answer = await completions.create(asks('你好,请用一句话介绍你自己', 'qwen3:32b'));
    const { message } = answer.choices[0];
    return {
      answers_in_chinese: message.content.includes(real('模拟回答')),
      reasons: (message.reasoning ?? '').includes(real('模拟程序')),
    };
  },

  async nulls() {
    const answer = await completions.create({
      ...asks('/echo ok'), stop: null, max_tokens: null, temperature: null,
    });
    return { content: answer.choices[0].message.content };
  },

  async limits() {
    const answer = await completions.create({ ...asks('/long 50'), max_completion_tokens: 5 });
    return { finish_reason: answer.choices[0].finish_reason, completion_tokens: answer.usage.completion_tokens };
  },

  async request_id() {
    const headers = { 'x-request-id': 'req_of_the_client' };
    const answer = await completions.create({ ...asks('/echo ok') }, { headers });
    return { request_id: answer._request_id };
  },

  async stream() {
    const chunks = await collect(await completions.create({ ...asks('/echo Hello big world'), stream: true }));
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
      ...asks('/echo Hello big world'), stream: true, stream_options: { include_usage: true },
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
    const stream = completions.stream({ ...asks('/echo Hello big world') });
    let deltas = '';
    stream.on('content', (delta) => { deltas += delta; });
    const final = await stream.finalChatCompletion();
    const { message, finish_reason } = final.choices[0];
    return { deltas, content: message.content, role: message.role, finish_reason };
  },

  async tools() {
    const asked = { ...asks('What is the weather in Oslo?'), tools: [WEATHER] };
    const answer = await completions.create(asked);
    const { message, finish_reason } = answer.choices[0];
    const [call] = message.tool_calls;
    asked.messages.push(message, { role: 'tool', tool_call_id: call.id, content: real('12 degrees') });
    const second = await completions.create(asked);
    return {
      finish_reason,
      calls: message.tool_calls.length,
      type: call.type,
      has_id: Boolean(call.id),
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
      tells_the_result: second.choices[0].message.content.includes(real('get_weather: 12 degrees')),
    };
  },

  async tools_helper() {
    const stream = completions.stream({ ...asks('What is the weather in Oslo?', 'qwen3:32b'), tools: [WEATHER] });
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
    const answer = await completions.create({ ...asks('Somebody, please.'), response_format: SCHEMA });
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
    const answer = await completions.parse({ ...asks('Somebody, please.'), response_format: format });
    return { is_parsed: typeof answer.choices[0].message.parsed?.name === 'string' };
  },

  async tools_parallel() {
    const request = { ...asks('The weather in Oslo, by mail, please.'), tools: BOTH };
    const answer = await completions.create(request);
    const calls = answer.choices[0].message.tool_calls;
    return {
      names: calls.map((call) => call.function.name),
      ids: new Set(calls.map((call) => call.id)).size,
      finish_reason: answer.choices[0].finish_reason,
    };
  },

  tools_stream() {
    return streamedCalls({ ...asks('The weather in Oslo, by mail, please.'), tools: BOTH });
  },

  async tools_not_chosen() {
    const answer = await completions.create({ ...asks('Hello'), tools: [WEATHER] });
    const { message, finish_reason } = answer.choices[0];
    return { calls: (message.tool_calls ?? []).length, says: message.content.includes(real('simulated')), finish_reason };
  },

  async tools_not_chosen_stream() {
    const choices = await chosen({ ...asks('Hello'), tools: [WEATHER] });
    return {
      calls: choices.flatMap((choice) => choice.delta.tool_calls ?? []).length,
      says: joined(choices, 'content').includes(real('simulated')),
      finish_reasons: reasons(choices),
    };
  },

  // A call that breaks off: an answer that says it was cut, or an error; never a call that counts as one.
  tools_broken() {
    return unless(async () => {
      const answer = await completions.create({ ...asks('/error call'), tools: [WEATHER] });
      const { message, finish_reason } = answer.choices[0];
      return {
        calls: (message.tool_calls ?? []).length, leaks: (message.content ?? '').includes('tool_call'), finish_reason,
      };
    });
  },

  tools_broken_stream() {
    return unless(async () => {
      const choices = await chosen({ ...asks('/error call'), tools: [WEATHER] });
      return { leaks: joined(choices, 'content').includes('tool_call'), finish_reasons: reasons(choices) };
    });
  },

  async tools_required() {
    const request = { ...asks('A tool, please.'), tools: [WEATHER], tool_choice: 'required' };
    const answer = await completions.create(request);
    const { message, finish_reason } = answer.choices[0];
    return { names: (message.tool_calls ?? []).map((call) => call.function.name), finish_reason };
  },

  async tools_named_stream() {
    const named = { type: 'function', function: { name: real('send_mail') } };
    const request = { ...asks('A mail, please.'), tools: BOTH, tool_choice: named };
    const found = await streamedCalls(request);
    return { ...found, calls: found.calls.map(([name]) => name) };
  },

  async reasoning_stream() {
    const choices = await chosen(asks('Hello', 'qwen3:32b'));
    const [thoughts, content] = [joined(choices, 'reasoning'), joined(choices, 'content')];
    const first = (field) => choices.findIndex((choice) => choice.delta[field]);
    return {
      reasons: thoughts.includes(real('simulation')),
      says: content.includes(real('simulated')),
      has_tags: (content + thoughts).includes('think>'),
      thinks_first: first('content') > first('reasoning'),
      begins_with_a_blank: /^\s/.test(content),
    };
  },

  async reasoning_off() {
    const request = { ...asks('Hello', 'qwen3:32b'), reasoning_effort: 'none' };
    const { message } = (await completions.create(request)).choices[0];
    return {
      reasons: Boolean(message.reasoning),
      says: message.content.includes(real('simulated')),
      has_tags: message.content.includes('think>'),
    };
  },

  async json_schema_stream() {
    const choices = await chosen({ ...asks('Somebody, please.'), response_format: SCHEMA });
    return { keys: Object.keys(JSON.parse(joined(choices, 'content'))).sort() };
  },

  async logprobs() {
    const request = { ...asks('Hello', 'qwen3:32b'), logprobs: true, top_logprobs: 2 };
    const { message, logprobs } = (await completions.create(request)).choices[0];
    const tokens = logprobs.content.map((entry) => entry.token).join('');
    return {
      is_of_the_content: tokens.trim() === message.content.trim(),
      alternatives: [...new Set(logprobs.content.map((entry) => entry.top_logprobs.length))].sort(),
    };
  },

  async logprobs_stream() {
    const request = { ...asks('Hello', 'qwen3:32b'), logprobs: true, top_logprobs: 1 };
    const choices = await chosen(request);
    const tokens = choices.flatMap((choice) => choice.logprobs?.content ?? []).map((entry) => entry.token).join('');
    return { is_of_the_content: tokens.trim() === joined(choices, 'content').trim() };
  },

  async stop_text() {
    const answer = await completions.create({ ...asks('/echo one two three'), stop: real('two') });
    const { message, finish_reason } = answer.choices[0];
    return { content: message.content, finish_reason };
  },

  async stop_text_stream() {
    const choices = await chosen({ ...asks('/echo one two three'), stop: [real('two')] });
    return { content: joined(choices, 'content'), finish_reasons: reasons(choices) };
  },

  async many_tokens() {
    const answer = await completions.create({ ...asks('/long 3000'), max_tokens: Number(real('1100')) });
    const { message, finish_reason } = answer.choices[0];
    const words = message.content.split(/\s+/).filter(Boolean).length;
    return { finish_reason, completion_tokens: answer.usage.completion_tokens, words };
  },

  // Every default, sent as a value.
  async defaults_of_openai() {
    const answer = await completions.create({
      ...asks('/echo ok'), temperature: 1, top_p: 1, n: 1, presence_penalty: 0,
      frequency_penalty: 0, logit_bias: {}, logprobs: false, parallel_tool_calls: true,
      response_format: { type: 'text' }, user: 'somebody', store: false, service_tier: 'auto', tools: [],
    });
    return { content: answer.choices[0].message.content };
  },

  async greedy() {
    const answer = await completions.create({
      ...asks('/echo ok'), temperature: 0, seed: -1, presence_penalty: 0.5,
    });
    return { content: answer.choices[0].message.content };
  },

  async models() {
    const list = await client.models.list();
    const retrieved = await client.models.retrieve(real('qwen3:32b'));
    return { ids: list.data.map((model) => model.id).sort(), retrieved: retrieved.id };
  },

  wrong_key() {
    const stranger = client.withOptions({ apiKey: 'sk-of-a-stranger' });
    return failing(() => stranger.chat.completions.create(asks('hi')));
  },

  no_messages() {
    return failing(() => completions.create(asksWith([])));
  },

  async two_choices() {
    const contents = [];
    const found = await failing(async () => {
      const answer = await completions.create({ ...asks('/echo hi'), n: 2 });
      contents.push(...answer.choices.map((choice) => choice.message.content));
    });
    return { ...found, contents };
  },

  unknown_model() {
    return failing(() => completions.create(asks('hi', 'gpt-nonsense')));
  },

  unknown_model_in_a_stream() {
    return failing(() => completions.create({ ...asks('hi', 'gpt-nonsense'), stream: true }));
  },

  unknown_model_retrieved() {
    return failing(() => client.models.retrieve('gpt-nonsense'));
  },

  failed_model_server() {
    return failing(() => completions.create(asks('/error 500')));
  },

  broken_answer() {
    return failing(() => completions.create(asks('/error mid')));
  },

  broken_stream() {
    return streamedFailure('mid');
  },

  truncated_stream() {
    return streamedFailure('truncate');
  },

  failed_before_a_stream() {
    return failing(() => chosen(asks('/error 500')));
  },

  overload() {
    return failing(() => completions.create(asks('/error 429')));
  },

  overload_in_a_stream() {
    return failing(() => chosen(asks('/error 429')));
  },

  page_of_a_proxy() {
    return failing(() => completions.create(asks('/error html')));
  },

  stopped_server() {
    return streamedFailure('abort');
  },

  async completion() {
    const answer = await client.completions.create(completes('/echo Hello big world'));
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
    const request = { ...completes('/echo Hello big world'), stream: true };
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
      ...completes('/long 50'), max_tokens: 5, stream: true, stream_options: { include_usage: true },
    }));
    const choices = chunks.flatMap((chunk) => chunk.choices);
    return { finish_reasons: reasons(choices), completion_tokens: chunks.at(-1).usage.completion_tokens };
  },

  embeddings() {
    return unless(async () => {
      const answer = await client.embeddings.create({ model: real('embed'), input: ['one', 'two'] });
      const floats = await client.embeddings.create({ model: real('embed'), input: 'one', encoding_format: 'float' });
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
      const answer = await client.embeddings.create({ model: real('embed'), input: 'one', dimensions: 8 });
      return { dimensions: answer.data[0].embedding.length };
    });
  },

  embeddings_of_a_chat_model() {
    return failing(() => client.embeddings.create({ model: real('demo'), input: 'one' }));
  },

  embeddings_of_nothing() {
    return failing(() => client.embeddings.create({ model: real('embed'), input: [] }));
  },
};

for (const [name, run] of Object.entries(CASES)) {
  if (SERVER.left_out?.includes(name)) continue;
  let found;
  try {
    found = await run();
  } catch (error) {
    found = { unexpected: error.stack ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify({ case: name, found })}\n`);
}
