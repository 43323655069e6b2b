// Vercel's AI SDK with its provider for Open Responses.

import { createOpenResponses } from "@ai-sdk/open-responses";
import { runScenarios } from "./ai_sdk_scenarios.mjs";
import { API_KEY, BASE_URL, MODEL } from "./scenarios.mjs";

await runScenarios((apiKey = API_KEY) =>
  createOpenResponses({ name: "gateway", url: `${BASE_URL}/responses`, apiKey })(MODEL),
);
