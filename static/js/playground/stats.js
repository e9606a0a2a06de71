// The row of figures under a response, with the best column of each figure.
import { _, el, visuallyHidden, setVars } from "./dom.js";
import { tip } from "./overlay.js";
import { count, isKnown, ms, tokens, usd } from "../format.js";

const ROWS = [
  ["ttft", () => _("First token"), (f) => withUnit(ms(f.ttft)), Math.min, () => _("fastest")],
  ["total", (live) => (live ? _("So far") : _("Total")), (f) => withUnit(ms(f.total)), Math.min, () => _("fastest")],
  ["speed", () => _("Speed"), (f) => [isKnown(f.speed) ? count(Math.round(f.speed)) : "—", "/s"], Math.max, () => _("fastest")],
  ["output", () => _("Tokens"), (f) => [isKnown(f.input) ? `${tokens(f.input)}→${tokens(f.output)}` : tokens(f.output), ""], null, null],
  ["cost", () => _("Cost"), (f) => [usd(f.cost), ""], Math.min, () => _("cheapest")],
];
function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const NAMES = ROWS.map(([name]) => name);

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median figures of several repetitions, and how far apart they lie. */
export function figures(repetitions) {
  const all = repetitions.map((repetition) => repetition.figures());
  if (all.length < 2) return { ...(all[0] ?? {}), spread: {} };
  const result = { spread: {} };
  for (const name of [...NAMES, "input", "cached", "reasoning"]) {
    const values = all.map((f) => f[name]).filter(isKnown).map(Number);
    result[name] = values.length ? median(values) : null;
    if (values.length > 1) result.spread[name] = [Math.min(...values), Math.max(...values)];
  }
  return { ...result, estimated: all.some((f) => f.estimated) };
}

/** Best and largest value of each figure over the columns without failures. */
export function ranking(columns) {
  const successfulColumns = columns.filter((c) => c.repetitions.length && c.repetitions.every((t) => t.status === "ok"));
  const result = {};
  for (const [name, , , selectBest] of ROWS) {
    const all = columns.map((c) => c.figures[name]).filter(isKnown).map(Number);
    const values = successfulColumns.map((c) => c.figures[name]).filter(isKnown).map(Number);
    // A free response is not the cheapest of the paid ones.
    const ranked = name === "cost" ? values.filter((v) => v > 0) : values;
    result[name] = { best: selectBest && values.length > 1 && ranked.length ? selectBest(...ranked) : null, max: Math.max(0, ...all) };
  }
  return result;
}

export class Stats {
  constructor() {
    this.cells = ROWS.map(([name, label]) => {
      const dt = el("dt", {}, label());
      const dd = el("dd.num");
      return { name, dt, dd, root: el("div.stat", {}, dt, dd) };
    });
    this.root = el("dl.stats", {}, this.cells.map((cell) => cell.root));
  }

  /** The speed over time, from the characters of each sample; nothing for a short response. */
  drawSpeed(samples) {
    const { root } = this.cells.find((cell) => cell.name === "speed");
    this.speed ??= root.appendChild(svg("svg", { class: "speedline", "aria-hidden": "true", preserveAspectRatio: "none" }));
    this.speed.toggleAttribute("hidden", samples.length < 4);
    if (samples.length < 4 || this.drawnSamples === samples.length) return;
    this.drawnSamples = samples.length;
    const values = Array.from(samples, (value) => value ?? 0);
    const max = Math.max(1, ...values);
    this.speed.setAttribute("viewBox", `0 0 ${values.length - 1} 10`);
    const points = values.map((value, i) => `${i},${10 - (10 * value) / max}`).join(" ");
    this.speed.replaceChildren(svg("polyline", { points, "vector-effect": "non-scaling-stroke" }));
  }

  update(result, rank, live) {
    ROWS.forEach(([name, label, format, , bestLabel], i) => {
      const cell = this.cells[i];
      const value = result[name];
      const [text, unit] = format(result);
      const best = isKnown(value) && rank?.[name]?.best === Number(value);
      const spread = result.spread?.[name];
      cell.dt.textContent = label(live);
      const isEstimate = (name === "output" && result.estimated) || (name === "cost" && result.estimatedCost);
      const approximateSign = isEstimate && isKnown(value) ? "~" : "";
      cell.dd.replaceChildren(approximateSign + text, el("small", {}, text === "—" ? "" : unit), best ? visuallyHidden(` (${bestLabel()})`) : "");
      cell.root.classList.toggle("best", best);
      cell.root.title = name === "output" ? tokenText(result) : spread ? spreadText(name, spread) : "";
      // Cached and reasoning tokens are shown in a tooltip.
      if (name === "output" && !live && (result.cached || result.reasoning)) {
        const detailsButton = el("button.more", { type: "button", onclick: () => tip(detailsButton, tokenText(result)) }, approximateSign + text, visuallyHidden(_("details")));
        cell.dd.replaceChildren(detailsButton);
      }
      if (spread) cell.dd.append(el("small.spread", {}, spreadText(name, spread)));
      setVars(cell.dd, { "--percent": `${rank?.[name]?.max && isKnown(value) ? (100 * value) / rank[name].max : 0}%` });
    });
  }
}

/** A formatted figure and its unit, for different type sizes. */
function withUnit(text) {
  const index = text.lastIndexOf(" ");
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index)];
}

function spreadText(name, [low, high]) {
  if (name === "output") return `${count(low)}–${count(high)}`;
  if (name === "cost") return `${usd(low)}–${usd(high)}`;
  if (name === "speed") return `${count(Math.round(low))}–${count(Math.round(high))}`;
  return `${ms(low)}–${ms(high)}`;
}

function tokenText(f) {
  const parts = [_("{n} in", { n: count(f.input) }), _("{n} out", { n: count(f.output) })];
  if (isKnown(f.cached)) parts.push(_("{n} from cache", { n: count(f.cached) }));
  if (isKnown(f.reasoning)) parts.push(_("{n} reasoning", { n: count(f.reasoning) }));
  if (f.estimated) parts.push(_("estimated"));
  return parts.join(", ");
}
