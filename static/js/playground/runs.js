// Runs: starts them, reads the events of each, and replays stored runs.
import { $, _, announce, baseUrl } from "./dom.js";
import { ms } from "../format.js";
import { lazy } from "./lazy.js";
import { saveDraftOf } from "./settings.js";

export class Runs {
  constructor(app) {
    this.app = app;
    this.list = new Set();
    this.startedCount = 0;
    // The columns of an open blind vote, in their shuffled order.
    this.blindOrder = null;
    this.voteModule = null;
    // The id of the run in the page's address, which a reload opens again.
    this.addressed = "";
  }

  get busy() {
    return [...this.list].some((run) => !run.done && !run.lost);
  }

  get latest() {
    return [...this.list].at(-1);
  }

  /** Starts a run of some columns, by default of all that the mode shows. */
  async start(columns = this.app.active(), { again = false } = {}) {
    const { app } = this;
    // A double click: the server has not accepted the first run yet.
    if (columns.some(({ run }) => run && !run.id && !run.done && !run.lost)) return;
    const { message, before } = this.#addMessage(columns, again);
    const input = this.#chatInput(columns, message);
    if (!input || !columns.length) return this.#restore(before);
    const blind = app.mode === "compare" && $("#pg-blind").checked && columns.length > 1 && columns.length === app.columns.length;
    const columnSettings = columns.map((c) => ({ id: c.id, model: c.model, ...c.overrides, ...this.#columnMessages(c, input.messages) }));
    const run = this.#newRun(columns, input.expected);
    Object.assign(run, { before, message });
    for (const column of columns) {
      // Stop a response that is still streaming: it would go on to cost money.
      if (column.busy) column.run.stop(column.id);
      column.startRun(run);
    }
    if (message) app.composer.clear();
    await this.#hideNames(blind, columns);
    this.list.add(run);
    $("#pg").dataset.runs = this.startedCount += 1;
    app.compareWith("");
    app.layout();
    announce(columns.length === 1 ? _("Running 1 column.") : _("Running {n} columns.", { n: columns.length }));
    const body = { ...input, columns: columnSettings, blind, ...(app.preset ? { preset: app.presetName } : {}), ...(app.key ? { key: app.key } : {}) };
    await this.#follow(run, run.start("/runs", body));
  }

  /** What a draft stores about the run in the address. */
  get draft() {
    return { run: this.addressed, responseLengths: Object.fromEntries(this.app.columns.map((c) => [c.id, c.responseLength])) };
  }

  /** Opens a shared or past run by replaying its events; a draft's conversations already end with its responses. */
  async reopen(storedRun, { responseLengths = {} }) {
    const { app } = this;
    for (const column of app.columns) column.history = column.history.slice(0, column.history.length - (responseLengths[column.id] ?? 0));
    const run = this.#newRun(app.columns, storedRun.settings.expected);
    Object.assign(run, { id: storedRun.id, lastEventId: "0" });
    for (const column of app.columns) column.startRun(run);
    app.layout();
    this.list.add(run);
    this.#follow(run, run.resume());
  }

  /** Continues all runs whose connection was lost. */
  resume() {
    for (const run of this.list) if (run.lost && !run.done) this.#follow(run, run.resume());
  }

  async stop() {
    await Promise.all([...this.list].filter((run) => !run.done).map((run) => run.stop()));
  }

  #newRun(columns, expected) {
    const { app } = this;
    const run = new app.live.Run((event, source) => this.#handleEvent(event, source));
    return Object.assign(run, { columns, expected });
  }

  async #follow(run, streamEnd) {
    const { app } = this;
    $("#pg-lost").hidden = true;
    try {
      await streamEnd;
    } catch (error) {
      if (!(error instanceof app.live.Refused)) throw error;
      this.#handleRefusal(run, error);
    }
    $("#pg-lost").hidden = !run.lost;
    if (run.lost) for (const repetition of this.#repetitionsOf(run)) repetition.disconnect();
    if (run.lost) announce(_("The connection was lost. The received text is shown."));
    if (run.done) this.#finish(run);
    app.refresh(true);
  }

  /** The server refused the run: restores the previous responses and shows the errors. */
  #handleRefusal(run, error) {
    run.done = true;
    this.list.delete(run);
    for (const [column] of run.before ?? []) column.startRun(null);
    this.#restore(run.before);
    if (run.message && !this.app.composer.hasMessage) this.app.composer.content = run.message.content;
    if (error.signIn) {
      saveDraftOf(this.app);
      location.assign(this.#signInUrl(error.signIn));
    }
    this.app.composer.showErrors(error.fields);
  }

  /** Returns to the draft: the settings of a link in the address would replace it. */
  #signInUrl(url) {
    const signInUrl = new URL(url, location.href);
    if (!this.addressed) signInUrl.searchParams.set("next", location.pathname);
    return signInUrl.href;
  }

  /**
   * Puts a run into the page's address, so that it is shown again after a reload or on the way back
   * from the log; null, a blind vote, or a run of some columns only: the draft is all there is.
   */
  setAddress(run) {
    const isWhole = run && !this.blindOrder && run.columns.length === this.app.active().length;
    this.addressed = isWhole ? run.id : "";
    history.replaceState(null, "", baseUrl() + (isWhole ? `?run=${encodeURIComponent(run.id)}` : ""));
    saveDraftOf(this.app);
  }

  #handleEvent(event, run) {
    if (event.type === "run") this.setAddress(run);
    if (event.col) {
      const column = run.columns.find((c) => c.id === event.col);
      if (column?.run === run) column.apply(event);
      if (event.type === "end" && column && !column.blind) {
        announce(event.status === "ok"
          ? _("{letter} finished after {time}.", { letter: column.letter, time: ms(event.total_ms) })
          : _("{letter} ended: {status}.", { letter: column.letter, status: event.status }));
      }
    }
    this.app.refresh();
  }

  #repetitionsOf(run) {
    return run.columns.filter((c) => c.run === run).flatMap((c) => c.repetitions);
  }

