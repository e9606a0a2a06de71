// The timeline of all columns on one axis (waiting, writing, failed attempts), and the summary of a run.
import { _, el, visuallyHidden, icon, setVars } from "./dom.js";
import { isKnown, ms, usd } from "../format.js";

/** Segments of one repetition in milliseconds: {kind, from, to}. */
function segments(repetition) {
  const segments = [];
  let position = 0;
  for (const attempt of repetition.failedAttempts) {
    const { started_ms: from, ended_ms: to } = attempt;
    if (!isKnown(from) || !isKnown(to) || to <= from || attempt.skipped) continue;
    segments.push({ kind: "err", from, to });
    position = Math.max(position, to);
  }
  const { ttft, total } = repetition.figures();
  const first = Math.max(position, ttft ?? (repetition.failed ? position : total));
  if (first > position) segments.push({ kind: "wait", from: position, to: first });
  const silent = !repetition.over && (repetition.quietMs || repetition.disconnected) ? Math.max(first, repetition.lastEventAt - repetition.startedAt) : total;
  if (isKnown(ttft) && silent < total) {
    if (silent > first) segments.push({ kind: "live", from: first, to: silent });
    segments.push({ kind: "wait", from: silent, to: total });
  } else if (isKnown(ttft) && total > first) segments.push({ kind: repetition.over ? (repetition.failed ? "interrupted" : "write") : "live", from: first, to: total });
  if (repetition.failed && !isKnown(ttft) && total > position) segments.push({ kind: "err", from: position, to: total });
  return segments;
}

const SEGMENT_LABELS = {
  wait: () => _("waiting"), write: () => _("writing"), live: () => _("writing"),
  err: () => _("failed attempt"), interrupted: () => _("writing, then interrupted"),
};

/** Draws a row of bars for each column. */
export function drawTimeline(host, columns) {
  const rows = columns.filter((c) => c.repetitions.length).map((c) => [c, c.selected]);
  host.closest(".sum").hidden = !rows.length;
  const all = rows.map(([, repetition]) => segments(repetition));
  const end = Math.max(1, ...all.flat().map((s) => s.to));
  const length = ms(end);
  host.parentElement.querySelector(".count").textContent = length;
  host.replaceChildren(...rows.map(([column, repetition], i) => {
    const description = all[i].map((s) => `${SEGMENT_LABELS[s.kind]()} ${ms(s.to - s.from)}`).join(", ");
    const bars = all[i].map((s) => {
      const bar = el(`i.${s.kind}`);
      setVars(bar, { "--start": `${(100 * s.from) / end}%`, "--percent": `${(100 * (s.to - s.from)) / end}%` });
      return bar;
    });
    const label = el("span.letter.sm", { "aria-hidden": "true" }, column.letter);
    const track = el("div.track", { "aria-hidden": "true", title: description }, bars);
    return el("li.timeline-row", {}, label, track, visuallyHidden(`${column.letter}: ${description}`));
  }));
}

/** The summary of a run: fastest, cheapest, valid schemas, correct tool calls. */
export function drawSummary(host, columns) {
  const done = columns.filter((c) => c.repetitions.length && c.repetitions.every((t) => t.status === "ok"));
  const repetitions = columns.flatMap((c) => c.repetitions);
  const items = [];
  const lowest = (name, candidates) => candidates.filter((c) => isKnown(c.figures[name])).sort((a, b) => a.figures[name] - b.figures[name])[0];
  const fastest = lowest("total", done);
  const cheapest = lowest("cost", done.filter((c) => Number(c.figures.cost) > 0));
  const free = done.find((c) => isKnown(c.figures.cost) && Number(c.figures.cost) === 0);
  const unknown = done.filter((c) => !isKnown(c.figures.cost));
  if (fastest) items.push(item("i:zap", _("Fastest"), el("span.letter.sm", {}, fastest.letter), ms(fastest.figures.total)));
  if (cheapest) items.push(item("i:coins", free ? _("Cheapest paid") : _("Cheapest"), el("span.letter.sm", {}, cheapest.letter), usd(cheapest.figures.cost)));
  else if (free && !unknown.length) items.push(item("i:coins", _("Cost"), "$0"));
  else if (unknown.length) items.push(item("i:coins", _("Cost"), _("unknown for {columns}", { columns: unknown.map((c) => c.letter).join(", ") })));
  for (const [what, name, label] of [["schema", "i:braces", _("Schema valid")], ["tools", "i:wrench", _("Tool call correct")]]) {
    const checkedRepetitions = repetitions.filter((t) => t.verdicts[what]);
    // Without expected calls, a response that calls nothing is not wrong.
    const total = what === "tools" && !columns.some((c) => c.run?.expected?.length) ? checkedRepetitions.length : repetitions.length;
    if (checkedRepetitions.length) items.push(item(name, label, _("{n} of {m}", { n: checkedRepetitions.filter((t) => t.verdicts[what].ok && (t.verdicts[what].final || t.over)).length, m: total })));
  }
  const failed = repetitions.filter((t) => t.failed).length;
  if (failed && items.length < 4) items.push(item("i:circle-alert", _("Failed"), _("{n} of {m}", { n: failed, m: repetitions.length })));
  host.replaceChildren(...(items.length ? items : [el("li.hint", {}, _("Figures appear when responses complete."))]));
}

const item = (name, label, ...value) => el("li", {}, icon(name), el("span", {}, label), el("b", {}, value));
