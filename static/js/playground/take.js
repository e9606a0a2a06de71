// What one column has answered in one repetition, built from events. No page in here.
export class Take {
  constructor(column, n) {
    Object.assign(this, { column, n, blocks: [], attempts: [], verdicts: {}, status: "waiting" });
    Object.assign(this, { began: performance.now(), wrote: null, ended: null, usage: {}, end: null });
    Object.assign(this, { quiet: 0, model: "", route: "", version: 0 });
  }

  get over() {
    return this.end !== null;
  }

  get failed() {
    return this.over && !["ok", "stopped"].includes(this.status);
  }

  /** The words of the answer, without reasoning and calls. */
  get text() {
    return this.blocks.filter((b) => b.kind === "text" || b.kind === "refusal").map((b) => b.text).join("\n\n");
  }

  get calls() {
    return this.blocks.filter((block) => block.kind === "call");
  }

  /** Tries that did not answer. */
  get tries() {
    return this.attempts.filter((t) => t.error || t.error_kind || t.skipped);
  }

  /** True if nothing is wrong with it: it ended, and no verdict is against it. */
  get good() {
    return this.over && !this.failed && Object.values(this.verdicts).every((v) => v.ok !== false);
  }

  apply(event) {
    this.version += 1;
    this.quiet = event.type === "quiet" ? event.ms : 0;
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
    this.wrote ??= performance.now();
    this.status = "writing";
    const last = this.blocks.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.blocks.push({ kind, text });
  }

  on_call({ id, index, name }) {
    this.wrote ??= performance.now();
    this.status = "writing";
    this.blocks.push({ kind: "call", id, index, name, text: "", result: null });
  }

  on_call_delta({ index, text }) {
    // The latest call of this index: a tool loop counts from nought again.
    const found = this.calls.findLast((call) => call.index === index);
    if (found) found.text += text;
  }

  on_result({ id, content }) {
    const found = this.calls.findLast((call) => call.id === id);
    if (found) found.result = typeof content === "string" ? content : JSON.stringify(content);
  }

  on_verdict(event) {
    this.verdicts[event.what] = event;
  }

  on_usage(event) {
    this.usage = event;
  }

  on_end(event) {
    this.end = event;
    this.ended = performance.now();
    this.status = event.status;
  }

  /** Numbers for the row of figures: the server's once there, this page's clock until then. */
  figures() {
    const end = this.end ?? {};
    const used = { ...this.usage, ...Object.fromEntries(Object.entries(end).filter(([, v]) => v != null)) };
    const now = this.ended ?? performance.now();
    const wrote = this.wrote === null ? null : this.wrote - this.began;
    return {
      ttft: end.ttft_ms ?? (this.over ? null : wrote),
      total: end.total_ms ?? now - this.began,
      speed: end.tok_s ?? this.usage.tok_s ?? this.#speed(now),
      input: used.input ?? null,
      output: used.output ?? (this.over ? null : this.#guess()),
      cached: used.cached ?? null,
      reasoning: used.reasoning ?? null,
      cost: end.cost ?? null,
      estimated: Boolean(used.estimated) || (!this.over && used.output == null),
    };
  }

  #guess() {
    return Math.round(this.blocks.reduce((sum, block) => sum + block.text.length, 0) / 4);
  }

  #speed(now) {
    if (this.over || this.wrote === null || now - this.wrote < 300) return null;
    return ((this.usage.output ?? this.#guess()) * 1000) / (now - this.wrote);
  }
}
