// The page: its columns, its modes, and a run from the button to the last event.
import { buttons, current, emptyWords, notes, strip } from "./bars.js";
import { Column } from "./column.js";
import { Composer } from "./composer.js";
import { split } from "./conversation.js";
import { $, $$, _, el, icon, notice, say } from "./dom.js";
import { seconds, tokensOf } from "./format.js";
import { composerValues, initialSettings, overridesOf, parseCases, saveDraft } from "./storage.js";
import { Picker } from "./picker.js";

const LETTERS = "ABCDEFGH";

// Fetched when they are first needed: `later.code().then((m) => m.getCode(column))`.
const later = {
  code: () => import("./code.js"),
  diff: () => import("./diff.js"),
  history: () => import("./history.js"),
  live: () => import("./live.js"),
  menus: () => import("./menus.js"),
  matrix: () => import("./matrix.js"),
  vote: () => import("./vote.js"),
};

class App {
  constructor() {
    this.boot = JSON.parse($("#boot").textContent);
    for (const list of ["models", "presets", "dialects", "samples"]) this.boot[list] ??= [];
    Object.assign(this, { columns: [], mode: "compare", runs: new Set(), carried: [], order: null, preset: null, blind: null });
    this.host = $("#pg-cols");
    this.picker = new Picker(this.boot.models);
    Object.assign(this, { live: null, matrix: null, storedCases: [] });
    this.composer = new Composer(this);
    this.addButton = el("button.addcol", { type: "button", title: _("Add a model"), "aria-label": _("Add a model"), onclick: () => this.add() }, icon("plus"));
    this.host.append(this.addButton);
    this.#listen();
    this.#start();
    $("#pg").hidden = false;
    setInterval(() => this.busy && this.refresh(), 100);
  }

  // Page elements

  get busy() {
    return [...this.runs].some((run) => !run.done && !run.lost);
  }

  get lastRun() {
    return [...this.runs].at(-1);
  }

  /** The columns that a run asks: one in a chat. */
  active = () => (this.mode === "chat" ? this.columns.slice(0, 1) : this.columns);

  cases = () => (this.mode === "matrix" ? Math.max(1, this.matrix?.filled.length ?? 0) : 1);

  /** Tokens of the messages that a column is sent before the new one. */
  earlier = (column) => tokensOf(JSON.stringify(this.mode === "matrix" ? this.carried : column.history)) - 1;

  /** Whether a run makes sense without a new message: the conversation waits for an answer. */
  answerable = () => this.active().every(({ history }) => history.length > 0 && (this.prefilled || history.at(-1).role !== "assistant"));

  add(model) {
    if (this.columns.length >= LETTERS.length) return null;
    const id = [...LETTERS].find((letter) => !this.columns.some((c) => c.id === letter));
    const column = new Column(id, model ?? this.#suggested(), this);
    column.empty.append(emptyWords(this));
    column.history = [...this.carried];
    this.columns.push(column);
    this.addButton.before(column.root);
    this.layout();
    if (!model && this.mode !== "matrix") this.pickModel(column);
    return column;
  }

  /** A model for a new column: routes first, those of the demo only if nothing else is there. */
  #suggested() {
    const { models } = this.boot;
    const free = models.filter((m) => !this.columns.some((c) => c.model === m.id));
    const usual = free.find((m) => m.kind === "route") ?? free.find((m) => m.preset !== "demo");
    return (usual ?? models[0])?.id ?? "";
  }

  remove(column) {
    column.run?.stop(column.id);
    this.columns = this.columns.filter((c) => c !== column);
    column.root.remove();
    this.layout();
    (this.columns[0] ?? this.add())?.focus();
    say(_("{letter} removed.", { letter: column.id }));
  }

  pickModel(column, anchor = column.picker) {
    this.picker.open(anchor, column.model, (id) => {
      column.model = id;
      column.name();
      this.layout();
    });
  }

  columnMenu = (column) => later.menus().then((m) => m.columnMenu(column, this));

  translate = (column) => later.code().then((m) => m.translation(column, this));

  // A run

