// OpenAI Agents SDK for Node.

import {
  Agent, OpenAIResponsesModel, run, setTracingDisabled, tool as asTool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";
import { API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, errorOf, main } from "./scenarios.mjs";

// Traces would go to OpenAI.
setTracingDisabled(true);

const model = (apiKey) => new OpenAIResponsesModel(new OpenAI({ baseURL: BASE_URL, apiKey }), MODEL);
const agent = (options = {}, key = API_KEY) =>
  new Agent({ name: "test", model: model(key), ...options });
const toolNamed = (name, output) =>
  asTool({
    name,
    description: "Tells it of a city.",
    parameters: z.object({ city: z.string() }),
    execute: async () => output,
  });
const callsOf = (result) =>
  result.newItems
    .filter((item) => item.type === "tool_call_item")
    .map((item) => item.rawItem.name);

async function plain() {
  const result = await run(agent({ instructions: "Be brief." }), PROMPTS.plain);
  return { text: result.finalOutput };
}

async function stream() {
  const deltas = [];
  const result = await run(agent(), PROMPTS.stream, { stream: true });
  for await (const event of result) {
    if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") {
      deltas.push(event.data.delta);
    }
  }
  await result.completed;
  return { deltas, text: result.finalOutput };
}

async function tool() {
  const tools = [toolNamed("get_weather", PROMPTS.tool_output)];
  const result = await run(agent({ tools }), PROMPTS.tool, { maxTurns: 2 });
  return { calls: callsOf(result), text: result.finalOutput };
}

async function remember(modelSettings = {}) {
  const tools = [toolNamed("get_weather", "21 degrees")];
  const result = await run(agent({ tools, modelSettings }), PROMPTS.remember, { maxTurns: 2 });
  return { text: result.finalOutput };
}

async function remember_encrypted() {
  const providerData = { include: ["reasoning.encrypted_content"] };
  return remember({ store: false, providerData });
}

async function errors() {
  return {
    key: await errorOf(() => run(agent({}, WRONG_KEY), "Hello")),
    parameter: await errorOf(() => run(agent({ modelSettings: { temperature: 3 } }), "Hello")),
  };
}

async function schema() {
  const outputType = z.object({ name: z.string(), population: z.number().int() });
  return { parsed: (await run(agent({ outputType }), PROMPTS.schema)).finalOutput };
}

async function forced() {
  const tested = agent({
    tools: [toolNamed("get_weather", "21 degrees"), toolNamed("get_time", "noon")],
    modelSettings: { toolChoice: "get_time" },
    toolUseBehavior: "stop_on_first_tool",
  });
  return { calls: callsOf(await run(tested, PROMPTS.forced, { maxTurns: 2 })) };
}

await main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced);
