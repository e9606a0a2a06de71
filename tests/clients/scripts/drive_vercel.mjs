// Vercel's AI SDK with the providers that people point at a gateway; it runs the tools itself.
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createCohere } from "@ai-sdk/cohere";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createXai } from "@ai-sdk/xai";
import { generateText, isStepCount, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { AS_JSON, BOTH_CITIES, HELLO, base, key, main, reasoningPrompts, variant, weather } from "./scenarios.mjs";

const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key });
const providers = {
  responses: (model) => openai(model),
  chat: (model) => openai.chat(model),
  anthropic: createAnthropic({ baseURL: `${base}/v1`, apiKey: key }),
  google: createGoogleGenerativeAI({ baseURL: `${base}/v1beta`, apiKey: key }),
  cohere: createCohere({ baseURL: `${base}/v2`, apiKey: key }),
  bedrock: createAmazonBedrock({ baseURL: base, apiKey: key, region: "us-east-1" }),
  xai: createXai({ baseURL: `${base}/v1`, apiKey: key }),
  compatible: createOpenAICompatible({
    name: "dragoman",
    baseURL: `${base}/v1`,
    apiKey: key,
    supportsStructuredOutputs: true,
  }),
};
// The words by which each provider is asked to think.
const thinks = {
  responses: { openai: { reasoningEffort: "high", reasoningSummary: "auto", store: false,
    include: ["reasoning.encrypted_content"], forceReasoning: true } },
  chat: { openai: { reasoningEffort: "high", forceReasoning: true } },
  anthropic: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } },
  google: { google: { thinkingConfig: { includeThoughts: true } } },
  compatible: { dragoman: { reasoningEffort: "high" } },
  cohere: { cohere: { thinking: { type: "enabled", tokenBudget: 1024 } } },
  bedrock: { bedrock: { reasoningConfig: { type: "enabled", budgetTokens: 1024 } } },
  xai: { xai: { reasoningEffort: "high" } },
};
const get_weather = tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: weather,
});
const asked = (model) => ({
  model: providers[variant](model),
  maxRetries: 0,
  maxOutputTokens: 4096,
  // Responses would keep its answers at the service.
  providerOptions: { openai: { store: false } },
});
const agent = (model) => ({
  ...asked(model),
  tools: { get_weather },
  stopWhen: (isStepCount ?? stepCountIs)(4),
});

const place = () => Output.object({ schema: z.object({ city: z.string(), country: z.string() }) });

await main({
  text: async (model) => (await generateText({ ...asked(model), prompt: HELLO })).text,
  stream: async (model) => {
    const pieces = [];
    const stream = streamText({ ...asked(model), prompt: HELLO });
    for await (const piece of stream.textStream) pieces.push(piece);
    return pieces;
  },
  tools: async (model) => (await generateText({ ...agent(model), prompt: BOTH_CITIES })).text,
  structured: async (model) => {
    const stream = streamText({ ...asked(model), prompt: AS_JSON, output: place() });
    return [
      (await generateText({ ...asked(model), prompt: AS_JSON, output: place() })).output,
      await stream.output,
    ];
  },
  thinking: async (model) => {
    const messages = [];
    const told = [];
    for (const content of reasoningPrompts(model)) {
      messages.push({ role: "user", content });
      const providerOptions = thinks[variant];
      const stream = streamText({ ...agent(model), messages, providerOptions });
      const response = await stream.response;
      messages.push(...(response.messages ?? (await stream.steps).flatMap((s) => s.response.messages)));
      told.push(await stream.text);
    }
    return told;
  },
});
