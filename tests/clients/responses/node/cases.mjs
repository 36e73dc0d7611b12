// What the official Node.js client makes of the gateway's Responses API.
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

const WEATHER = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: null,
};
const MAIL = {
  type: 'function',
  name: 'send_mail',
  description: 'Sends a mail.',
  parameters: { type: 'object', properties: { subject: { type: 'string' } }, required: ['subject'] },
  strict: null,
};
const SCHEMA = {
  type: 'json_schema',
  name: 'person',
  strict: true,
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer' } },
    required: ['name', 'age'],
    additionalProperties: false,
  },
};

const create = (request) => client.responses.create({ model: 'demo', ...request });

const eventsOf = async (request) => {
  const events = [];
  for await (const event of await create({ stream: true, ...request })) events.push(event);
  return events;
};

const types = (response) => response.output.map((item) => item.type);

const deltas = (events, name) =>
  events
    .filter((event) => event.type === `response.${name}.delta`)
    .map((event) => event.delta)
    .join('');

const textOf = (response) =>
  response.output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => part.text ?? '')
    .join('');

const addsUp = (usage) => usage.input_tokens > 0 && usage.input_tokens + usage.output_tokens === usage.total_tokens;

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
  const last = (await eventsOf({ input: `/error ${word}` })).at(-1);
  return {
    last: last.type,
    status: last.response.status,
    has_error: Boolean(last.response.error.code && last.response.error.message),
    item: last.response.output.at(-1).status,
  };
};

