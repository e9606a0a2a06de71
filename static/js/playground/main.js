// The playground page: its columns, its modes, and when to draw them.
import { bindActions } from "./actions.js";
import { emptyColumn, renderColumnNav, renderRunButton, unsupportedFeatures } from "./bars.js";
import { Column } from "./column.js";
import { Composer } from "./composer.js";
import { $, $$, _, el, icon, notice, announce } from "./dom.js";
import { tokensOf } from "../format.js";
import { lazy } from "./lazy.js";
import { Picker } from "./picker.js";
import { MAX_COLUMNS, restore, saveDraftOf, setPreset } from "./settings.js";
import { initialSettings } from "./storage.js";

const LETTERS = "ABCDEFGH";

class App {
  constructor() {
    this.boot = JSON.parse($("#boot").textContent);
    for (const list of ["models", "presets", "dialects", "samples"]) this.boot[list] ??= [];
    // `sharedMessages`: the earlier conversation that all columns begin with.
    Object.assign(this, { columns: [], mode: "compare", sharedMessages: [], preset: null });
    this.host = $("#pg-cols");
    this.picker = new Picker(() => this.models);
    Object.assign(this, { live: null, runs: null });
    this.composer = new Composer(this);
    this.addButton = el("button.addcol", { type: "button", title: _("Add a model"), "aria-label": _("Add a model"), onclick: () => this.add() }, icon("plus"));
    this.host.append(this.addButton);
    bindActions(this);
    this.#start();
    $("#pg").hidden = false;
    setInterval(() => this.busy && this.refresh(), 100);
  }

