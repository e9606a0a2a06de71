// Modules that only a run needs, loaded when the user starts to type.
export { ResponseView } from "./response.js";
export { Refused, Run } from "./run.js";
export { Stats, figures, ranking } from "./stats.js";
export { Repetition } from "./repetition.js";
export { Runs } from "./runs.js";
export { drawSummary, drawTimeline } from "./timeline.js";
export * from "./turns.js";
