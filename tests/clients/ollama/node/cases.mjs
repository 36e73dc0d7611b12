// What Ollama's own JavaScript client makes of the responses of the front `ollama-api`.
//
// Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.

import { Ollama } from 'ollama'

const host = process.env.GATEWAY_URL
const client = new Ollama({ host, headers: { authorization: `Bearer ${process.env.GATEWAY_KEY}` } })
const stranger = new Ollama({ host, headers: { authorization: 'Bearer sk-of-a-stranger' } })

// One transparent pixel.
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
}

const tool = (name, parameter) => ({
  type: 'function',
  function: {
    name,
    description: `The function ${name}.`,
    parameters: { type: 'object', properties: { [parameter]: { type: 'string' } }, required: [parameter] },
  },
})
const WEATHER = tool('get_weather', 'city')
const MAIL = tool('send_mail', 'subject')

const user = (content) => [{ role: 'user', content }]
const sorted = (values) => [...new Set(values)].sort()

async function failing(call) {
  try {
    await call()
  } catch (error) {
    return { status: error.status_code ?? null, message: error.message }
  }
  return { status: 200 }
}

async function collect(stream) {
  const lines = []
  for await (const line of await stream) lines.push(line)
  return lines
}

const figures = (response) => ({
  counts: response.prompt_eval_count > 0 && response.eval_count > 0,
  times: response.total_duration > 0 && response.eval_duration >= 0 && response.load_duration === 0,
})

const isLast = (lines) => lines.findIndex((line) => line.done) === lines.length - 1

async function streamedFailure(word) {
  const seen = []
  const found = await failing(async () => {
    const stream = await client.chat({ model: 'demo', messages: user(`/error ${word}`), stream: true })
    for await (const line of stream) seen.push(line)
  })
  return {
    status: found.status,
    has_message: Boolean(found.message),
    has_lines_before: seen.length > 0,
    is_done: seen.some((line) => line.done),
  }
}

