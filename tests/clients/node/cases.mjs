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

  two_choices() {
    return failing(() => completions.create({ model: 'demo', messages: user('hi'), n: 2 }));
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