  /** Asks some columns, or all of the mode. */
  async run(columns = this.active()) {
    const input = this.mode === "matrix" ? this.#matrixInput() : this.#chatInput();
    if (!input || !columns.length) return;
    await this.ready();
    const blind = this.mode === "compare" && $("#pg-blind").checked && columns.length > 1 && columns.length === this.columns.length;
    const { message, ...shared } = input;
    const columnSettings = columns.map((c) => ({ id: c.id, model: c.model, ...c.overrides, ...this.#columnMessages(c, message) }));
    const run = new this.live.Run((event, source) => this.#handleEvent(event, source));
    Object.assign(run, { columns, matrix: this.mode === "matrix", expected: input.expected });
    run.before = columns.map((column) => [column, { repetitions: column.repetitions, run: column.run, pick: column.pick, asked: column.asked, live: column.live, grown: column.grown }]);
    for (const column of columns) {
      // A column that is still writing is asked anew: its old answer would go on costing.
      if (column.busy) column.run.stop(column.id);
      if (!run.matrix) column.begin(run);
      column.asked = message;
    }
    if (run.matrix) this.matrix.begin(run);
    await this.#hideNames(blind, columns);
    this.runs.add(run);
    $("#pg").dataset.runs = (this.started = (this.started ?? 0) + 1);
    this.compareWith("");
    this.layout();
    say(_("Running {n} columns.", { n: columns.length }));
    await this.#follow(run, run.start(run.matrix ? "/matrix" : "/runs", { ...shared, columns: columnSettings, blind, ...(this.preset ? { preset: this.presetName } : {}) }));
  }

  async #follow(run, reading) {
    $("#pg-lost").hidden = true;
    try {
      await reading;
    } catch (error) {
      if (!(error instanceof this.live.Refused)) throw error;
      run.done = true;
      this.runs.delete(run);
      // The request was refused: restore the previous answers.
      for (const [column, was] of run.before ?? []) {
        column.begin(null);
        Object.assign(column, was);
      }
      if (error.signIn) this.#signIn(error.signIn);
      this.composer.errors(error.fields);
    }
    $("#pg-lost").hidden = !run.lost;
    if (run.lost) for (const repetition of this.#repetitionsOf(run)) repetition.disconnect();
    if (run.lost) say(_("The connection was lost. The received text is shown."));
    if (run.done) this.#finished(run);
    this.refresh(true);
  }

  #handleEvent(event, run) {
    if (run.matrix) this.matrix.apply(event);
    else if (event.col) {
      const column = run.columns.find((c) => c.id === event.col);
      if (column?.run === run) column.apply(event);
      if (event.type === "end" && column && !column.blind) {
        const ms = event.total_ms;
        say(event.status === "ok" ? _("{letter} finished after {s} s.", { letter: column.letter, s: seconds(ms) }) : _("{letter} ended: {status}.", { letter: column.letter, status: event.status }));
      }
    }
    this.refresh();
  }

  #repetitionsOf = (run) => (run.matrix ? [...this.matrix.cells.values()].flat() : run.columns.filter((c) => c.run === run).flatMap((c) => c.repetitions));

  #finished(run) {
    // A run that ended without a word on some answers was lost with its process.
    for (const repetition of this.#repetitionsOf(run)) repetition.interrupt();
    if (run.matrix || !run.columns.some((c) => c.run === run)) return;
    if (this.mode === "chat") this.#appendTurn(run.columns[0]);
    this.layout();
    if (this.order && !this.busy) {
      this.vote.ask(this.order, run, () => {
        this.order = null;
        this.vote.reveal(this.columns);
        this.layout();
      });
    }
    const done = this.columns.filter((c) => c.state === "ok" || c.state === "fallback").length;
    if (run.columns.length > 1) say(_("{n} of {m} answers finished.", { n: done, m: run.columns.length }));
  }

  #signIn(address) {
    this.#saveDraft();
    location.assign(address);
  }

  async stop() {
    await Promise.all([...this.runs].filter((run) => !run.done).map((run) => run.stop()));
  }

  #chatInput() {
    const input = this.composer.input();
    if (!input) return null;
    const message = this.composer.filled ? { role: "user", content: this.composer.content } : null;
    return { ...input, message, messages: [...this.carried, ...(message ? [message] : [])] };
  }

  /** A column's conversation where it differs from the one that all columns share. */
  #columnMessages(column, message) {
    if (this.mode === "matrix" || JSON.stringify(column.history) === JSON.stringify(this.carried)) return {};
    return { messages: [...column.history, ...(message ? [message] : [])] };
  }

