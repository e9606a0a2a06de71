// Google's SDK for JavaScript, which runs the tools of a request itself.
import { GoogleGenAI } from "@google/genai";
import { AS_JSON, BOTH_CITIES, HELLO, PLACE, base, key, main, reasoningPrompts, weather } from "./scenarios.mjs";

const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base } });
const parametersJsonSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const declaration = { name: "get_weather", description: "The weather of a city", parametersJsonSchema };
const tool = {
  tool: async () => ({ functionDeclarations: [declaration] }),
  callTool: async (calls) =>
    calls.map(({ id, name, args }) => ({ functionResponse: { id, name, response: { output: weather(args) } } })),
};

await main({
  text: async (model) => (await client.models.generateContent({ model, contents: HELLO })).text,
  stream: async (model) => {
    const pieces = [];
    for await (const chunk of await client.models.generateContentStream({ model, contents: HELLO })) {
      if (chunk.text) pieces.push(chunk.text);
    }
    return pieces;
  },
  tools: async (model) =>
    (await client.models.generateContent({ model, contents: BOTH_CITIES, config: { tools: [tool] } })).text,
  structured: async (model) => {
    const config = { responseMimeType: "application/json", responseJsonSchema: PLACE };
    return [JSON.parse((await client.models.generateContent({ model, contents: AS_JSON, config })).text)];
  },
  thinking: async (model) => {
    const config = { tools: [tool], thinkingConfig: { includeThoughts: true } };
    const chat = client.chats.create({ model, config });
    const told = [];
    for (const message of reasoningPrompts(model)) {
      const pieces = [];
      for await (const chunk of await chat.sendMessageStream({ message })) pieces.push(chunk.text ?? "");
      told.push(pieces.join(""));
    }
    return told;
  },
});
