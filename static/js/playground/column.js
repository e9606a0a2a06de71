// One column: a letter, a model, its answer in one or more takes, its figures, its menu.
import { $, _, el, hidden, icon, logo } from "./dom.js";

const STATES = {
  idle: ["", "i:circle", () => _("Not run yet")],
  ok: ["ok", "i:circle-check", () => _("Done")],
  fallback: ["warn", "i:shuffle", () => _("Done, after a fallback")],
  failed: ["bad", "i:circle-x", () => _("Failed")],
  stopped: ["", "i:circle-stop", () => _("Stopped")],
  lost: ["warn", "i:unplug", () => _("Connection lost")],
};

export class Column {
  constructor(id, model, app) {
    Object.assign(this, { id, model, app, own: {}, takes: [], pick: 0, run: null, blind: "", notes: [] });
    this.#build();
    this.name();
  }

  get letter() {
    return this.blind || this.id;
  }

  get info() {
    return this.app.boot.models.find((m) => m.id === this.model) ?? { id: this.model, label: this.model, gone: true };
  }

  get shown() {
    return this.takes[this.pick] ?? this.takes[0];
  }

  get busy() {
    return this.takes.some((take) => !take.over) && Boolean(this.run) && !this.run.lost;
  }

  get figures() {
    return this.app.live?.figures(this.takes) ?? {};
  }

  get state() {
    if (!this.takes.length) return "idle";
    if (this.busy) return "busy";
    if (this.takes.some((t) => !t.over)) return "lost";
    if (this.takes.some((t) => t.failed)) return "failed";
    if (this.takes.some((t) => t.status === "stopped")) return "stopped";
    return this.takes.some((t) => t.tries.length || t.end?.fallback) ? "fallback" : "ok";
  }

  /** Ready for a new run. */
  begin(run) {
    Object.assign(this, { takes: [], pick: 0, run });
    const { Answer, Stats } = this.app.live;
    if (!this.answer) {
      this.answer = new Answer(this.content, {
        retry: () => this.app.run([this]),
        translation: () => this.app.translate(this),
        expected: () => this.run?.expected,
      });
      this.stats = new Stats();
      this.root.append(this.stats.root);
    }
    this.answer.reset();
  }

  apply(event) {
    const n = event.n ?? 0;
    let take = this.takes.find((t) => t.n === n);
    if (!take) {
      this.takes.push((take = new this.app.live.Take(this.id, n)));
      this.takes.sort((a, b) => a.n - b.n);
    }
    take.apply(event);
  }

