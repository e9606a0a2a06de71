// Asks the gateway through the official `openai` SDK; prints what came as JSON.
import OpenAI from "openai";

const [base, key, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
];
const say = (content) => [{ role: "user", content }];
const seen = {};

const whole = await client.chat.completions.create({ model, messages: say("Hello there") });
seen.whole = whole.choices[0].message.content;

const stream = client.chat.completions.stream({ model, messages: say("Hello there") });
seen.streamed = (await stream.finalChatCompletion()).choices[0].message.content;

const asked = say("Node weather of two cities");
const called = await client.chat.completions
  .stream({ model, messages: asked, tools })
  .finalChatCompletion();
const calls = called.choices[0].message.tool_calls;
seen.cities = calls.map((call) => JSON.parse(call.function.arguments).city);
const answered = await client.chat.completions.create({
  model,
  tools,
  messages: [
    ...asked,
    { role: "assistant", content: null, tool_calls: calls.map(({ id, type, function: f }) => ({ id, type, function: { name: f.name, arguments: f.arguments } })) },
    ...calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "sun" })),
  ],
});
seen.answered = answered.choices[0].message.content;

const failure = async (asking) => {
  try {
    await asking();
    return "no error";
  } catch (error) {
    return error.constructor.name;
  }
};
seen.unknown = await failure(() =>
  client.chat.completions.create({ model: "no-such-model", messages: say("Hi") }),
);
seen.limited = await failure(() =>
  client.chat.completions.create({ model, messages: say("Refuse with rate_limit for node") }),
);
const nobody = new OpenAI({ baseURL: `${base}/v1`, apiKey: "sk-nobody", maxRetries: 0 });
seen.refused = await failure(() =>
  nobody.chat.completions.create({ model, messages: say("Hi") }),
);

const models = [];
for await (const item of client.models.list()) models.push(item.id);
seen.listed = models.includes(model);
console.log(JSON.stringify(seen));
