// Anthropic's SDK for JavaScript: streams through its helper, and tools through its tool runner.
import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { AS_JSON, BOTH_CITIES, HELLO, PLACE, base, key, main, reasoningPrompts, weather } from "./scenarios.mjs";

const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const get_weather = {
  type: "custom",
  name: "get_weather",
  description: "The weather of a city",
  input_schema,
  run: weather,
  parse: (input) => input,
};
const asked = (model, content) => ({ model, max_tokens: 4096, messages: [{ role: "user", content }] });
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

await main({
  text: async (model) => textOf(await client.messages.create(asked(model, HELLO))),
  stream: async (model) => {
    const pieces = [];
    const stream = client.messages.stream(asked(model, HELLO));
    stream.on("text", (piece) => pieces.push(piece));
    await stream.finalMessage();
    return pieces;
  },
  tools: async (model) =>
    textOf(await client.beta.messages.toolRunner({ ...asked(model, BOTH_CITIES), tools: [get_weather] })),
  structured: async (model) => {
    const output_config = { format: jsonSchemaOutputFormat(PLACE) };
    const params = { ...asked(model, AS_JSON), output_config };
    const messages = [await client.messages.parse(params), await client.messages.stream(params).finalMessage()];
    return messages.map((message) => message.parsed_output);
  },
  thinking: async (model) => {
    const told = [];
    let messages = [];
    for (const content of reasoningPrompts(model)) {
      const runner = client.beta.messages.toolRunner({
        ...asked(model, content),
        messages: [...messages, { role: "user", content }],
        tools: [get_weather],
        thinking: { type: "enabled", budget_tokens: 1024 },
        // A thread would be stored by Anthropic, and its reasoning not sent again.
        thread: false,
        stream: true,
      });
      for await (const stream of runner) await stream.finalMessage();
      told.push(textOf(await runner.done()));
      messages = runner.params.messages;
    }
    return told;
  },
});