  #finish(run) {
    const { app } = this;
    // Responses without an end were interrupted together with the server process.
    for (const repetition of this.#repetitionsOf(run)) repetition.interrupt();
    if (!run.columns.some((c) => c.run === run)) return;
    for (const column of run.columns) if (column.run === run && !column.responseLength) app.live.appendResponse(column);
    app.layout();
    if (this.blindOrder && !this.busy) this.#askForVote(run);
    const done = app.columns.filter((c) => c.state === "ok" || c.state === "fallback").length;
    if (run.columns.length > 1) announce(_("{n} of {m} responses finished.", { n: done, m: run.columns.length }));
  }

  #askForVote(run) {
    this.voteModule.askForVote(this.blindOrder, run, () => {
      this.blindOrder = null;
      this.voteModule.revealNames(this.app.columns);
      this.app.layout();
    });
  }

  /** Hides the names of the columns for a blind vote, or shows them again. */
  async #hideNames(blind, columns) {
    if (!blind && !this.voteModule) return;
    const { app } = this;
    this.voteModule ??= await lazy.vote();
    this.voteModule.revealNames(app.columns);
    $("#pg-vote").hidden = true;
    this.blindOrder = blind ? this.voteModule.hideNames(columns) : null;
    for (const column of this.blindOrder ?? app.columns) app.addButton.before(column.root);
  }

  /** Adds the composer's message to the conversations; without one, the latest responses are generated again. */
  #addMessage(columns, again) {
    const { composer, live } = this.app;
    const before = columns.map((column) => [column, column.snapshot()]);
    const message = composer.hasMessage && !again ? { role: "user", content: composer.content } : null;
    for (const column of columns) {
      if (message) column.history = [...column.history, message];
      else live.dropResponse(column);
    }
    return { message, before };
  }

  #restore(before) {
    for (const [column, values] of before ?? []) Object.assign(column, values);
  }

  #chatInput(columns, message) {
    const input = this.app.composer.input({ message: !message, columns });
    return input && { ...input, messages: columns[0]?.history ?? [] };
  }

  /** A column's conversation where it differs from the first one's. */
  #columnMessages(column, messages) {
    if (JSON.stringify(column.history) === JSON.stringify(messages)) return {};
    return { messages: column.history };
  }
}
