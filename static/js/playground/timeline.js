// All columns on one axis: waiting, writing, failed tries; and the result in four numbers.
import { _, el, hidden, icon, setVars } from "./dom.js";
import { known, seconds, usd } from "./format.js";

/** Segments of one take in milliseconds: {kind, from, to}. */
export function segments(take) {
  const found = [];
  let at = 0;
  for (const attempt of take.tries) {
    const { started_ms: from, ended_ms: to } = attempt;
    if (!known(from) || !known(to) || to <= from || attempt.skipped) continue;
    found.push({ kind: "err", from, to });
    at = Math.max(at, to);
  }
  const { ttft, total } = take.figures();
  const first = Math.max(at, ttft ?? (take.failed ? at : total));
  if (first > at) found.push({ kind: "wait", from: at, to: first });
  if (known(ttft) && total > first) found.push({ kind: take.over ? (take.failed ? "broke" : "write") : "live", from: first, to: total });
  if (take.failed && !known(ttft) && total > at) found.push({ kind: "err", from: at, to: total });
  return found;
}

const WORDS = {
  wait: () => _("waiting"), write: () => _("writing"), live: () => _("writing"),
  err: () => _("failed try"), broke: () => _("writing, then broke off"),
};

export function draw(host, columns) {
  const rows = columns.filter((c) => c.takes.length).map((c) => [c, c.shown]);
  host.closest(".sum").hidden = !rows.length;
  const all = rows.map(([, take]) => segments(take));
  const end = Math.max(1, ...all.flat().map((s) => s.to));
  const length = `${seconds(end)} s`;
  host.parentElement.querySelector(".count").textContent = length;
  host.replaceChildren(...rows.map(([column, take], i) => {
    const words = all[i].map((s) => `${WORDS[s.kind]()} ${seconds(s.to - s.from)} s`).join(", ");
    const bars = all[i].map((s) => {
      const bar = el(`i.${s.kind}`);
      setVars(bar, { "--x": `${(100 * s.from) / end}%`, "--w": `${(100 * (s.to - s.from)) / end}%` });
      return bar;
    });
    const label = el("span.letter.sm", { "aria-hidden": "true" }, column.letter);
    const track = el("div.track", { "aria-hidden": "true", title: words }, bars);
    return el("li.wf", {}, label, track, hidden(`${column.letter}: ${words}`));
  }));
}

/** Fastest, cheapest, schema, tools. */
export function result(host, columns) {
  const done = columns.filter((c) => c.takes.length && c.takes.every((t) => t.over && !t.failed));
  const takes = columns.flatMap((c) => c.takes);
  const items = [];
  const best = (name, over) => over.filter((c) => known(c.figures[name])).sort((a, b) => a.figures[name] - b.figures[name])[0];
  const fastest = best("total", done);
  const cheapest = best("cost", done.filter((c) => Number(c.figures.cost) > 0));
  const free = done.find((c) => c.figures.cost !== null && Number(c.figures.cost) === 0);
  if (fastest) items.push(item("i:zap", _("Fastest"), el("span.letter.sm", {}, fastest.letter), `${seconds(fastest.figures.total)} s`));
  if (cheapest) items.push(item("i:coins", free ? _("Cheapest paid") : _("Cheapest"), el("span.letter.sm", {}, cheapest.letter), usd(cheapest.figures.cost)));
  else if (free) items.push(item("i:coins", _("Cost"), "$0"));
  for (const [what, name, label] of [["schema", "i:braces", _("Schema valid")], ["tools", "i:wrench", _("Tool call correct")]]) {
    const judged = takes.filter((t) => t.verdicts[what]);
    const asked = takes.length;
    if (judged.length) items.push(item(name, label, _("{n} of {m}", { n: judged.filter((t) => t.verdicts[what].ok && (t.verdicts[what].final || t.over)).length, m: asked })));
  }
  const failed = takes.filter((t) => t.failed).length;
  if (failed && items.length < 4) items.push(item("i:circle-alert", _("Failed"), _("{n} of {m}", { n: failed, m: takes.length })));
  host.replaceChildren(...(items.length ? items : [el("li.hint", {}, _("Numbers appear as answers end."))]));
}

const item = (name, label, ...value) => el("li", {}, icon(name), el("span", {}, label), el("b", {}, value));
