// What the Vercel AI SDK makes of the gateway's responses.
//
// Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.

import process from 'node:process';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const gateway = createOpenAICompatible({
  name: 'sluicegate',
  baseURL: `${process.env.GATEWAY_URL}/v1`,
  apiKey: process.env.GATEWAY_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});

const PERSON = z.object({ name: z.string(), age: z.number().int() });

const tools = {
  get_weather: tool({
    description: 'The weather in a city.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `12 degrees in ${city}`,
  }),
};

const ask = (more, name = 'demo') => ({ model: gateway(name), maxRetries: 0, ...more });

// The calls of all steps, and the text of the last one.
const turn = (steps, text) => ({
  calls: steps.flatMap((step) => step.toolCalls).map((call) => [call.toolName, call.input]),
  tells_the_result: text.includes('get_weather: 12 degrees in Oslo'),
});

const CASES = {
  async text() {
    const answer = await generateText(ask({ prompt: '/echo Hello big world' }));
    return { content: answer.text, finish_reason: answer.finishReason, counts: answer.usage.outputTokens > 0 };
  },

  async stream() {
    const answer = streamText(ask({ prompt: '/echo Hello big world' }));
    let content = '';
    for await (const text of answer.textStream) content += text;
    return { content, finish_reason: await answer.finishReason, counts: (await answer.usage).outputTokens > 0 };
  },

  async tools() {
    const prompt = 'What is the weather in Oslo?';
    const answer = await generateText(ask({ prompt, tools, stopWhen: stepCountIs(3) }));
    return turn(answer.steps, answer.text);
  },

  async tools_stream() {
    const prompt = 'What is the weather in Oslo?';
    const answer = streamText(ask({ prompt, tools, stopWhen: stepCountIs(3) }, 'qwen3:32b'));
    await answer.consumeStream();
    return turn(await answer.steps, await answer.text);
  },

  async structured() {
    const answer = await generateText(ask({ prompt: 'Somebody, please.', output: Output.object({ schema: PERSON }) }));
    return { is_parsed: PERSON.safeParse(answer.output).success };
  },

  async structured_stream() {
    const answer = streamText(ask({ prompt: 'Somebody, please.', output: Output.object({ schema: PERSON }) }));
    await answer.consumeStream();
    return { is_parsed: PERSON.safeParse(await answer.output).success };
  },

  async required_tool() {
    const answer = await generateText(ask({ prompt: 'Hello', tools, toolChoice: 'required', stopWhen: stepCountIs(1) }));
    return { names: answer.toolCalls.map((call) => call.toolName) };
  },

  async reasoning_stream() {
    const answer = streamText(ask({ prompt: 'Hello' }, 'qwen3:32b'));
    let [thoughts, content] = ['', ''];
    for await (const part of answer.fullStream) {
      if (part.type === 'reasoning-delta') thoughts += part.text;
      if (part.type === 'text-delta') content += part.text;
    }
    return { reasons: thoughts.includes('simulation'), says: content.includes('simulated') };
  },

  async failing() {
    try {
      await generateText(ask({ prompt: '/error 500' }));
    } catch (error) {
      return { name: error.name, status: error.statusCode ?? null, has_message: Boolean(error.message) };
    }
    return {};
  },

  async failing_in_mid_stream() {
    const answer = streamText(ask({ prompt: '/error mid', onError() {} }));
    let [failed, content] = [false, ''];
    for await (const part of answer.fullStream) {
      if (part.type === 'text-delta') content += part.text;
      if (part.type === 'error') failed = true;
    }
    return { failed, says_something_before: content.length > 0 };
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
