// LangChain's ChatOpenAI for Node.

import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as asTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { API_KEY, BASE_URL, MODEL, PROMPTS, WRONG_KEY, errorOf, main } from "./scenarios.mjs";

const model = (options = {}, apiKey = API_KEY) =>
  new ChatOpenAI({
    model: MODEL,
    apiKey,
    configuration: { baseURL: BASE_URL },
    useResponsesApi: true,
    ...options,
  });
const toolNamed = (name) =>
  asTool(async () => "", {
    name,
    description: "Tells it of a city.",
    schema: z.object({ city: z.string() }),
  });
const weather = toolNamed("get_weather");

async function plain() {
  return { text: (await model().invoke(PROMPTS.plain)).text };
}

async function stream() {
  const deltas = [];
  let whole;
  for await (const chunk of await model().stream(PROMPTS.stream)) {
    if (chunk.text) deltas.push(chunk.text);
    whole = whole === undefined ? chunk : whole.concat(chunk);
  }
  return { deltas, text: whole.text };
}

async function roundTrip(prompt, output, options = {}) {
  const withTools = model(options).bindTools([weather]);
  const question = new HumanMessage(prompt);
  const call = await withTools.invoke([question]);
  const result = new ToolMessage({ content: output, tool_call_id: call.tool_calls[0].id });
  const answer = await withTools.invoke([question, call, result]);
  return { calls: call.tool_calls.map((each) => each.name), text: answer.text };
}

async function tool() {
  return roundTrip(PROMPTS.tool, PROMPTS.tool_output);
}

async function remember() {
  return { text: (await roundTrip(PROMPTS.remember, "21 degrees")).text };
}

async function remember_encrypted() {
  return { text: (await roundTrip(PROMPTS.remember, "21 degrees", { zdrEnabled: true })).text };
}

async function errors() {
  return {
    key: await errorOf(() => model({}, WRONG_KEY).invoke("Hello")),
    parameter: await errorOf(() => model({ temperature: 3 }).invoke("Hello")),
  };
}

async function schema() {
  const city = z.object({ name: z.string(), population: z.number().int() });
  const structured = model().withStructuredOutput(city, { method: "jsonSchema", name: "city" });
  return { parsed: await structured.invoke(PROMPTS.schema) };
}

async function forced() {
  const tools = [weather, toolNamed("get_time")];
  const answer = await model().bindTools(tools, { tool_choice: "get_time" }).invoke(PROMPTS.forced);
  return { calls: answer.tool_calls.map((each) => each.name) };
}

await main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced);
