// What the scripts on Node share; the same as walk.py.
const asked = JSON.parse(process.argv[2]);
export const { base, key, variant } = asked;
export const HELLO = "Hello there";
export const BOTH_CITIES = "What is the weather in Paris and Rome?";
export const think = (model) =>
  ["Oslo", "Lima"].map((city) => `Think about the weather in ${city}, ${model}`);
export const weather = ({ city }) => `sun in ${city}`;

// Runs each scenario on each model and prints what the client saw.
export async function main(scenarios) {
  const seen = {};
  for (const [model, names] of Object.entries(asked.scenarios)) {
    seen[model] = {};
    for (const name of names) {
      try {
        seen[model][name] = { saw: await scenarios[name](model) };
      } catch (error) {
        console.error(error);
        const told = `${error.name}: ${error.message} ${error.responseBody ?? ""}`;
        seen[model][name] = { failed: told.slice(0, 1000) };
      }
    }
  }
  console.log(`\n${JSON.stringify(seen)}`);
}
