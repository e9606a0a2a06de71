// What only a run needs; fetched when a message is being written, not with the page.
export { Answer } from "./answer.js";
export { Rendering } from "./markdown.js";
export { Refused, Run } from "./run.js";
export { Stats, figures, ranking } from "./stats.js";
export { Take } from "./take.js";
export { draw, result } from "./timeline.js";
