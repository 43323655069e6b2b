// What the scripts in this directory share: who to ask, what to ask, how to tell.
// The prompts, and the facts that are told, are those of ../clients.

import { readFileSync } from "node:fs";

export const BASE_URL = process.env.GATEWAY_URL + "/v1";
export const API_KEY = process.env.GATEWAY_API_KEY;
export const WRONG_KEY = "gwk_wrong";
export const PROMPTS = JSON.parse(
  readFileSync(new URL("../clients/prompts.json", import.meta.url), "utf8"),
);
export const MODEL = PROMPTS.model;
export const CITY_PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const CITY_SCHEMA = {
  type: "object",
  properties: { name: { type: "string" }, population: { type: "integer" } },
  required: ["name", "population"],
  additionalProperties: false,
};

// The class of the error that `call` raises, as the client names it.
// Facts about the log probabilities of an answer.
export function toldLogprobs(logprobs) {
  return {
    text: logprobs.map((each) => each.token).join(""),
    alternatives: logprobs.every((each) => each.top_logprobs.length === 2),
    negative: logprobs.every((each) => each.logprob <= 0),
  };
}

export async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return `${error.constructor.name} ${error.status ?? error.statusCode}`;
  }
  return "none";
}

// Run the scenarios that the command line names, or all; print a JSON line for each.
export async function main(...scenarios) {
  const wanted = process.argv.slice(2);
  for (const scenario of scenarios) {
    if (wanted.length && !wanted.includes(scenario.name)) continue;
    const line = { scenario: scenario.name };
    try {
      line.facts = await scenario();
    } catch (error) {
      line.raised = String(error.stack ?? error);
    }
    console.log(JSON.stringify(line));
  }
  process.exit();
}
