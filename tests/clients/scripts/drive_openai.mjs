// OpenAI's SDK for JavaScript: streams through its helpers, and tools through `runTools`.
import OpenAI from "openai";
import { AS_JSON, BOTH_CITIES, HELLO, PLACE, base, key, main, reasoningPrompts, variant, weather } from "./scenarios.mjs";

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
const city = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const get_weather = { name: "get_weather", description: "The weather of a city", parameters: city };

const chat = {
  text: async (model) => {
    const messages = [{ role: "user", content: HELLO }];
    return (await client.chat.completions.create({ model, messages })).choices[0].message.content;
  },
  stream: async (model) => {
    const pieces = [];
    const stream = client.chat.completions.stream({ model, messages: [{ role: "user", content: HELLO }] });
    stream.on("content", (piece) => pieces.push(piece));
    await stream.done();
    return pieces;
  },
  structured: async (model) => {
    const response_format = { type: "json_schema", json_schema: { name: "place", strict: true, schema: PLACE } };
    const asked = { model, messages: [{ role: "user", content: AS_JSON }], response_format };
    const completions = [
      await client.chat.completions.parse(asked),
      await client.chat.completions.stream(asked).finalChatCompletion(),
    ];
    return completions.map((completion) => completion.choices[0].message.parsed);
  },
  tools: async (model) => {
    const runner = chatRunner(model, [{ role: "user", content: BOTH_CITIES }]);
    return await runner.finalContent();
  },
  thinking: async (model) => {
    const told = [];
    let messages = [];
    for (const content of reasoningPrompts(model)) {
      const runner = chatRunner(model, [...messages, { role: "user", content }], { reasoning_effort: "high" });
      told.push(await runner.finalContent());
      messages = runner.messages;
    }
    return told;
  },
};

function chatRunner(model, messages, more) {
  const called = { ...get_weather, parse: JSON.parse, function: weather };
  const tools = [{ type: "function", function: called }];
  return client.chat.completions.runTools({ model, messages, tools, stream: true, ...more });
}

const responses = {
  text: async (model) => (await client.responses.create({ model, input: HELLO })).output_text,
  stream: async (model) => {
    const pieces = [];
    const stream = client.responses.stream({ model, input: HELLO });
    stream.on("response.output_text.delta", (event) => pieces.push(event.delta));
    await stream.finalResponse();
    return pieces;
  },
  structured: async (model) => {
    const format = { type: "json_schema", name: "place", strict: true, schema: PLACE };
    const asked = { model, input: AS_JSON, text: { format } };
    const responses = [await client.responses.parse(asked), await client.responses.stream(asked).finalResponse()];
    return responses.map((response) => response.output_parsed);
  },
  tools: async (model) => await turn(model, [], BOTH_CITIES),
  thinking: async (model) => {
    const more = {
      store: false,
      include: ["reasoning.encrypted_content"],
      reasoning: { effort: "high", summary: "auto" },
    };
    const history = [];
    const told = [];
    for (const prompt of reasoningPrompts(model)) told.push(await turn(model, history, prompt, more));
    return told;
  },
};

// Sends a prompt, runs the called tools, and repeats until there are no calls.
async function turn(model, input, prompt, more) {
  const tools = [{ type: "function", strict: true, ...get_weather }];
  input.push({ role: "user", content: prompt });
  for (let step = 0; step < 4; step++) {
    const response = await client.responses.stream({ model, input, tools, ...more }).finalResponse();
    input.push(...response.output);
    const calls = response.output.filter((item) => item.type === "function_call");
    if (!calls.length) return response.output_text;
    for (const { call_id, arguments: text } of calls) {
      input.push({ type: "function_call_output", call_id, output: weather(JSON.parse(text)) });
    }
  }
  throw new Error("the tools are called without end");
}

await main({ chat, responses }[variant]);
