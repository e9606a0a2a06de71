// One response of a column (one repetition), built from events. Does not touch the page.
import { _ } from "./dom.js";

const SAMPLE_MS = 250;

export class Repetition {
  constructor(column, n) {
    Object.assign(this, { column, n, blocks: [], attempts: [], verdicts: {}, status: "waiting" });
    Object.assign(this, { startedAt: performance.now(), firstContentAt: null, endedAt: null, usage: {}, end: null });
    // Characters received in each SAMPLE_MS since the first content.
    this.samples = [];
    Object.assign(this, { quietMs: 0, lastEventAt: performance.now(), disconnected: false, model: "", route: "", version: 0 });
  }

  get over() {
    return this.end !== null;
  }

  get failed() {
    return this.over && !["ok", "stopped"].includes(this.status);
  }

  /** Text of the response, without reasoning and calls. */
  get text() {
    return this.blocks.filter((b) => b.kind === "text" || b.kind === "refusal").map((b) => b.text).join("\n\n");
  }

  get calls() {
    return this.blocks.filter((block) => block.kind === "call");
  }

  /** Attempts that did not answer. */
  get failedAttempts() {
    return this.attempts.filter((attempt) => attempt.error || attempt.error_kind || attempt.skipped);
  }

  /** Whether it ended successfully and passed all checks. */
  get passed() {
    return this.over && !this.failed && Object.values(this.verdicts).every((v) => v.ok !== false);
  }

  apply(event) {
    this.version += 1;
    if (event.type !== "quiet") this.lastEventAt = performance.now();
    this.disconnected = false;
    this.quietMs = event.type === "quiet" ? event.ms : 0;
    this[`on_${event.type}`]?.(event);
  }

  on_start(event) {
    this.model = event.model ?? "";
    this.route = event.route ?? "";
  }

  on_attempt(event) {
    this.attempts.push(event);
  }

  on_delta({ kind, text }) {
    this.firstContentAt ??= performance.now();
    this.status = "writing";
    const sampleIndex = Math.floor((performance.now() - this.firstContentAt) / SAMPLE_MS);
    this.samples[sampleIndex] = (this.samples[sampleIndex] ?? 0) + text.length;
    const last = this.blocks.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.blocks.push({ kind, text });
  }

  on_call({ id, index, name }) {
    this.firstContentAt ??= performance.now();
    this.status = "writing";
    this.blocks.push({ kind: "call", id, index, name, text: "", result: null });
  }

  on_call_delta({ index, text }) {
    // The latest call of this index: a tool loop restarts at 0.
    const match = this.calls.findLast((call) => call.index === index);
    if (match) match.text += text;
  }

  on_result({ id, content }) {
    const match = this.calls.findLast((call) => call.id === id);
    if (match) match.result = typeof content === "string" ? content : JSON.stringify(content);
  }

  on_verdict(event) {
    this.verdicts[event.check] = event;
  }

  on_usage(event) {
    this.usage = event;
  }

  on_end(event) {
    this.end = event;
    this.endedAt = performance.now();
    this.status = event.status;
  }

  /** Stops its clock while the connection is lost. */
  disconnect() {
    if (this.over) return;
    Object.assign(this, { disconnected: true, quietMs: 0 });
    this.version += 1;
  }

  /** Ends it if its run is over without an end event. */
  interrupt() {
    if (this.over) return;
    this.apply({ type: "end", status: "error", error: _("The gateway was restarted before this response was complete. The received text is shown.") });
  }

  /** Figures: measured by the page until the server reports them. */
  figures() {
    const end = this.end ?? {};
    const usage = { ...this.usage, ...Object.fromEntries(Object.entries(end).filter(([, v]) => v != null)) };
    const now = this.endedAt ?? (this.disconnected ? this.lastEventAt : performance.now());
    // The server counts twice a second and not while a stream stalls, so the page counts too.
    const output = this.over ? usage.output ?? null : Math.max(usage.output ?? 0, this.#estimatedTokens());
    const firstContentAt = this.firstContentAt === null ? null : this.firstContentAt - this.startedAt;
    return {
      ttft: end.ttft_ms ?? (this.over ? null : firstContentAt),
      total: end.total_ms ?? now - this.startedAt,
      speed: this.over ? end.tok_s ?? this.usage.tok_s ?? null : this.#speed(now, output),
      input: usage.input ?? null,
      output,
      cached: usage.cached ?? null,
      reasoning: usage.reasoning ?? null,
      cost: end.cost ?? null,
      estimated: Boolean(usage.estimated) || !this.over,
    };
  }

  #estimatedTokens() {
    return Math.round(this.blocks.reduce((sum, block) => sum + block.text.length, 0) / 4);
  }

  #speed(now, output) {
    if (this.firstContentAt === null || now - this.firstContentAt < 300) return null;
    return (output * 1000) / (now - this.firstContentAt);
  }
}