const CASES = {
  async text() {
    const response = await create({ input: '/echo Hello big world', metadata: { a: 'b' }, temperature: 0.5 });
    return {
      object: response.object,
      model: response.model,
      status: response.status,
      output_text: response.output_text,
      types: types(response),
      store: response.store,
      metadata: response.metadata,
      temperature: response.temperature,
      usage_adds_up: addsUp(response.usage),
      has_request_id: Boolean(response._request_id),
    };
  },

  async items() {
    const response = await create({
      instructions: 'Answer in one word.',
      input: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Hi.' },
        { role: 'user', content: [{ type: 'input_text', text: '/echo one' }] },
      ],
      store: false,
      user: 'somebody',
      truncation: 'disabled',
    });
    return { output_text: response.output_text, instructions: response.instructions };
  },

  async limits() {
    const response = await create({ input: '/long 50', max_output_tokens: 16 });
    return {
      status: response.status,
      reason: response.incomplete_details.reason,
      output_tokens: response.usage.output_tokens,
      item: response.output[0].status,
    };
  },

  async request_id() {
    const headers = { 'x-request-id': 'req_of_the_client' };
    const response = await client.responses.create({ model: 'demo', input: '/echo ok' }, { headers });
    return { request_id: response._request_id };
  },

  async stream() {
    const events = await eventsOf({ input: '/echo Hello big world' });
    const last = events.at(-1);
    return {
      first: events.slice(0, 4).map((event) => event.type),
      last: last.type,
      deltas: deltas(events, 'output_text'),
      output_text: textOf(last.response),
      is_numbered: events.every((event, at) => event.sequence_number === at),
      ids: new Set(events.filter((event) => event.response).map((event) => event.response.id)).size,
      usage_adds_up: addsUp(last.response.usage),
    };
  },

  async stream_helper() {
    const stream = client.responses.stream({ model: 'demo', input: '/echo Hello big world' });
    const texts = [];
    stream.on('response.output_text.delta', (event) => texts.push(event.delta));
    const final = await stream.finalResponse();
    return { deltas: texts.join(''), output_text: textOf(final), status: final.status };
  },

  async cut_stream() {
    const last = (await eventsOf({ input: '/long 50', max_output_tokens: 16 })).at(-1);
    return { last: last.type, reason: last.response.incomplete_details.reason };
  },

  async tools() {
    const asked = [{ role: 'user', content: 'What is the weather in Oslo?' }];
    const response = await create({ input: asked, tools: [WEATHER] });
    const call = response.output.at(-1);
    asked.push(...response.output);
    asked.push({ type: 'function_call_output', call_id: call.call_id, output: '12 degrees' });
    const second = await create({ input: asked, tools: [WEATHER] });
    return {
      type: call.type,
      status: call.status,
      name: call.name,
      arguments: JSON.parse(call.arguments),
      has_ids: Boolean(call.id && call.call_id),
      tells_the_result: second.output_text.includes('get_weather: 12 degrees'),
    };
  },

  async tools_helper() {
    const stream = client.responses.stream({
      model: 'qwen3:32b',
      input: 'What is the weather in Oslo?',
      tools: [WEATHER],
      reasoning: { effort: 'low' },
    });
    const call = (await stream.finalResponse()).output.at(-1);
    return { type: call.type, name: call.name, arguments: JSON.parse(call.arguments) };
  },

  async tools_parallel() {
    const input = 'The weather in Oslo, by mail, please.';
    const events = await eventsOf({ input, tools: [WEATHER, MAIL], tool_choice: 'auto' });
    const done = events.filter((event) => event.type === 'response.function_call_arguments.done');
    const final = events.at(-1).response.output.filter((item) => item.type === 'function_call');
    return {
      names: final.map((item) => item.name),
      call_ids: new Set(final.map((item) => item.call_id)).size,
      is_the_same:
        JSON.stringify(done.map((event) => event.arguments)) === JSON.stringify(final.map((item) => item.arguments)),
    };
  },

  async tools_not_chosen() {
    const response = await create({ input: 'Hello', tools: [WEATHER] });
    return { types: types(response), says: response.output_text.includes('simulated') };
  },

  async allowed_tools() {
    const response = await create({
      input: 'The weather in Oslo, by mail, please.',
      tools: [WEATHER, MAIL],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'send_mail' }] },
    });
    return { names: response.output.filter((item) => item.type === 'function_call').map((item) => item.name) };
  },

  async reasoning() {
    const response = await create({ model: 'qwen3:32b', input: 'Hello' });
    const item = response.output[0];
    return {
      types: types(response),
      reasons: item.content[0].text.includes('simulation'),
      summary: item.summary.length,
      is_encrypted: Boolean(item.encrypted_content),
      says: response.output_text.includes('simulated'),
    };
  },

  async reasoning_stream() {
    const events = await eventsOf({ model: 'qwen3:32b', input: 'Hello' });
    const final = events.at(-1).response;
    return {
      types: types(final),
      is_the_same: deltas(events, 'reasoning_text') === final.output[0].content[0].text,
      says: deltas(events, 'output_text').includes('simulated'),
    };
  },

  async reasoning_summary() {
    const events = await eventsOf({ model: 'qwen3:32b', input: 'Hello', reasoning: { summary: 'auto' } });
    const item = events.at(-1).response.output[0];
    return {
      is_the_same: deltas(events, 'reasoning_summary_text') === item.summary[0].text,
      reasons: item.summary[0].text.includes('simulation'),
      content: (item.content ?? []).length,
    };
  },

  async reasoning_encrypted() {
    const request = { model: 'qwen3:32b', store: false, include: ['reasoning.encrypted_content'] };
    const asked = [{ role: 'user', content: 'Hello' }];
    const first = await create({ ...request, input: asked });
    asked.push(...first.output, { role: 'user', content: '/echo ok' });
    const second = await create({ ...request, input: asked });
    return { is_encrypted: Boolean(first.output[0].encrypted_content), output_text: second.output_text };
  },

  async reasoning_off() {
    const response = await create({ model: 'qwen3:32b', input: 'Hello', reasoning: { effort: 'none' } });
    return { types: types(response), says: response.output_text.includes('simulated') };
  },

  async json_schema() {
    const response = await create({ input: 'Somebody, please.', text: { format: SCHEMA } });
    const person = JSON.parse(response.output_text);
    return { keys: Object.keys(person).sort(), age_is_integer: Number.isInteger(person.age) };
  },

  async parse_helper() {
    // The helper parses where the format has a parser of its own, as those made from a schema library have.
    const format = { ...SCHEMA };
    Object.defineProperties(format, {
      $brand: { value: 'auto-parseable-response-format', enumerable: false },
      $parseRaw: { value: (text) => JSON.parse(text), enumerable: false },
    });
    const response = await client.responses.parse({ model: 'demo', input: 'Somebody, please.', text: { format } });
    return { is_parsed: typeof response.output_parsed?.name === 'string' };
  },

  async logprobs() {
    const include = ['message.output_text.logprobs'];
    const response = await create({ model: 'qwen3:32b', input: 'Hello', include, top_logprobs: 2 });
    const entries = response.output.at(-1).content[0].logprobs;
    const tokens = entries.map((entry) => entry.token).join('');
    return {
      is_of_the_text: tokens.trim() === response.output_text.trim(),
      alternatives: [...new Set(entries.map((entry) => entry.top_logprobs.length))].sort(),
    };
  },

  previous_response: () => failing(() => create({ input: 'Hello', previous_response_id: 'resp_1' })),
  built_in_tool: () => failing(() => create({ input: 'Hello', tools: [{ type: 'web_search' }] })),
  retrieved: () => failing(() => client.responses.retrieve('resp_1')),

  wrong_key() {
    const stranger = client.withOptions({ apiKey: 'sk-of-a-stranger' });
    return failing(() => stranger.responses.create({ model: 'demo', input: 'hi' }));
  },

  unknown_model: () => failing(() => create({ model: 'gpt-nonsense', input: 'hi' })),
  unknown_model_in_a_stream: () => failing(() => eventsOf({ model: 'gpt-nonsense', input: 'hi' })),
  failed_model_server: () => failing(() => create({ input: '/error 500' })),
  failed_before_a_stream: () => failing(() => eventsOf({ input: '/error 500' })),
  overload: () => failing(() => create({ input: '/error 429' })),
  broken_response: () => failing(() => create({ input: '/error mid' })),
  broken_stream: () => streamedFailure('mid'),
  truncated_stream: () => streamedFailure('truncate'),
  stopped_server: () => streamedFailure('abort'),
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
