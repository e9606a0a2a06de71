// Asks the gateway through the official `@anthropic-ai/sdk`; prints what came as JSON.
import Anthropic from "@anthropic-ai/sdk";

const [base, key, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
const tools = [
  {
    name: "get_weather",
    input_schema: { type: "object", properties: { city: { type: "string" } } },
  },
];
const say = (content) => [{ role: "user", content }];
const asked = (content, more = {}) => ({ model, max_tokens: 100, messages: say(content), ...more });
const text = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const seen = {};

seen.whole = text(await client.messages.create(asked("Hello there")));
seen.streamed = text(await client.messages.stream(asked("Hello there")).finalMessage());

const first = asked("Node weather of two cities", { tools });
const called = await client.messages.stream(first).finalMessage();
const calls = called.content.filter((block) => block.type === "tool_use");
seen.cities = calls.map((call) => call.input.city);
const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "sun" }));
const history = [...first.messages, { role: "assistant", content: called.content }, ...say(results)];
seen.answered = text(await client.messages.create({ ...first, messages: history }));

const failure = async (asking) => {
  try {
    await asking();
    return "no error";
  } catch (error) {
    return error.constructor.name;
  }
};
seen.unknown = await failure(() =>
  client.messages.create({ ...asked("Hi"), model: "no-such-model" }),
);
seen.limited = await failure(() =>
  client.messages.create(asked("Refuse with rate_limit for node")),
);
const nobody = new Anthropic({ baseURL: base, apiKey: "sk-nobody", maxRetries: 0 });
seen.refused = await failure(() => nobody.messages.create(asked("Hi")));

const models = [];
for await (const item of client.models.list()) models.push(item.id);
seen.listed = models.includes(model);
console.log(JSON.stringify(seen));
