// What the scripts on Node share; the same as scenarios.py.
const request = JSON.parse(process.argv[2]);
export const { base, key, variant } = request;
export const HELLO = "Hello there";
export const BOTH_CITIES = "What is the weather in Paris and Rome?";
export const AS_JSON = "Describe Paris as JSON";
export const byCall = (tool) => `Describe Paris by calling ${tool}.`;
export const PLACE = {
  type: "object",
  properties: { city: { type: "string" }, country: { type: "string" } },
  required: ["city", "country"],
  additionalProperties: false,
};
export const reasoningPrompts = (model) =>
  ["Oslo", "Lima"].map((city) => `Think about the weather in ${city}, ${model}`);
export const weather = ({ city }) => `sun in ${city}`;

// Runs each scenario on each model and prints what the client received.
export async function main(scenarios) {
  const results = {};
  for (const [model, names] of Object.entries(request.scenarios)) {
    results[model] = {};
    for (const name of names) {
      try {
        results[model][name] = { saw: await scenarios[name](model) };
      } catch (error) {
        console.error(error);
        const message = `${error.name}: ${error.message} ${error.responseBody ?? ""}`;
        results[model][name] = { failed: message.slice(0, 1000) };
      }
    }
  }
  console.log(`\n${JSON.stringify(results)}`);
}
