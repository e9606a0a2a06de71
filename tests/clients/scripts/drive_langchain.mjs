// LangChain for JavaScript: its chat models, and its agent, which runs the tools.
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatGoogleGenerativeAI } from "@langchain/google-genai";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent } from "langchain";
import { AS_JSON, BOTH_CITIES, HELLO, PLACE, base, byCall, key, main, reasoningPrompts, variant, weather } from "./scenarios.mjs";

const shared = (model) => ({ model, apiKey: key, maxRetries: 0 });
const openai = (model) => ({ ...shared(model), configuration: { baseURL: `${base}/v1` } });
const models = {
  chat: (model, thinks) => new ChatOpenAI({ ...openai(model), ...(thinks && { reasoning: { effort: "high" } }) }),
  responses: (model, thinks) =>
    new ChatOpenAI({
      ...openai(model),
      useResponsesApi: true,
      zdrEnabled: true,
      ...(thinks && {
        reasoning: { effort: "high", summary: "auto" },
        modelKwargs: { include: ["reasoning.encrypted_content"] },
      }),
    }),
  anthropic: (model, thinks) =>
    new ChatAnthropic({
      ...shared(model),
      anthropicApiUrl: base,
      maxTokens: 4096,
      ...(thinks && { thinking: { type: "enabled", budget_tokens: 1024 } }),
    }),
  google: (model, thinks) =>
    new ChatGoogleGenerativeAI({
      ...shared(model),
      baseUrl: base,
      ...(thinks && { thinkingConfig: { includeThoughts: true } }),
    }),
};
const get_weather = tool(weather, {
  name: "get_weather",
  description: "The weather of a city",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
});
const agent = (model, thinks) => createAgent({ model: models[variant](model, thinks), tools: [get_weather] });

await main({
  text: async (model) => (await models[variant](model).invoke(HELLO)).text,
  stream: async (model) => {
    const pieces = [];
    for await (const chunk of await models[variant](model).stream(HELLO)) if (chunk.text) pieces.push(chunk.text);
    return pieces;
  },
  tools: async (model) => {
    const { messages } = await agent(model).invoke({ messages: [new HumanMessage(BOTH_CITIES)] });
    return messages.at(-1).text;
  },
  structured: async (model) => {
    const prompts = { jsonSchema: AS_JSON, functionCalling: byCall("extract") };
    const objects = [];
    for (const [method, prompt] of Object.entries(prompts)) {
      const how = { method, name: "extract", ...(variant !== "anthropic" && { strict: true }) };
      objects.push(await models[variant](model).withStructuredOutput(PLACE, how).invoke(prompt));
    }
    return objects;
  },
  thinking: async (model) => {
    const told = [];
    let messages = [];
    for (const prompt of reasoningPrompts(model)) {
      ({ messages } = await agent(model, true).invoke({ messages: [...messages, new HumanMessage(prompt)] }));
      told.push(messages.at(-1).text);
    }
    return told;
  },
});