  #matrixInput() {
    const cases = this.matrix.input();
    if (!cases) return null;
    const input = this.composer.input({ message: false });
    return input && { ...input, cases };
  }

  /** Clears all earlier messages. */
  newConversation() {
    Object.assign(this, { carried: [], prefilled: false });
    for (const column of this.columns) {
      Object.assign(column, { history: [], asked: null, live: 0 });
      if (column.answer) column.begin(null);
    }
    this.layout();
    this.composer.text.focus();
  }

  /** In a chat, the answer becomes part of the next request. */
  #appendTurn(column) {
    if (!this.live.answers(column.shown)) return;
    this.live.grow(column);
    this.composer.clear();
  }

  /** Columns whose answer can be replied to. */
  #replyable = () => (this.mode === "compare" && !this.busy && !this.order ? this.columns.filter((c) => c.shown?.over && !c.grown) : []);

  async #hideNames(blind, columns) {
    if (!blind && !this.vote) return;
    this.vote ??= await later.vote();
    this.vote.reveal(this.columns);
    $("#pg-vote").hidden = true;
    this.order = blind ? this.vote.hide(columns) : null;
    for (const column of this.order ?? this.columns) this.addButton.before(column.root);
  }

  async compareWith(id) {
    $("#pg-diff").value = id;
    if (!id && !this.diff) return;
    this.diff ??= await later.diff();
    this.diff.showDifferences(this.columns, this.columns.find((c) => c.id === id));
  }

  /** The part of the page that runs need. */
  async ready() {
    this.live ??= await later.live();
  }

  // Drawing

  changed() {
    this.refresh();
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.#saveDraft(), 400);
  }

  /** Draws once per frame, however many events came. */
  refresh(now = false) {
    if (now) return this.#paint();
    this.frame ??= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const columns = this.active();
    const { live } = this;
    const rank = live?.ranking(columns);
    const images = this.composer.images.list.length;
    const asks = { tools: this.composer.tools.values.length, schema: this.composer.schemaBox.value.trim() };
    for (const column of columns) {
      column.notes = notes(column, images, asks);
      column.paint(rank);
    }
    if (this.mode === "matrix") this.matrix?.paint();
    const shown = this.order || this.mode !== "compare" ? [] : columns;
    live?.draw($("#pg-timeline"), shown);
    live?.result($("#pg-result"), shown);
    buttons(this, columns);
    $("#pg-reply").hidden = !this.#replyable().length;
    strip(this, columns);
  }

  layout() {
    const shown = this.active();
    for (const column of this.columns) column.root.hidden = !shown.includes(column);
    this.host.style.setProperty("--n", shown.length);
    this.addButton.hidden = this.mode === "chat" || this.columns.length >= LETTERS.length;
    this.host.dataset.full = this.addButton.hidden ? "yes" : "no";
    this.live?.drawTurns(this);
    if (this.mode === "matrix") this.matrix?.build();
    this.composer.estimate();
    this.changed();
  }

  async #openMatrix() {
    if (this.matrix) return;
    const { Matrix } = await later.matrix();
    await this.ready();
    this.matrix ??= new Matrix(this);
    this.matrix.set(this.storedCases);
  }

  async setMode(mode) {
    if (mode === "matrix") await this.#openMatrix();
    // A conversation in the chat goes along: into all columns, and before every case.
    if (this.mode === "chat" && mode !== "chat" && this.columns.length) this.#share(this.columns[0].history);
    this.mode = mode;
    $("#pg").dataset.mode = mode;
    for (const button of $$("#pg-modes [data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    $("#pg-matrix").hidden = mode !== "matrix";
    this.host.hidden = mode === "matrix";
    $("#tab-message").hidden = $("#tab-images").hidden = mode === "matrix";
    if (mode === "matrix") this.composer.choose("system");
    else if (this.composer.form.dataset.part !== "tab-message") this.composer.choose("message");
    this.composer.text.placeholder = mode === "chat" ? _("Write a message. Paste or drop images here.") : _("Send the same message to all columns. Paste or drop images here.");
    $(".colnav").hidden = mode !== "compare";
    $("#pg-blind-label").hidden = mode !== "compare";
    if (mode === "compare") while (this.columns.length < 2) this.add(this.#suggested());
    this.layout();
  }

  #share(messages) {
    const before = JSON.stringify(this.carried);
    for (const column of this.columns) if (JSON.stringify(column.history) === before) column.history = [...messages];
    Object.assign(this, { carried: [...messages], prefilled: false });
  }

  // Saving and restoring

  snapshot() {
    return { mode: this.mode, columns: this.columns.map((c) => ({ id: c.id, model: c.model, ...c.overrides })), earlier: this.carried, cases: this.matrix?.cases ?? this.storedCases, ...this.composer.values };
  }

  #saveDraft() {
    const histories = Object.fromEntries(this.columns.map((c) => [c.id, c.history]));
    saveDraft({ ...this.snapshot(), preset: this.preset, histories });
  }

  /** Restores a preset, a draft or the settings of a stored run. */
  async restore(settings) {
    this.composer.values = composerValues(settings);
    if (settings.cases) this.storedCases = parseCases(settings.cases);
    if (settings.cases) this.matrix?.set(this.storedCases);
    this.carried = settings.earlier ?? split(settings.messages ?? settings.cases?.[0]?.messages).earlier;
    this.prefilled = !settings.earlier && this.carried.at(-1)?.role === "assistant";
    if (settings.columns?.length) {
      for (const column of this.columns) column.root.remove();
      this.columns = [];
      for (const { id, model, ...overrides } of settings.columns.slice(0, LETTERS.length)) {
        const column = this.add(model);
        if (id && !this.columns.some((c) => c.id === id)) column.id = id;
        column.overrides = overridesOf(overrides);
        column.history = settings.histories?.[column.id] ?? (overrides.messages ? this.#before(overrides.messages) : [...this.carried]);
        column.name();
      }
    }
    if (this.columns.some((c) => c.history.length)) await this.ready();
    const mode = settings.mode ?? (this.columns.length > 1 ? "compare" : "chat");
    this.mode = mode;
    await this.setMode(mode);
  }

  /** A column's messages without the one that stands in the composer. */
  #before = (messages) => split(messages).earlier;

  setPreset(id) {
    this.preset = id;
    const found = this.boot.presets.find((p) => p.id === id);
    this.presetName = found?.name ?? "";
    $("#pg-preset").replaceChildren(found?.name ?? _("Presets"), found ? el("span.pill", {}, `v${found.version}`) : "");
    this.#saveDraft();
  }

  async #start() {
    const { boot } = this;
    const chosen = initialSettings(boot);
    await this.restore({ ...chosen, mode: chosen.mode ?? undefined });
    this.setPreset(boot.presets.find((p) => [p.id, p.name].includes(chosen.preset))?.id ?? null);
    if (!boot.models.length) notice(_("No models yet. Add a provider first."), "warn");
    if (boot.notice) notice(boot.notice, "warn", { stays: true });
    if (boot.run) await this.#reopen(boot.run);
  }

  /** Opens a shared or past run by replaying its events. */
  async #reopen(stored) {
    await this.ready();
    const run = new this.live.Run((event, source) => this.#handleEvent(event, source));
    run.id = stored.id;
    run.last = "0";
    Object.assign(run, { columns: this.columns, matrix: this.mode === "matrix", expected: stored.settings.expected });
    if (run.matrix) this.matrix.begin(run);
    else for (const column of this.columns) column.begin(run);
    for (const column of this.columns) column.asked = this.composer.filled ? { role: "user", content: this.composer.content } : null;
    this.layout();
    this.runs.add(run);
    this.#follow(run, run.resume());
  }

  // User actions

  #listen() {
    const actions = {
      stop: () => this.stop(),
      resume: () => { for (const run of this.runs) if (run.lost && !run.done) this.#follow(run, run.resume()); },
      reply: () => this.live.reply(this, this.#replyable()),
      presets: (button) => later.history().then((m) => m.presetMenu(button, this)),
      history: () => later.history().then((m) => m.openHistory()),
      share: () => later.history().then((m) => m.share(this.lastRun)),
      export: (button) => later.history().then((m) => m.exportMenu(button, this.lastRun)),
      code: () => later.code().then((m) => m.getCode(this.columns.find((c) => c.run?.id), this)),
      scoreboard: () => later.vote().then((m) => m.scoreboard()),
      more: (button) => later.menus().then((m) => m.moreMenu(button, this, actions)),
    };
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) actions[button.dataset.do]?.(button);
    });
    for (const button of $$("#pg-modes [data-mode]")) button.onclick = () => this.setMode(button.dataset.mode);
    $("#pg-diff").onchange = (event) => this.compareWith(event.target.value);
    $("#pg-form").addEventListener("focusin", () => this.ready(), { once: true });
    this.host.addEventListener("scroll", () => current(this), { passive: true });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("dialog[open]")) {
        event.preventDefault();
        if (!this.busy) this.run();
      }
      if (event.key === "Escape" && this.busy && !$("dialog[open], :popover-open")) this.stop();
    });
  }
}

new App();
