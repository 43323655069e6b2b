// Vercel's AI SDK with its provider for OpenAI.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";
import { runScenarios } from "./ai_sdk_scenarios.mjs";
import { API_KEY, BASE_URL, MODEL, PROMPTS, errorOf, toldLogprobs } from "./scenarios.mjs";

const model = (apiKey = API_KEY) => createOpenAI({ baseURL: BASE_URL, apiKey }).responses(MODEL);

// A second question, after the messages of the first. By default they are sent as references
// to items that OpenAI has stored.
async function history() {
  const chat = async (openai) => {
    const options = { model: model(), maxRetries: 0, providerOptions: { openai } };
    const { response } = await generateText({ ...options, prompt: PROMPTS.plain });
    const question = { role: "user", content: PROMPTS.more };
    const first = { role: "user", content: PROMPTS.plain };
    return generateText({ ...options, messages: [first, ...response.messages, question] });
  };
  return {
    stored: await errorOf(() => chat({})),
    sent: (await chat({ store: false })).text,
  };
}

async function logprobs() {
  const { providerMetadata } = await generateText({
    model: model(), prompt: PROMPTS.plain, providerOptions: { openai: { logprobs: 2 } },
  });
  return toldLogprobs(providerMetadata.openai.logprobs.flat());
}

const sealed = { openai: { store: false, include: ["reasoning.encrypted_content"] } };
await runScenarios(model, { sealed, more: [history, logprobs] });
