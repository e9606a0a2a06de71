// Renders one response: text, reasoning, tool calls, failed attempts and verdicts.
import { $, _, el, icon } from "./dom.js";
import { ms } from "../format.js";
import { MarkdownRenderer, json, textNodes } from "./markdown.js";

const MAX_CALL_CHARS = 20_000;

/** Draws one repetition into `host` and keeps it up to date; `actions.retry()` starts it again. */
export class ResponseView {
  constructor(host, actions = {}) {
    this.host = host;
    this.scroller = host.closest(".response") ?? host;
    this.actions = actions;
    this.reset();
  }

  reset() {
    Object.assign(this, { repetition: null, version: -1, parts: [], blind: false, finishedRepetition: null, isFollowing: false });
    this.host.replaceChildren();
  }

  /** Shows a repetition, or more of the one it shows. */
  show(repetition, { blind = false } = {}) {
    if (this.repetition !== repetition || this.blind !== blind) {
      this.reset();
      Object.assign(this, { repetition, blind });
      this.head = el("div.parts");
      this.body = el("div.parts");
      this.foot = el("div.parts");
      this.host.append(this.head, this.body, this.foot);
    }
    if (repetition.version === this.version) return;
    this.version = repetition.version;
    // Keep the scroll position of users who scrolled up.
    const { scroller } = this;
    const isNearEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    const shouldFollow = !repetition.over && isNearEnd;
    this.#head(repetition);
    repetition.blocks.forEach((block, i) => this.#block(block, i, repetition));
    this.#foot(repetition);
    if (repetition.over) this.#finish(isNearEnd);
    if (shouldFollow) {
      this.isFollowing = this.actions.scrollsToStart?.() ?? false;
      scroller.scrollTop = scroller.scrollHeight;
    }
  }

  /** Highlights the code of a finished response, and scrolls back to its beginning. */
  #finish(isNearEnd) {
    if (this.finishedRepetition === this.repetition) return;
    this.finishedRepetition = this.repetition;
    if (this.body.querySelector("pre.code")) import("./highlight.js").then((m) => m.decorate(this.body));
    // The message that it answers is the last one above it.
    const lastTurn = [...this.scroller.querySelectorAll(".turn")].at(-1);
    if (isNearEnd && this.isFollowing) this.scroller.scrollTop = lastTurn ? lastTurn.offsetTop - this.scroller.firstElementChild.offsetTop : 0;
  }

  #head(repetition) {
    const key = `${repetition.failedAttempts.length} ${repetition.over}`;
    if (this.head.dataset.renderKey === key) return;
    this.head.dataset.renderKey = key;
    const answeringAttempt = repetition.attempts.find((attempt) => !repetition.failedAttempts.includes(attempt));
    const failedAttempts = this.blind ? [] : repetition.failedAttempts;
    this.head.replaceChildren(...(answeringAttempt || !repetition.over ? failedAttempts.map((attempt) => fallbackNotice(attempt, answeringAttempt, repetition)) : []));
  }

  #block(block, i, repetition) {
    let part = this.parts[i];
    if (!part) this.body.append((part = this.parts[i] = createPart(block)).root);
    part.update(block, repetition, this.actions.expected?.());
  }

  #foot(repetition) {
    this.body.toggleAttribute("data-writing", repetition.status === "writing" && !repetition.over);
    const elements = [];
    const { schema, tools } = repetition.verdicts;
    if (schema) elements.push(schemaVerdict(schema));
    if (tools && tools.ok === false && !repetition.calls.length && (tools.final || repetition.over)) elements.push(missingCallVerdict(tools));
    if (repetition.over) elements.push(...endParts(repetition, this.actions, this.blind));
    else if (repetition.disconnected) elements.push(el("p.quiet.hint", {}, icon("i:unplug"), _("Connection lost.")));
    else if (repetition.quietMs) elements.push(el("p.quiet.hint", {}, icon("hourglass"),
      _("No data for {s} s. The connection is open.", { s: Math.round(repetition.quietMs / 1000) })));
    else if (!repetition.blocks.length) elements.push(el("p.quiet.hint", {}, icon("ellipsis"), _("Waiting for the first token")));
    this.foot.replaceChildren(...elements);
  }
}

