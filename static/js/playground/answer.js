// A take on the page: text, reasoning, tool calls, what went wrong on the way, and the verdicts.
import { $, _, el, icon } from "./dom.js";
import { seconds } from "./format.js";
import { Rendering, json, plain } from "./markdown.js";

const CALL_CAP = 20_000;

/** Draws one take into `host` and keeps it up to date; `actions.retry()` starts it again. */
export class Answer {
  constructor(host, actions = {}) {
    this.host = host;
    this.scroller = host.closest(".answer") ?? host;
    this.actions = actions;
    this.reset();
  }

  reset() {
    Object.assign(this, { take: null, version: -1, parts: [], blind: false });
    this.host.replaceChildren();
  }

  /** Shows a take, or more of the one it shows. */
  show(take, { blind = false } = {}) {
    if (this.take !== take || this.blind !== blind) {
      this.reset();
      Object.assign(this, { take, blind });
      this.head = el("div.parts");
      this.body = el("div.parts");
      this.foot = el("div.parts");
      this.host.append(this.head, this.body, this.foot);
    }
    if (take.version === this.version) return;
    this.version = take.version;
    // Whoever has scrolled up to read is left there.
    const { scroller } = this;
    const follow = !take.over && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    this.#head(take);
    take.blocks.forEach((block, i) => this.#block(block, i, take));
    this.#foot(take);
    if (follow) scroller.scrollTop = scroller.scrollHeight;
  }

  #head(take) {
    const key = `${take.tries.length} ${take.over}`;
    if (this.head.dataset.key === key) return;
    this.head.dataset.key = key;
    const answered = take.attempts.find((attempt) => !take.tries.includes(attempt));
    const tries = this.blind ? [] : take.tries;
    this.head.replaceChildren(...(answered || !take.over ? tries.map((t) => fallback(t, answered, take)) : []));
  }

  #block(block, i, take) {
    let part = this.parts[i];
    if (!part) this.body.append((part = this.parts[i] = make(block)).root);
    part.update(block, take, this.actions.expected?.());
  }

  #foot(take) {
    this.body.toggleAttribute("data-writing", take.status === "writing" && !take.over);
    const kids = [];
    const { schema, tools } = take.verdicts;
    if (schema) kids.push(schemaVerdict(schema));
    if (tools && tools.ok === false && !take.calls.length && (tools.final || take.over)) kids.push(missing(tools));
    if (take.over) kids.push(...ending(take, this.actions, this.blind));
    else if (take.quiet) kids.push(el("p.quiet.hint", {}, icon("hourglass"),
      _("Nothing for {s} s. The connection is open, the model is quiet.", { s: Math.round(take.quiet / 1000) })));
    else if (!take.blocks.length) kids.push(el("p.quiet.hint", {}, icon("ellipsis"), _("Waiting for the first token")));
    this.foot.replaceChildren(...kids);
  }
}

function make(block) {
  if (block.kind === "call") return callPart(block);
  if (block.kind === "text") {
    const root = el("div.md", { dir: "auto" });
    const rendering = new Rendering(root);
    return { root, update: (b) => rendering.update(b.text) };
  }
  const refusal = block.kind === "refusal";
  const body = el("div.md", { dir: "auto" });
  const rendering = new Rendering(body);
  const summary = el("summary", {}, icon("i:brain"), _("Reasoning"));
  const root = refusal
    ? el("div.callout.warn", {}, icon("i:ban"), el("div.grow", {}, el("b", {}, _("Refused")), body))
    : el("details.reasoning", {}, summary, body);
  return { root, update: (b) => rendering.update(b.text) };
}

const VERDICTS = {
  ok: ["i:circle-check", () => _("correct")],
  warn: ["i:triangle-alert", () => _("Wrong arguments")],
  bad: ["i:circle-x", () => _("Not expected")],
};

function callPart(block) {
  const pill = el("span.pill.ml", { hidden: true });
  const args = el("code.args", { tabindex: 0 });
  const hint = el("p.hint", { hidden: true });
  const result = el("details.result", { hidden: true }, el("summary", {}, _("Result given back")), el("code.args", { tabindex: 0 }));
  const name = el("b.mono.trunc", {}, plain(block.name));
  const root = el("div.toolcall", {}, el("div.row", {}, icon("wrench"), name, pill), args, hint, result);
  let seen = "";
  const update = (call, take, expected) => {
    const judged = judge(call, take, expected);
    const key = [call.text.length, call.result?.length, judged?.kind, judged?.words, judged?.hint].join("|");
    if (key === seen) return;
    seen = key;
    args.replaceChildren(...(call.text.length < CALL_CAP ? json(call.text) : plain(call.text.slice(0, CALL_CAP) + "…")));
    result.hidden = call.result === null;
    if (call.result !== null) $("code", result).replaceChildren(...plain(call.result.slice(0, CALL_CAP)));
    if (!judged) return;
    root.dataset.kind = judged.kind;
    pill.hidden = false;
    pill.className = `pill ml ${judged.kind}`;
    pill.replaceChildren(icon(VERDICTS[judged.kind][0]), judged.words);
    hint.hidden = !judged.hint;
    hint.replaceChildren(...plain(sentence(judged.hint ?? "")), ...(judged.wanted ? [" ", _("Expected:"), " ", el("code", {}, json(judged.wanted))] : []));
  };
  return { root, update };
}

