// One column: a letter, a model, its response in one or more repetitions, its figures, its menu.
import { $, _, el, visuallyHidden, icon, logo } from "./dom.js";
import { isKnown } from "../format.js";

const STATES = {
  idle: ["", "i:circle", () => _("Not run yet")],
  ok: ["ok", "i:circle-check", () => _("Done")],
  fallback: ["warn", "i:shuffle", () => _("Done after fallback")],
  failed: ["bad", "i:circle-x", () => _("Failed")],
  stopped: ["", "i:circle-stop", () => _("Stopped")],
  lost: ["warn", "i:unplug", () => _("Connection lost")],
};

export class Column {
  constructor(id, model, app) {
    Object.assign(this, { id, model, app, overrides: {}, repetitions: [], selectedIndex: 0, run: null, blind: "", notes: [] });
    // `history` has all messages; once the latest response is part of it, its last `responseLength`
    // messages are that response.
    Object.assign(this, { history: [], responseLength: 0 });
    this.#build();
    this.renderName();
  }

  get letter() {
    return this.blind || this.id;
  }

  get info() {
    return this.app.boot.models.find((m) => m.id === this.model) ?? { id: this.model, label: this.model || _("No model"), isUnavailable: this.model };
  }

  get selected() {
    return this.repetitions[this.selectedIndex] ?? this.repetitions[0];
  }

  get busy() {
    return this.repetitions.some((repetition) => !repetition.over) && Boolean(this.run) && !this.run.lost;
  }

  get figures() {
    const figures = this.app.live?.figures(this.repetitions) ?? {};
    if (!this.busy || isKnown(figures.cost)) return figures;
    // While the response streams, the cost is an estimate from the list price.
    const { price_in: inputPrice, price_out: outputPrice } = this.info;
    if (!isKnown(inputPrice) || !isKnown(outputPrice)) return figures;
    const tokens = figures.input ?? this.app.composer.promptTokens(this);
    return { ...figures, cost: (tokens * inputPrice + (figures.output ?? 0) * outputPrice) / 1e6, estimatedCost: true };
  }

  get state() {
    if (!this.repetitions.length) return "idle";
    if (this.busy) return "busy";
    if (this.repetitions.some((repetition) => !repetition.over)) return "lost";
    if (this.repetitions.some((repetition) => repetition.failed)) return "failed";
    if (this.repetitions.some((repetition) => repetition.status === "stopped")) return "stopped";
    return this.repetitions.some((repetition) => repetition.failedAttempts.length || repetition.end?.fallback) ? "fallback" : "ok";
  }

  /** The state that a refused run restores. */
  snapshot() {
    const { repetitions, run, selectedIndex, history, responseLength } = this;
    return { repetitions, run, selectedIndex, history, responseLength };
  }

  /** Clears the responses for a new run; null only clears them. */
  startRun(run) {
    Object.assign(this, { repetitions: [], selectedIndex: 0, run, responseLength: 0 });
    const { ResponseView, Stats } = this.app.live;
    if (!this.response) {
      this.response = new ResponseView(this.content, {
        retry: () => this.app.run([this], { again: true }),
        translation: () => this.app.translate(this),
        expected: () => this.run?.expected,
        scrollsToStart: () => this.app.mode === "compare",
      });
      this.stats = new Stats();
      this.root.append(this.stats.root);
    }
    this.response.reset();
  }

  apply(event) {
    const n = event.n ?? 0;
    let repetition = this.repetitions.find((t) => t.n === n);
    if (!repetition) {
      this.repetitions.push((repetition = new this.app.live.Repetition(this.id, n)));
      this.repetitions.sort((a, b) => a.n - b.n);
    }
    repetition.apply(event);
  }