function createPart(block) {
  if (block.kind === "call") return callPart(block);
  if (block.kind === "text") {
    const root = el("div.md", { dir: "auto" });
    const rendering = new MarkdownRenderer(root);
    return { root, update: (b) => rendering.update(b.text) };
  }
  const refusal = block.kind === "refusal";
  const body = el("div.md", { dir: "auto" });
  const rendering = new MarkdownRenderer(body);
  const summary = el("summary", {}, icon("i:brain"), _("Reasoning"));
  const root = refusal
    ? el("div.callout.warn", {}, icon("i:ban"), el("div.grow", {}, el("b", {}, _("Refused")), body))
    : el("details.reasoning", {}, summary, body);
  return { root, update: (b) => rendering.update(b.text) };
}

const VERDICTS = {
  ok: ["i:circle-check", () => _("Correct")],
  warn: ["i:triangle-alert", () => _("Wrong arguments")],
  bad: ["i:circle-x", () => _("Not expected")],
};

function callPart(block) {
  const pill = el("span.pill.ml", { hidden: true });
  const args = el("code.args", { tabindex: 0 });
  const hint = el("p.hint", { hidden: true });
  const result = el("details.result", { hidden: true }, el("summary", {}, _("Tool result")), el("code.args", { tabindex: 0 }));
  const name = el("b.mono.trunc", {}, textNodes(block.name));
  const root = el("div.toolcall", {}, el("div.row", {}, icon("wrench"), name, pill), args, hint, result);
  let renderedKey = "";
  const update = (call, repetition, expected) => {
    const assessment = assessCall(call, repetition, expected);
    const key = [call.text.length, call.result?.length, assessment?.kind, assessment?.label, assessment?.hint].join("|");
    if (key === renderedKey) return;
    renderedKey = key;
    args.replaceChildren(...(call.text.length < MAX_CALL_CHARS ? json(call.text) : textNodes(call.text.slice(0, MAX_CALL_CHARS) + "…")));
    result.hidden = call.result === null;
    if (call.result !== null) $("code", result).replaceChildren(...textNodes(call.result.slice(0, MAX_CALL_CHARS)));
    if (!assessment) return;
    root.dataset.kind = assessment.kind;
    pill.hidden = false;
    pill.className = `pill ml ${assessment.kind}`;
    pill.replaceChildren(icon(VERDICTS[assessment.kind][0]), assessment.label);
    hint.hidden = !assessment.hint;
    hint.replaceChildren(...textNodes(sentence(assessment.hint ?? "")), ...(assessment.expectedArguments ? [" ", _("Expected:"), " ", el("code", {}, json(assessment.expectedArguments))] : []));
  };
  return { root, update };
}

/** The verdict on one tool call: kind, label, hint and expected arguments; null if there is none. */
function assessCall(call, repetition, expected) {
  const verdict = repetition.verdicts.tools;
  if (!verdict) return null;
  const i = repetition.calls.indexOf(call);
  const callVerdict = (verdict.calls ?? []).find((c) => c.id === call.id) ?? (verdict.calls ?? [])[i];
  const ok = callVerdict ? callVerdict.ok : verdict.ok;
  if (ok) return { kind: "ok", label: verdict.expected > 1 ? _("{n} of {m} correct", { n: verdict.correct ?? verdict.expected, m: verdict.expected }) : _("Correct") };
  const kind = callVerdict?.problem === "unexpected" || callVerdict?.problem === "name" ? "bad" : "warn";
  const match = (verdict.matches ?? []).findIndex((m) => m.call === i);
  const expectedArguments = match >= 0 && expected?.[match]?.arguments;
  return { kind, label: VERDICTS[kind][1](), hint: callVerdict?.message ?? "", expectedArguments: expectedArguments ? JSON.stringify(expectedArguments) : "" };
}

/** Error message of the server as a sentence. */
const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function missingCallVerdict(verdict) {
  return verdictLine("bad", "i:circle-x", _("Expected call is missing"), verdict.message);
}

