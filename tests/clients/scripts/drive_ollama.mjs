// The official `ollama` client on Node.
import { Ollama } from "ollama";
import { AS_JSON, BOTH_CITIES, HELLO, PLACE, base, key, main, reasoningPrompts, weather } from "./scenarios.mjs";

const client = new Ollama({ host: base, headers: { Authorization: `Bearer ${key}` } });
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const user = (content) => ({ role: "user", content });

// Asks, runs what tools are called, and asks again until there are none.
async function turn(model, messages, prompt, options) {
  messages.push(user(prompt));
  for (let round = 0; round < 4; round++) {
    const { message } = await client.chat({ model, messages, tools, ...options });
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    for (const { function: call } of message.tool_calls) {
      messages.push({ role: "tool", tool_name: call.name, content: weather(call.arguments) });
    }
  }
  throw new Error("the tools are called without end");
}

await main({
  text: async (model) => (await client.chat({ model, messages: [user(HELLO)] })).message.content,
  stream: async (model) => {
    const pieces = [];
    for await (const { message } of await client.chat({ model, messages: [user(HELLO)], stream: true })) {
      if (message.content) pieces.push(message.content);
    }
    return pieces;
  },
  tools: (model) => turn(model, [], BOTH_CITIES, {}),
  structured: async (model) => {
    const { message } = await client.chat({ model, messages: [user(AS_JSON)], format: PLACE });
    return [JSON.parse(message.content)];
  },
  thinking: async (model) => {
    const messages = [];
    const told = [];
    for (const prompt of reasoningPrompts(model)) told.push(await turn(model, messages, prompt, { think: true }));
    return told;
  },
});
