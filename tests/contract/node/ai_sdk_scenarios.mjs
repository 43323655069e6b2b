// Vercel's AI SDK: the scenarios, for a provider that is given.

import { generateText, isStepCount, jsonSchema, Output, streamText, tool as asTool } from "ai";
import { CITY_PARAMETERS, CITY_SCHEMA, PROMPTS, WRONG_KEY, errorOf, main } from "./scenarios.mjs";

const toolAnswering = (output) =>
  asTool({
    description: "Tells it of a city.",
    inputSchema: jsonSchema(CITY_PARAMETERS),
    execute: async () => output,
  });
const callsOf = (result) =>
  result.steps.flatMap((step) => step.toolCalls.map((call) => call.toolName));

// `model(key)` makes a language model, `sealed` are the options to ask for sealed reasoning,
// `more` are scenarios of this provider only.
export async function runScenarios(model, { sealed, more = [] } = {}) {
  const ask = (prompt, options = {}) =>
    generateText({ model: model(), prompt, maxRetries: 0, stopWhen: isStepCount(2), ...options });

  async function plain() {
    return { text: (await ask(PROMPTS.plain)).text };
  }

  async function stream() {
    const result = streamText({ model: model(), prompt: PROMPTS.stream });
    const deltas = [];
    for await (const delta of result.textStream) deltas.push(delta);
    return { deltas, text: await result.text };
  }

  async function tool() {
    const tools = { get_weather: toolAnswering(PROMPTS.tool_output) };
    const result = await ask(PROMPTS.tool, { tools });
    return { calls: callsOf(result), text: result.text };
  }

  async function remember(options = {}) {
    const tools = { get_weather: toolAnswering("21 degrees") };
    return { text: (await ask(PROMPTS.remember, { tools, ...options })).text };
  }

  async function remember_encrypted() {
    return remember({ providerOptions: sealed });
  }

  async function errors() {
    return {
      key: await errorOf(() => ask("Hello", { model: model(WRONG_KEY) })),
      parameter: await errorOf(() => ask("Hello", { temperature: 3 })),
    };
  }

  async function schema() {
    const output = Output.object({ schema: jsonSchema(CITY_SCHEMA), name: "city" });
    return { parsed: (await ask(PROMPTS.schema, { output })).output };
  }

  async function forced() {
    const result = await ask(PROMPTS.forced, {
      tools: { get_weather: toolAnswering("21 degrees"), get_time: toolAnswering("noon") },
      toolChoice: { type: "tool", toolName: "get_time" },
      stopWhen: isStepCount(1),
    });
    return { calls: callsOf(result) };
  }

  const scenarios = [plain, stream, tool, remember, errors, schema, forced];
  await main(...scenarios, ...(sealed ? [remember_encrypted, ...more] : more));
}