function schemaVerdict(v) {
  const fields = v.fields && v.total ? _("{n} of {m} fields", { n: v.fields, m: v.total }) : "";
  if (v.ok) return v.final ? verdictLine("ok", "i:circle-check", _("Schema valid"), fields)
    : verdictLine("", "i:circle-dashed", _("No schema error so far"), fields);
  const errorText = v.final ? _("Schema error") : _("Schema error so far");
  return verdictLine("bad", "i:circle-x", errorText, v.message, v.path);
}

function verdictLine(kind, name, title, text, path) {
  return el(`p.verdict${kind && "." + kind}`, {}, icon(name),
    el("span", {}, el("b", {}, title), path ? [" · ", el("code", {}, textNodes(path))] : null, text ? [path ? " " : " · ", ...textNodes(text)] : null));
}

function fallbackNotice(attempt, answeringAttempt, repetition) {
  const provider = attempt.provider || attempt.target;
  const after = ms((attempt.ended_ms ?? 0) - (attempt.started_ms ?? 0));
  const reason = attempt.skipped
    ? _("{who} was skipped: {reason}.", { who: provider, reason: attempt.skipped })
    : attempt.status >= 400
      ? _("{who} returned {status} after {after}.", { who: provider, status: attempt.status, after })
      : _("{who} failed after {after}: {reason}.", { who: provider, after, reason: attempt.error_kind || attempt.error });
  const next = answeringAttempt ? _("Route {route} fell back to {next}.", { route: repetition.route, next: answeringAttempt.provider || answeringAttempt.target }) : "";
  return el("div.callout.warn", { title: attempt.error || null }, icon("triangle-alert"), el("span", {}, textNodes(`${reason} ${next}`)));
}

const FINISH = {
  length: () => _("Incomplete: the response reached the token limit."),
  max_tokens: () => _("Incomplete: the response reached the token limit."),
  content_filter: () => _("Incomplete: stopped by the provider's content filter."),
};

function endParts(repetition, actions, blind) {
  const { end } = repetition;
  const elements = [];
  if (repetition.failed) {
    const errorText = String(end.error ?? _("The run ended without an error message."));
    // Attempts with the same error as the end are only counted.
    const otherAttempts = blind ? [] : repetition.failedAttempts.filter((attempt) => attempt.error !== errorText);
    const failedAttempts = otherAttempts.map((t) => el("li", {}, textNodes(`${t.provider || t.target}: ${t.skipped || t.error || t.error_kind}`)));
    elements.push(el("div.callout.bad", {}, icon("circle-alert"), el("div.grow", {},
      el("b", {}, repetition.blocks.length ? _("Stream interrupted") : _("No response")),
      el("p", {}, textNodes(sentence(errorText))),
      repetition.failedAttempts.length > 1 ? el("p", {}, _("{n} attempts failed.", { n: repetition.failedAttempts.length })) : null,
      failedAttempts.length ? el("ul", {}, failedAttempts) : null,
      actions.retry ? el("button.btn.sm", { type: "button", onclick: () => actions.retry() }, icon("rotate-cw"), _("Retry")) : null)));
  }
  if (repetition.status === "stopped") {
    const text = repetition.blocks.length ? _("Stopped. The received text is shown.") : _("Stopped before the first token.");
    elements.push(el("p.hint.quiet", {}, icon("square"), text));
  }
  if (FINISH[end.finish]) elements.push(el("p.hint.quiet", {}, icon("scissors"), FINISH[end.finish]()));
  if (end.adaptations && actions.translation && !blind) {
    elements.push(el("button.btn.ghost.sm.adapted", { type: "button", onclick: () => actions.translation() }, icon("languages"), end.adaptations === 1 ? _("1 setting adapted") : _("{n} settings adapted", { n: end.adaptations })));
  }
  if (!repetition.failed && !repetition.blocks.length && repetition.status !== "stopped") elements.push(el("p.hint.quiet", {}, _("Empty response.")));
  return elements;
}