  #build() {
    const { app } = this;
    this.badge = el("span.letter");
    this.picker = el("button.model-pick", { type: "button", "aria-haspopup": "listbox", onclick: () => app.pickModel(this) });
    this.overridesBadge = el("span.pill.accent", { hidden: true }, _("overridden"));
    this.stateBox = el("span.state-box");
    this.menu = el("button.btn.ghost.sm.icon", { type: "button", "aria-haspopup": "menu", onclick: () => app.columnMenu(this) }, icon("ellipsis"));
    this.turns = el("div.parts");
    this.content = el("div.response-content");
    this.empty = el("div.parts");
    this.note = el("div.note", { hidden: true });
    this.repetitionBar = el("div.repetitions", { hidden: true, role: "group" });
    this.responseTools = el("div.response-tools", { hidden: true });
    this.region = el("div.response", { tabindex: 0, role: "region" }, this.turns, this.empty, this.content, this.responseTools);
    this.head = el("header", {}, this.badge, this.picker, this.overridesBadge, this.stateBox, this.menu);
    this.root = el("section.pcol.card", { role: "group" }, this.head, this.note, this.repetitionBar, this.region);
  }

  /** Renders letter, model and labels; names stay hidden until the blind vote. */
  renderName() {
    const { info, letter } = this;
    this.root.id = `col-${this.id}`;
    const title = this.blind ? _("Hidden model") : info.label;
    this.badge.textContent = letter;
    const answeringProvider = this.selected?.attempts.findLast((t) => !this.selected.failedAttempts.includes(t))?.provider;
    const subtitle = this.blind ? _("hidden until you vote") : info.isUnavailable ? _("no longer available") : this.#providerText(info, answeringProvider);
    // The visible text is part of the name, for speech input.
    this.picker.replaceChildren(visuallyHidden(_("Model of {letter}:", { letter }) + " "), this.blind ? icon("eye-off") : logo(info.preset),
      el("span.trunc", {}, el("b", {}, title), " ", el("small", {}, subtitle)), icon("chevron-down"));
    this.picker.disabled = Boolean(this.blind);
    this.root.setAttribute("aria-label", _("Response {letter}, {model}", { letter, model: title }));
    this.region.setAttribute("aria-label", _("Response {letter}, text", { letter }));
    this.menu.setAttribute("aria-label", _("More for {letter}", { letter }));
    this.menu.disabled = Boolean(this.blind);
    this.overridesBadge.hidden = !Object.keys(this.overrides).length;
    this.overridesBadge.title = Object.keys(this.overrides).map((name) => OVERRIDES[name]?.() ?? name).join(", ");
  }

  #providerText(info, answeringProvider) {
    const failedCount = this.selected?.failedAttempts.length ?? 0;
    const provider = answeringProvider || info.provider || (info.kind === "route" ? _("route") : "");
    return failedCount && answeringProvider ? _("{provider} · attempt {n}", { provider, n: failedCount + 1 }) : provider;
  }

  /** Redraws what may have changed; `rank` says which figures are best. */
  render(rank) {
    const repetition = this.selected;
    this.empty.hidden = Boolean(repetition) || this.history.length > 0;
    if (repetition) this.response.show(repetition, { blind: Boolean(this.blind) });
    if (this.stats) this.stats.root.hidden = !repetition || Boolean(this.blind);
    if (repetition) this.stats.update(this.figures, ["ok", "fallback"].includes(this.state) ? rank : unranked(rank), this.busy);
    if (repetition) this.stats.drawSpeed(repetition.samples);
    this.responseTools.hidden = !repetition?.over || Boolean(this.blind);
    if (!this.responseTools.hidden && !this.responseTools.childElementCount) this.#buildResponseTools();
    this.#renderState();
    this.#renderRepetitions();
    this.#renderNotes();
  }

  #buildResponseTools() {
    const actions = this.app.live.responseActions(this.app, this);
    const button = (name, label, action) => el("button.btn.ghost.sm", { type: "button", onclick: action }, icon(name), label);
    this.responseTools.append(button("i:rotate-cw", _("Regenerate"), actions.run), button("i:pencil", _("Edit"), actions.edit),
      button("i:corner-down-right", _("Branch"), actions.branch), button("i:copy", _("Copy"), actions.copy),
      button("i:languages", _("Translation"), () => this.app.translate(this)));
  }

  #renderState() {
    const { state } = this;
    const key = `${state}${this.letter}${this.selected?.end?.request_id ?? ""}${this.selected?.attempts.length}`;
    if (this.stateKey === key) return;
    this.stateKey = key;
    this.renderName();
    this.root.dataset.state = state;
    if (state === "busy") {
      this.stateBox.replaceChildren(el("button.state.stop", {
        type: "button", title: _("Stop"), "aria-label": _("Stop {letter}, writing", { letter: this.letter }),
        onclick: () => this.run.stop(this.id),
      }, icon("square")));
      return;
    }
    const [kind, name, label] = STATES[state];
    const stateIcon = [icon(name), visuallyHidden(label())];
    const id = !this.blind && this.selected?.end?.request_id;
    // The state links to the request in the log.
    this.stateBox.replaceChildren(id
      ? el(`a.state${kind && "." + kind}`, { href: `${this.app.boot.requests}${encodeURIComponent(id)}`, title: _("{state}. Open in the log", { state: label() }) }, stateIcon)
      : el(`span.state${kind && "." + kind}`, { title: label() }, stateIcon));
  }

  #renderRepetitions() {
    const { repetitions } = this;
    this.repetitionBar.hidden = repetitions.length < 2;
    if (repetitions.length < 2) return;
    const key = repetitions.map((t) => `${t.n}${t.status}${t.passed}`).join() + this.selectedIndex;
    if (this.repetitionKey === key) return;
    this.repetitionKey = key;
    this.repetitionBar.setAttribute("aria-label", _("Repetitions of {letter}", { letter: this.letter }));
    const buttons = repetitions.map((repetition, i) => el(`button.repetition`, {
      type: "button", "aria-pressed": String(i === this.selectedIndex), "data-state": repetition.over ? (repetition.passed ? "ok" : "bad") : "live",
      onclick: () => { this.selectedIndex = i; this.app.refresh(); },
    }, String(i + 1), visuallyHidden(repetition.over ? (repetition.passed ? _("passed") : _("failed")) : _("writing"))));
    const over = repetitions.filter((t) => t.over);
    const label = _("{n} of {m} passed · figures are medians", { n: over.filter((t) => t.passed).length, m: repetitions.length });
    this.repetitionBar.replaceChildren(el("span.row", {}, buttons), el("span.hint.trunc", { title: label }, label));
  }

  #renderNotes() {
    const key = this.notes.join("|");
    if (this.noteKey === key) return;
    this.noteKey = key;
    this.note.hidden = !key;
    this.note.replaceChildren(...this.notes.map((text) => el("p", {}, icon("triangle-alert"), text)));
  }

  focus() {
    this.root.scrollIntoView({ inline: "center", block: "nearest" });
    $(".model-pick", this.root).focus();
  }
}

/** The ranking with the same bar lengths, but no best value. */
const unranked = (rank) => rank && Object.fromEntries(Object.entries(rank).map(([name, row]) => [name, { ...row, best: null }]));

export const OVERRIDES = {
  system: () => _("system prompt"),
  params: () => _("parameters"),
  tools: () => _("tools"),
  schema: () => _("schema"),
};