  async #start() {
    const { boot } = this;
    const settings = initialSettings({ ...boot, models: this.models });
    await restore(this, { ...settings, mode: settings.mode ?? undefined });
    setPreset(this, boot.presets.find((p) => [p.id, p.name].includes(settings.preset))?.id ?? null);
    if (!boot.models.length) notice(_("No models yet. Add a provider first."), "warn");
    if (boot.notice) notice(boot.notice, "warn", { isPermanent: true });
    if (!boot.run) return;
    await this.loadLive();
    await this.runs.reopen(boot.run, settings);
  }

  /** Loads the modules that only runs need. */
  async loadLive() {
    const live = await lazy.live();
    this.live ??= live;
    this.runs ??= new live.Runs(this);
  }

  /** The id of the user's own key that pays; null for users with the playground's budget. */
  get key() {
    return Number($("#pg-key")?.value) || null;
  }

  /** The models that can be called, with the selected key. */
  get models() {
    return this.boot.models.filter((m) => !m.keys || m.keys.includes(this.key));
  }

  get busy() {
    return Boolean(this.runs?.busy);
  }

  /** The columns of an open blind vote, in their shuffled order; null without one. */
  get blindOrder() {
    return this.runs?.blindOrder ?? null;
  }

  async run(columns, options) {
    if (!columns && this.busy) return;
    await this.loadLive();
    await this.runs.start(columns, options);
  }

  // Columns

  /** The columns of a run: only the first in chat mode. */
  active = () => (this.mode === "chat" ? this.columns.slice(0, 1) : this.columns);

  /** Estimated tokens of the earlier messages of a column. */
  earlierTokens = (column) => tokensOf(JSON.stringify(column.history)) - 1;

  /** Whether a run needs no new message: the conversation ends with one to answer. */
  answerable = (columns) => columns.every(({ history }) => history.length > 0 && (this.prefilled || history.at(-1).role !== "assistant"));

  /** Whether a run without a new message generates the latest responses again. */
  get isRegeneration() {
    return !this.composer.hasMessage && this.active().some((column) => column.responseLength);
  }

  add(model) {
    if (this.columns.length >= MAX_COLUMNS) return null;
    const id = [...LETTERS].find((letter) => !this.columns.some((c) => c.id === letter));
    const column = new Column(id, model ?? this.#suggestedModel(), this);
    column.empty.append(emptyColumn(this));
    column.history = this.#commonMessages();
    this.columns.push(column);
    this.addButton.before(column.root);
    this.layout();
    if (model === undefined) this.pickModel(column);
    return column;
  }

  /** The messages with which all conversations begin. */
  #commonMessages() {
    const [first, ...others] = this.columns.map((column) => column.history.map((message) => JSON.stringify(message)));
    if (!first) return [...this.sharedMessages];
    const end = first.findIndex((message, i) => others.some((other) => other[i] !== message));
    const count = end < 0 ? first.length - (others.length ? 0 : this.columns[0].responseLength) : end;
    return this.columns[0].history.slice(0, count);
  }

  /** A model for a new column: routes first, demo models only if there are no others. */
  #suggestedModel() {
    const { models } = this;
    const unused = models.filter((m) => !this.columns.some((c) => c.model === m.id));
    const preferred = unused.find((m) => m.kind === "route") ?? unused.find((m) => m.preset !== "demo");
    return (preferred ?? models[0])?.id ?? "";
  }

  remove(column) {
    column.run?.stop(column.id);
    this.columns = this.columns.filter((c) => c !== column);
    column.root.remove();
    this.layout();
    (this.columns[0] ?? this.add())?.focus();
    announce(_("{letter} removed.", { letter: column.id }));
  }

  pickModel(column, anchor = column.picker) {
    this.picker.open(anchor, column.model, (id) => {
      column.model = id;
      column.renderName();
      this.layout();
    });
  }

  columnMenu = (column) => lazy.menus().then((m) => m.columnMenu(column, this));

  translate = (column) => lazy.code().then((m) => m.openTranslation(column, this));

  async compareWith(id) {
    $("#pg-diff").value = id;
    if (!id && !this.diff) return;
    this.diff ??= await lazy.diff();
    this.diff.showDifferences(this.columns, this.columns.find((c) => c.id === id));
  }

  /** Clears all earlier messages. */
  newConversation() {
    Object.assign(this, { sharedMessages: [], prefilled: false });
    for (const column of this.columns) {
      Object.assign(column, { history: [], responseLength: 0 });
      if (column.response) column.startRun(null);
    }
    this.runs?.setAddress(null);
    this.layout();
    this.composer.text.focus();
  }

  // Modes

  setMode(mode) {
    // The conversation of the chat is copied into all columns.
    if (this.mode === "chat" && mode !== "chat" && this.columns.length) this.#shareMessages(this.columns[0].history);
    this.mode = mode;
    $("#pg").dataset.mode = mode;
    for (const button of $$("#pg-modes [data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    if (this.composer.form.dataset.part !== "tab-message") this.composer.selectTab("message");
    this.composer.text.placeholder = mode === "chat" ? _("Write a message. Paste or drop images here.") : _("Send a message to all columns. Paste or drop images here.");
    $(".colnav").hidden = mode !== "compare";
    $("#pg-blind-label").hidden = $("#pg-view").hidden = mode !== "compare";
    if (mode === "compare") while (this.columns.length < 2) this.add(this.#suggestedModel());
    this.layout();
  }

  #shareMessages(messages) {
    const before = JSON.stringify(this.sharedMessages);
    for (const column of this.columns) if (JSON.stringify(column.history) === before) column.history = [...messages];
    Object.assign(this, { sharedMessages: [...messages], prefilled: false });
  }

  // Drawing

  /** Draws what depends on a changed value, and saves the draft soon. */
  changed() {
    this.refresh();
    clearTimeout(this.saveTimer);
    this.saveTimer = setTimeout(() => saveDraftOf(this), 400);
  }

  /** Draws once per frame, however many events came. */
  refresh(now = false) {
    if (now) return this.#render();
    this.frame ??= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const columns = this.active();
    const { live } = this;
    const rank = live?.ranking(columns);
    const images = this.composer.images.list.length;
    const parts = { tools: this.composer.tools.values.length, schema: this.composer.schemaBox.value.trim() };
    for (const column of columns) {
      column.notes = unsupportedFeatures(column, images, parts);
      column.render(rank);
    }
    const compared = this.blindOrder || this.mode !== "compare" ? [] : columns;
    live?.drawTimeline($("#pg-timeline"), compared);
    live?.drawSummary($("#pg-result"), compared);
    renderRunButton(this, columns);
    $("#pg-new").hidden = this.busy || !this.columns.some((column) => column.history.length);
    renderColumnNav(this, columns);
  }

  /** Shows the columns of the mode and redraws their conversations. */
  layout() {
    const active = this.active();
    for (const column of this.columns) column.root.hidden = !active.includes(column);
    this.host.style.setProperty("--n", active.length);
    this.addButton.hidden = this.mode === "chat" || this.columns.length >= MAX_COLUMNS;
    this.host.dataset.full = this.addButton.hidden ? "yes" : "no";
    this.live?.drawTurns(this);
    this.composer.estimate();
    this.changed();
  }
}

new App();