  #build() {
    const { app } = this;
    this.badge = el("span.letter");
    this.picker = el("button.model-pick", { type: "button", "aria-haspopup": "listbox", onclick: () => app.pickModel(this) });
    this.ownBadge = el("span.pill.accent", { hidden: true }, _("own"));
    this.stateBox = el("span.state-box");
    this.menu = el("button.btn.ghost.sm.icon", { type: "button", "aria-haspopup": "menu", onclick: () => app.columnMenu(this) }, icon("ellipsis"));
    this.turns = el("div.parts");
    this.content = el("div.answer-in");
    this.empty = el("div.parts");
    this.note = el("div.note", { hidden: true });
    this.takeBar = el("div.takes", { hidden: true, role: "group" });
    this.region = el("div.answer", { tabindex: 0, role: "region" }, this.turns, this.empty, this.content);
    this.head = el("header", {}, this.badge, this.picker, this.ownBadge, this.stateBox, this.menu);
    this.root = el("section.pcol.card", { role: "group" }, this.head, this.note, this.takeBar, this.region);
  }

  /** Letter, model and labels; hidden names while the vote is open. */
  name() {
    const { info, letter } = this;
    this.root.id = `col-${this.id}`;
    const title = this.blind ? _("Hidden model") : info.label;
    this.badge.textContent = letter;
    const answered = this.shown?.attempts.findLast((t) => !this.shown.tries.includes(t))?.provider;
    const small = this.blind ? _("until you vote") : info.gone ? _("no longer available") : this.#where(info, answered);
    // The visible words are part of the name: people may say them to their computer.
    this.picker.replaceChildren(hidden(_("Model of {letter}:", { letter }) + " "), this.blind ? icon("eye-off") : logo(info.preset),
      el("span.trunc", {}, el("b", {}, title), " ", el("small", {}, small)), icon("chevron-down"));
    this.picker.disabled = Boolean(this.blind);
    this.root.setAttribute("aria-label", _("Answer {letter}, {model}", { letter, model: title }));
    this.region.setAttribute("aria-label", _("Answer {letter}, text", { letter }));
    this.menu.setAttribute("aria-label", _("More for {letter}", { letter }));
    this.menu.disabled = Boolean(this.blind);
    this.ownBadge.hidden = !Object.keys(this.own).length;
    this.ownBadge.title = Object.keys(this.own).map((name) => OWN[name]?.() ?? name).join(", ");
  }

  #where(info, answered) {
    const tries = this.shown?.tries.length ?? 0;
    const who = answered || info.provider || (info.kind === "route" ? _("route") : "");
    return tries && answered ? _("{who} · try {n}", { who, n: tries + 1 }) : who;
  }

  /** Redraws what may have changed; `rank` says which figures are best. */
  paint(rank) {
    const take = this.shown;
    this.empty.hidden = Boolean(take) || this.turns.childElementCount > 0;
    if (take) this.answer.show(take, { blind: Boolean(this.blind) });
    if (this.stats) this.stats.root.hidden = !take || Boolean(this.blind);
    if (take) this.stats.update(this.figures, rank, this.busy);
    this.#paintState();
    this.#paintTakes();
    this.#paintNotes();
  }

  #paintState() {
    const { state } = this;
    const key = `${state}${this.letter}${this.shown?.end?.request_id ?? ""}${this.shown?.attempts.length}`;
    if (this.stateKey === key) return;
    this.stateKey = key;
    this.name();
    this.root.dataset.state = state;
    if (state === "busy") {
      this.stateBox.replaceChildren(el("button.state.stop", {
        type: "button", title: _("Stop"), "aria-label": _("Stop {letter}, writing", { letter: this.letter }),
        onclick: () => this.run.stop(this.id),
      }, icon("square")));
      return;
    }
    const [kind, name, words] = STATES[state];
    const sign = [icon(name), hidden(words())];
    const id = !this.blind && this.shown?.end?.request_id;
    // The state leads to the whole story in the log.
    this.stateBox.replaceChildren(id
      ? el(`a.state${kind && "." + kind}`, { href: `${this.app.boot.requests ?? "/console/requests/"}${encodeURIComponent(id)}`, title: _("{state}. Open in the log", { state: words() }) }, sign)
      : el(`span.state${kind && "." + kind}`, { title: words() }, sign));
  }

  #paintTakes() {
    const { takes } = this;
    this.takeBar.hidden = takes.length < 2;
    if (takes.length < 2) return;
    const key = takes.map((t) => `${t.n}${t.status}${t.good}`).join() + this.pick;
    if (this.takeKey === key) return;
    this.takeKey = key;
    this.takeBar.setAttribute("aria-label", _("Repetitions of {letter}", { letter: this.letter }));
    const buttons = takes.map((take, i) => el(`button.take`, {
      type: "button", "aria-pressed": String(i === this.pick), "data-state": take.over ? (take.good ? "ok" : "bad") : "live",
      onclick: () => { this.pick = i; this.app.refresh(); },
    }, String(i + 1), hidden(take.over ? (take.good ? _("good") : _("with a problem")) : _("writing"))));
    const over = takes.filter((t) => t.over);
    const words = _("{n} of {m} good · figures are medians", { n: over.filter((t) => t.good).length, m: takes.length });
    this.takeBar.replaceChildren(el("span.row", {}, buttons), el("span.hint.trunc", { title: words }, words));
  }

  #paintNotes() {
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

export const OWN = {
  system: () => _("system prompt"),
  params: () => _("parameters"),
  tools: () => _("tools"),
  schema: () => _("schema"),
};
