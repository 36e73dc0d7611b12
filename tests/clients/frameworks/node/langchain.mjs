// What LangChain for JavaScript makes of the gateway's responses.
//
// Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.

import process from 'node:process';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';

const model = (name = 'demo') => new ChatOpenAI({
  model: name,
  apiKey: process.env.GATEWAY_KEY,
  configuration: { baseURL: `${process.env.GATEWAY_URL}/v1` },
  maxRetries: 0,
  timeout: 60_000,
});

const PERSON = z.object({ name: z.string(), age: z.number().int() }).describe('A person.');

const getWeather = tool(({ city }) => `12 degrees in ${city}`, {
  name: 'get_weather',
  description: 'The weather in a city.',
  schema: z.object({ city: z.string() }),
});

const whole = async (stream) => {
  let sum;
  for await (const chunk of stream) sum = sum ? sum.concat(chunk) : chunk;
  return sum;
};

const calls = (message) => message.tool_calls.map((call) => [call.name, call.args]);

const CASES = {
  async text() {
    const answer = await model().invoke('/echo Hello big world');
    return {
      content: answer.content,
      finish_reason: answer.response_metadata.finish_reason,
      counts: answer.usage_metadata.output_tokens > 0,
    };
  },

  async stream() {
    const answer = await whole(await model().stream('/echo Hello big world'));
    return {
      content: answer.content,
      finish_reason: answer.response_metadata.finish_reason,
      counts: answer.usage_metadata.output_tokens > 0,
    };
  },

  // A whole turn: the call, its result, and the answer.
  async tools() {
    const bound = model().bindTools([getWeather]);
    const messages = [new HumanMessage('What is the weather in Oslo?')];
    const answer = await bound.invoke(messages);
    const [call] = answer.tool_calls;
    const result = new ToolMessage({ content: await getWeather.invoke(call.args), tool_call_id: call.id });
    const second = await bound.invoke([...messages, answer, result]);
    return { calls: calls(answer), tells_the_result: second.content.includes('get_weather: 12 degrees in Oslo') };
  },

  async tools_stream() {
    const bound = model('qwen3:32b').bindTools([getWeather]);
    const answer = await whole(await bound.stream('What is the weather in Oslo?'));
    return { calls: calls(answer), invalid: answer.invalid_tool_calls.length };
  },

  async structured() {
    const person = await model().withStructuredOutput(PERSON, { method: 'jsonSchema' }).invoke('Somebody, please.');
    return { is_parsed: typeof person.name === 'string' && Number.isInteger(person.age) };
  },

  async structured_by_a_tool() {
    const asking = model().withStructuredOutput(PERSON, { method: 'functionCalling', name: 'person' });
    const person = await asking.invoke('Somebody, please.');
    return { is_parsed: typeof person.name === 'string' && Number.isInteger(person.age) };
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