/** What the verdict on tools says about one call: kind, words, hint. */
function judge(call, take, expected) {
  const verdict = take.verdicts.tools;
  if (!verdict) return null;
  const i = take.calls.indexOf(call);
  const found = (verdict.calls ?? []).find((c) => c.id === call.id) ?? (verdict.calls ?? [])[i];
  const ok = found ? found.ok : verdict.ok;
  if (ok) return { kind: "ok", words: verdict.expected > 1 ? _("{n} of {m} correct", { n: verdict.correct ?? verdict.expected, m: verdict.expected }) : _("Correct") };
  const kind = found?.problem === "unexpected" || found?.problem === "name" ? "bad" : "warn";
  const match = (verdict.matches ?? []).findIndex((m) => m.call === i);
  const wanted = match >= 0 && expected?.[match]?.arguments;
  return { kind, words: VERDICTS[kind][1](), hint: found?.message ?? "", wanted: wanted ? JSON.stringify(wanted) : "" };
}

/** The server's words as a sentence. */
const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function missing(verdict) {
  return line("bad", "i:circle-x", _("Expected call is missing"), verdict.message);
}

function schemaVerdict(v) {
  const fields = v.fields && v.total ? _("{n} of {m} fields", { n: v.fields, m: v.total }) : "";
  if (v.ok) return v.final ? line("ok", "i:circle-check", _("Schema valid"), fields)
    : line("", "i:circle-dashed", _("No schema error so far"), fields);
  const words = v.final ? _("Schema error") : _("Schema error so far");
  return line("bad", "i:circle-x", words, v.message, v.path);
}

function line(kind, name, title, text, path) {
  return el(`p.verdict${kind && "." + kind}`, {}, icon(name),
    el("span", {}, el("b", {}, title), path ? [" · ", el("code", {}, plain(path))] : null, text ? [path ? " " : " · ", ...plain(text)] : null));
}

function fallback(attempt, answered, take) {
  const who = attempt.provider || attempt.target;
  const after = _("{s} s", { s: seconds((attempt.ended_ms ?? 0) - (attempt.started_ms ?? 0)) });
  const what = attempt.skipped
    ? _("{who} was skipped: {why}.", { who, why: attempt.skipped })
    : attempt.status >= 400
      ? _("{who} returned {status} after {after}.", { who, status: attempt.status, after })
      : _("{who} failed after {after}: {why}.", { who, after, why: attempt.error_kind || attempt.error });
  const next = answered ? _("Route {route} moved on to {next}.", { route: take.route, next: answered.provider || answered.target }) : "";
  return el("div.callout.warn", { title: attempt.error || null }, icon("triangle-alert"), el("span", {}, plain(`${what} ${next}`)));
}

const FINISH = {
  length: () => _("Cut off: the answer reached its limit of tokens."),
  max_tokens: () => _("Cut off: the answer reached its limit of tokens."),
  content_filter: () => _("Cut off by the provider's content filter."),
};

function ending(take, actions, blind) {
  const { end } = take;
  const kids = [];
  if (take.failed) {
    const words = String(end.error ?? _("The run ended without saying why."));
    // Tries that say what the end says are only counted.
    const other = blind ? [] : take.tries.filter((t) => t.error !== words);
    const tries = other.map((t) => el("li", {}, plain(`${t.provider || t.target}: ${t.skipped || t.error || t.error_kind}`)));
    kids.push(el("div.callout.bad", {}, icon("circle-alert"), el("div.grow", {},
      el("b", {}, take.blocks.length ? _("Broke off") : _("No answer")),
      el("p", {}, plain(sentence(words))),
      take.tries.length > 1 ? el("p", {}, _("{n} tries failed.", { n: take.tries.length })) : null,
      tries.length ? el("ul", {}, tries) : null,
      actions.retry ? el("button.btn.sm", { type: "button", onclick: () => actions.retry() }, icon("rotate-cw"), _("Retry")) : null)));
  }
  if (take.status === "stopped") kids.push(el("p.hint.quiet", {}, icon("square"), _("Stopped here. What arrived is kept.")));
  if (FINISH[end.finish]) kids.push(el("p.hint.quiet", {}, icon("scissors"), FINISH[end.finish]()));
  if (end.adaptations && actions.translation && !blind) {
    kids.push(el("button.btn.ghost.sm.adapted", { type: "button", onclick: () => actions.translation() }, icon("languages"), _("{n} settings were adapted", { n: end.adaptations })));
  }
  if (!take.failed && !take.blocks.length && take.status !== "stopped") kids.push(el("p.hint.quiet", {}, _("An empty answer.")));
  return kids;
}
