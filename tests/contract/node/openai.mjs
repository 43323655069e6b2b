// OpenAI's client for Node.

import OpenAI from "openai";
import {
  API_KEY, BASE_URL, CITY_PARAMETERS, CITY_SCHEMA, MODEL, PROMPTS, WRONG_KEY, errorOf, main,
  toldLogprobs,
} from "./scenarios.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY });
const ask = (input, options = {}, who = client) =>
  who.responses.create({ model: MODEL, input, ...options });
const weather = { type: "function", name: "get_weather", parameters: CITY_PARAMETERS };
const time = { ...weather, name: "get_time" };
const callsOf = (answer) =>
  answer.output.filter((item) => item.type === "function_call").map((item) => item.name);

async function plain() {
  return { text: (await ask(PROMPTS.plain)).output_text };
}

async function stream() {
  const deltas = [];
  // The helper checks each event against those before it, unlike create({stream: true}).
  const events = client.responses.stream({ model: MODEL, input: PROMPTS.stream });
  events.on("response.output_text.delta", (event) => deltas.push(event.delta));
  return { deltas, text: (await events.finalResponse()).output_text };
}

async function roundTrip(prompt, output, options = {}) {
  const history = [{ role: "user", content: prompt }];
  const first = await ask(history, { tools: [weather], ...options });
  const { call_id } = first.output.at(-1);
  history.push(...first.output, { type: "function_call_output", call_id, output });
  const second = await ask(history, { tools: [weather], ...options });
  return { calls: callsOf(first), text: second.output_text };
}

async function tool() {
  return roundTrip(PROMPTS.tool, PROMPTS.tool_output);
}

async function remember() {
  return { text: (await roundTrip(PROMPTS.remember, "21 degrees")).text };
}

async function remember_encrypted() {
  const options = { include: ["reasoning.encrypted_content"], store: false };
  return { text: (await roundTrip(PROMPTS.remember, "21 degrees", options)).text };
}

async function errors() {
  const stranger = new OpenAI({ baseURL: BASE_URL, apiKey: WRONG_KEY });
  return {
    key: await errorOf(() => ask("Hello", {}, stranger)),
    parameter: await errorOf(() => ask("Hello", { temperature: 3 })),
  };
}

async function schema() {
  const format = { type: "json_schema", name: "city", schema: CITY_SCHEMA, strict: true };
  const answer = await client.responses.parse({
    model: MODEL, input: PROMPTS.schema, text: { format },
  });
  return { parsed: JSON.parse(answer.output_text) };
}

async function forced() {
  const tool_choice = { type: "function", name: "get_time" };
  return { calls: callsOf(await ask(PROMPTS.forced, { tools: [weather, time], tool_choice })) };
}

async function logprobs() {
  const options = { include: ["message.output_text.logprobs"], top_logprobs: 2 };
  const answer = await ask(PROMPTS.plain, options);
  return toldLogprobs(answer.output.at(-1).content[0].logprobs);
}

await main(plain, stream, tool, remember, remember_encrypted, errors, schema, forced, logprobs);