const cases = {
  async chat() {
    const response = await client.chat({ model: 'demo', messages: user('/echo Hello big world') })
    return {
      model: response.model,
      role: response.message.role,
      content: response.message.content,
      done: response.done,
      done_reason: response.done_reason,
      dated: response.created_at.endsWith('Z'),
      ...figures(response),
    }
  },

  async chat_stream() {
    const lines = await collect(client.chat({ model: 'demo', messages: user('/echo Hello big world'), stream: true }))
    return {
      content: lines.map((line) => line.message.content).join(''),
      lines: lines.length > 1,
      done: isLast(lines),
      done_reason: lines.at(-1).done_reason,
      models: sorted(lines.map((line) => line.model)),
      ...figures(lines.at(-1)),
    }
  },

  async chinese() {
    const response = await client.chat({ model: 'qwen3:32b', messages: user('你好,请用一句话介绍你自己') })
    return { answers_in_chinese: response.message.content.includes('模拟') }
  },

  async line_ends() {
    const text = 'a\u2028b\u0085c\u2029d'
    const lines = await collect(client.chat({ model: 'demo', messages: user(`/echo ${text}`), stream: true }))
    return { content: lines.map((line) => line.message.content).join('') === text }
  },

  async thinking() {
    const { message } = await client.chat({ model: 'qwen3:32b', messages: user('Hello'), think: true })
    return { thinks: Boolean(message.thinking), says: message.content.includes('simulated') }
  },

  async thinking_stream() {
    const asked = { model: 'qwen3:32b', messages: user('Hello'), think: true, stream: true }
    const lines = (await collect(client.chat(asked))).map((line) => line.message)
    const first = (member) => lines.findIndex((message) => message[member])
    return {
      thinks_first: first('thinking') >= 0 && first('thinking') < first('content'),
      both: lines.some((message) => message.thinking && message.content),
    }
  },

  async thinking_off() {
    const { message } = await client.chat({ model: 'qwen3:32b', messages: user('Hello'), think: false })
    return { thinks: Boolean(message.thinking), says: message.content.includes('simulated') }
  },

  async tools() {
    const messages = user('What is the weather in Oslo?')
    const response = await client.chat({ model: 'demo', messages, tools: [WEATHER] })
    const [call] = response.message.tool_calls
    messages.push(response.message)
    const content = `12 degrees in ${call.function.arguments.city}`
    messages.push({ role: 'tool', tool_name: call.function.name, content })
    const second = await client.chat({ model: 'demo', messages, tools: [WEATHER] })
    return {
      calls: response.message.tool_calls.length,
      name: call.function.name,
      arguments: call.function.arguments,
      done_reason: response.done_reason,
      tells_the_result: second.message.content.includes('get_weather: 12 degrees in Oslo'),
    }
  },

  async tools_stream() {
    const asked = {
      model: 'demo',
      messages: user('The weather in Oslo, by mail, please.'),
      tools: [WEATHER, MAIL],
      stream: true,
    }
    const lines = await collect(client.chat(asked))
    const calls = lines.flatMap((line) => line.message.tool_calls ?? [])
    return {
      calls: calls.map((call) => [call.function.name, call.function.arguments]),
      are_before_the_end: !lines.at(-1).message.tool_calls,
      done_reason: lines.at(-1).done_reason,
    }
  },

  async tools_not_chosen() {
    const { message } = await client.chat({ model: 'demo', messages: user('Hello'), tools: [WEATHER] })
    return { calls: (message.tool_calls ?? []).length, says: message.content.includes('simulated') }
  },

  async tools_broken() {
    const seen = []
    const found = await failing(async () => {
      const asked = { model: 'demo', messages: user('/error call'), tools: [WEATHER], stream: true }
      for await (const line of await client.chat(asked)) seen.push(line)
    })
    const cut = seen.at(-1)?.done_reason === 'length'
    return {
      calls: seen.flatMap((line) => line.message.tool_calls ?? []).length,
      is_cut_or_an_error: cut || found.status !== 200,
    }
  },

  async image() {
    const seen = []
    const found = await failing(async () => {
      const messages = [{ role: 'user', content: 'What is it?', images: [PNG] }]
      const response = await client.chat({ model: 'demo', messages })
      seen.push(response.message.content.includes('1 image'))
    })
    return { ...found, is_seen: seen }
  },

  async schema() {
    const response = await client.chat({ model: 'demo', messages: user('Somebody, please.'), format: SCHEMA })
    const person = JSON.parse(response.message.content)
    return { keys: Object.keys(person).sort(), age_is_integer: Number.isInteger(person.age) }
  },

  async options() {
    const options = { num_predict: 5, temperature: 0, num_thread: 4, x: 1 }
    const response = await client.chat({ model: 'demo', messages: user('/long 50'), options })
    return { done_reason: response.done_reason, eval_count: response.eval_count }
  },

  async stop() {
    const options = { stop: ['two'] }
    const response = await client.chat({ model: 'demo', messages: user('/echo one two three'), options })
    return { content: response.message.content, done_reason: response.done_reason }
  },

  async logprobs() {
    const asked = { model: 'demo', messages: user('/echo Hello'), logprobs: true, top_logprobs: 2, think: false }
    const response = await client.chat(asked)
    return {
      is_of_the_content: response.logprobs.map((token) => token.token).join('') === response.message.content,
      alternatives: sorted(response.logprobs.map((token) => token.top_logprobs.length)),
    }
  },

  async load() {
    const loaded = await client.chat({ model: 'demo', messages: [] })
    const unloaded = await client.generate({ model: 'demo', prompt: '', keep_alive: 0 })
    return { done_reasons: [loaded.done_reason, unloaded.done_reason], done: loaded.done && unloaded.done }
  },

  async generate() {
    const asked = { model: 'demo', prompt: '/echo Hello big world', system: 'Be kind.', keep_alive: '5m' }
    const response = await client.generate(asked)
    return { response: response.response, done_reason: response.done_reason, ...figures(response) }
  },

  async generate_stream() {
    const lines = await collect(client.generate({ model: 'demo', prompt: '/echo Hello big world', stream: true }))
    return { response: lines.map((line) => line.response).join(''), done: isLast(lines) }
  },

  async generate_raw() {
    const responses = []
    const found = await failing(async () => {
      const response = await client.generate({ model: 'demo', prompt: '/echo Hello big world', raw: true })
      responses.push(response.response)
    })
    return { ...found, responses }
  },

  async embed() {
    const seen = {}
    const found = await failing(async () => {
      const two = await client.embed({ model: 'embed', input: ['Hello', 'world'] })
      const one = await client.embed({ model: 'embed', input: 'Hello' })
      const older = await client.embeddings({ model: 'embed', prompt: 'Hello' })
      const same = (vector) => JSON.stringify(vector) === JSON.stringify(two.embeddings[0])
      seen.vectors = [two.embeddings.length, one.embeddings.length]
      seen.dimensions = sorted([...two.embeddings, older.embedding].map((vector) => vector.length))
      seen.is_the_same = same(one.embeddings[0]) && same(older.embedding)
      seen.counts = two.prompt_eval_count > 0
    })
    return { ...found, ...seen }
  },

  async embed_nothing() {
    return { vectors: (await client.embed({ model: 'embed', input: [] })).embeddings.length }
  },

  async models() {
    const listed = (await client.list()).models
    const shown = await client.show({ model: 'qwen3:32b' })
    const loaded = (await client.ps()).models
    const lengths = Object.entries(shown.model_info).filter(([name]) => name.endsWith('.context_length'))
    return {
      names: listed.map((model) => model.model).sort(),
      are_dated: listed.every((model) => !Number.isNaN(Date.parse(model.modified_at))),
      capabilities: shown.capabilities.slice(0, 1),
      context_length: lengths.length === 1 && lengths[0][1] === 40960,
      loaded: loaded.map((model) => model.model).sort(),
    }
  },

  async version() {
    return { version: (await client.version()).version }
  },

  async unknown_model() {
    return failing(() => client.chat({ model: 'gpt-nonsense', messages: user('hi') }))
  },

  async unknown_model_in_a_stream() {
    return failing(() => collect(client.chat({ model: 'gpt-nonsense', messages: user('hi'), stream: true })))
  },

  async unknown_model_shown() {
    return failing(() => client.show({ model: 'gpt-nonsense' }))
  },

  async wrong_key() {
    const found = await failing(() => stranger.chat({ model: 'demo', messages: user('hi') }))
    return { status: found.status, has_message: Boolean(found.message) }
  },

  async wrong_key_elsewhere() {
    const calls = [() => stranger.list(), () => stranger.ps()]
    const found = await Promise.all(calls.map(failing))
    return { statuses: found.map((it) => it.status) }
  },

  async wrong_option() {
    return failing(() => client.chat({ model: 'demo', messages: user('hi'), options: { stop: 3 } }))
  },

  async pull() {
    const found = await failing(() => client.pull({ model: 'demo' }))
    return { status: found.status, has_message: Boolean(found.message) }
  },

  async failed_model_server() {
    const found = await failing(() => client.chat({ model: 'demo', messages: user('/error 500') }))
    return { is_an_error: found.status >= 500, has_message: Boolean(found.message) }
  },

  async overload() {
    const found = await failing(() => client.chat({ model: 'demo', messages: user('/error 429') }))
    return { status: found.status }
  },

  async broken_answer() {
    const found = await failing(() => client.chat({ model: 'demo', messages: user('/error mid') }))
    return { is_an_error: found.status >= 500, has_message: Boolean(found.message) }
  },

  broken_stream: () => streamedFailure('mid'),

  truncated_stream: () => streamedFailure('truncate'),

  async abort() {
    const stream = await client.chat({ model: 'demo', messages: user('/error stall'), stream: true })
    let lines = 0
    let name = null
    try {
      for await (const line of stream) {
        lines += line.done ? 0 : 1
        client.abort()
      }
    } catch (error) {
      name = error.name
    }
    return { name, lines: lines > 0 }
  },
}

for (const [name, run] of Object.entries(cases)) {
  let found
  try {
    found = await run()
  } catch (error) {
    found = { exception: String(error?.stack ?? error) }
  }
  process.stdout.write(JSON.stringify({ case: name, found }) + '\n')
}
