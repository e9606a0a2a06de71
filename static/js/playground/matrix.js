// Cases down, models across: every cell an answer, with filters for failed and different ones.
import { Answer } from "./answer.js";
import { $, _, el, hidden, icon, notice } from "./dom.js";
import { answerText } from "./diff.js";
import { ms, usd } from "../format.js";
import { dialog } from "./overlay.js";
import { figures } from "./stats.js";
import { Repetition } from "./repetition.js";

const squeezed = (text) => text.replace(/\s+/g, " ").trim().toLowerCase();

export class Matrix {
  constructor(app) {
    Object.assign(this, { app, cases: [{ name: "", text: "", expected: "" }], cells: new Map(), filter: "all", run: null });
    this.host = $("#pg-matrix");
  }

  set(cases) {
    this.cases = cases.length ? cases : [{ name: "", text: "", expected: "" }];
    this.build();
  }

  get filled() {
    return this.cases.filter((c) => c.text.trim());
  }

  begin(run) {
    this.run = run;
    this.cells.clear();
    this.build();
  }

  apply(event) {
    if (event.case === undefined || !event.col) return;
    const key = `${event.case} ${event.col}`;
    const repetitions = this.cells.get(key) ?? this.cells.set(key, []).get(key);
    let repetition = repetitions.find((t) => t.n === (event.n ?? 0));
    if (!repetition) repetitions.push((repetition = new Repetition(event.col, event.n ?? 0)));
    repetition.apply(event);
  }

  /** Input for the server; null after an error message if a case is invalid. */
  input() {
    const cases = [];
    for (const [i, c] of this.filled.entries()) {
      let expected;
      try {
        expected = c.expected.trim() ? [JSON.parse(c.expected)].flat() : undefined;
      } catch (error) {
        notice(_("Case {n}: the expected call is not valid JSON. {why}", { n: i + 1, why: error.message }), "bad");
        return null;
      }
      cases.push({ name: c.name.trim() || _("Case {n}", { n: i + 1 }), messages: [...this.app.sharedMessages, { role: "user", content: [{ type: "text", text: c.text }] }], ...(expected ? { expected } : {}) });
    }
    if (!cases.length) notice(_("Add a case first."), "warn");
    return cases.length ? cases : null;
  }

  build() {
    const columns = this.app.columns;
    const filters = [["all", _("All")], ["failures", _("Failures")], ["differences", _("Differences")]];
    this.counts = {};
    const bar = el("div.seg", { role: "group", "aria-label": _("Filter rows") }, filters.map(([name, label]) =>
      el("button", { type: "button", "data-filter": name, "aria-pressed": String(this.filter === name), onclick: () => { this.filter = name; this.build(); } },
        label, (this.counts[name] = el("span.count")))));
    const head = el("tr", {}, el("th", { scope: "col" }, _("Case")), columns.map((c) => el("th", { scope: "col" },
      el("div.row", {}, el("span.letter.sm", {}, c.id), el("button.model-pick", { type: "button", "aria-haspopup": "listbox", onclick: (event) => this.app.pickModel(c, event.currentTarget) }, el("b.trunc", {}, c.info.label), icon("chevron-down"))))));
    this.rows = this.cases.map((c, i) => this.#row(c, i, columns));
    const add = el("button.btn.sm", { type: "button", onclick: () => { this.cases.push({ name: "", text: "", expected: "" }); this.build(); $(`#case-${this.cases.length - 1}`).focus(); } }, icon("plus"), _("Add a case"));
    const paste = el("button.btn.ghost.sm", { type: "button", onclick: () => this.#paste() }, icon("list-plus"), _("Bulk add"));
    const column = el("button.btn.ghost.sm", { type: "button", onclick: () => this.app.add(), disabled: columns.length > 7 }, icon("plus"), _("Add a model"));
    this.host.replaceChildren(el("div.row.wrap.matrix-bar", {}, bar, el("span.grow"), column, paste, add),
      el("div.table-wrap", { tabindex: 0, role: "region", "aria-label": _("Cases and answers") }, el("table.grid", {}, el("thead", {}, head), el("tbody", {}, this.rows.map((r) => r.root)))));
    this.paint();
  }

  #row(c, i, columns) {
    const field = (tag, name, label, more = {}) => el(tag, { ...more, value: c[name], "aria-label": label, placeholder: label, oninput: (event) => { c[name] = event.target.value; this.app.composer.estimate(); this.app.changed(); } });
    const root = el("tr", {}, el("th", { scope: "row" },
      el("div.row", {}, field("input.input.sm.grow", "name", _("Name of case {n}", { n: i + 1 }), { id: `case-${i}` }),
        el("button.btn.ghost.sm.icon", { type: "button", "aria-label": _("Remove case {n}", { n: i + 1 }), onclick: () => { this.cases.splice(i, 1); this.cells.clear(); this.set(this.cases); } }, icon("trash-2"))),
      field("textarea.input", "text", _("Message"), { rows: 2 }),
      field("input.input.sm.mono", "expected", _("Expected call as JSON, if any"))));
    const cells = columns.map((column) => {
      const td = el("td", { "data-label": column.id });
      root.append(td);
      return { td, column };
    });
    return { root, cells, index: i };
  }

  /** Numbers of the case in the last run: empty cases were not sent. */
  #repetitions(i, column) {
    const sent = this.cases.slice(0, i + 1).filter((c) => c.text.trim()).length - 1;
    return this.cases[i].text.trim() ? this.cells.get(`${sent} ${column.id}`) ?? [] : [];
  }

  paint() {
    const counts = { all: 0, failures: 0, differences: 0 };
    for (const row of this.rows ?? []) {
      const all = row.cells.map(({ td, column }) => {
        const repetitions = this.#repetitions(row.index, column);
        this.#cell(td, repetitions, column, this.cases[row.index]);
        return repetitions;
      });
      const over = all.filter((repetitions) => repetitions.length && repetitions.every((t) => t.over));
      const failed = over.some((repetitions) => repetitions.some((t) => !t.good));
      const differs = new Set(over.filter((t) => !t[0].failed).map((repetitions) => squeezed(answerText(repetitions[0])))).size > 1;
      counts.all += 1;
      counts.failures += failed;
      counts.differences += differs;
      row.root.hidden = (this.filter === "failures" && !failed) || (this.filter === "differences" && !differs);
    }
    for (const [name, box] of Object.entries(this.counts ?? {})) box.textContent = this.cells.size ? counts[name] : "";
  }

  #cell(td, repetitions, column, c) {
    const key = repetitions.map((t) => (t.over ? `${t.version}` : Math.floor(t.version / 20))).join() || "-";
    if (td.dataset.key === key) return;
    td.dataset.key = key;
    if (!repetitions.length) return td.replaceChildren(el("span.hint", {}, "–"));
    const good = repetitions.filter((t) => t.good).length;
    const live = repetitions.some((t) => !t.over);
    const [kind, name, words] = live ? ["", "i:loader", _("Writing")] : good === repetitions.length ? ["ok", "i:circle-check", _("Passed")] : repetitions.every((t) => t.failed) ? ["bad", "i:circle-x", _("Failed")] : ["warn", "i:triangle-alert", problem(repetitions)];
    const f = figures(repetitions);
    td.replaceChildren(el("button.cell", { type: "button", onclick: () => this.#open(repetitions, column, c) },
      el(`span.row.${kind || "muted"}`, {}, icon(name), el("b", {}, repetitions.length > 1 ? _("{n} of {m}", { n: good, m: repetitions.length }) : words), hidden(words)),
      el("span.snippet", { dir: "auto" }, answerText(repetitions[0]).slice(0, 160) || (repetitions[0].end?.error ?? "")),
      el("small.num.muted", {}, live ? "" : [ms(f.total), f.cost === null ? "" : usd(f.cost)].filter(Boolean).join(" · "))));
  }

  #open(repetitions, column, c) {
    const hosts = repetitions.map((repetition) => {
      const host = el("div.answer-in");
      new Answer(host).show(repetition);
      return host;
    });
    dialog(`${c.name || _("Case")} · ${column.id} ${column.info.label}`, el("div.answer", {}, hosts));
  }

  #paste() {
    const box = el("textarea.input", { rows: 10, "aria-label": _("One case per line") });
    const casesDialog = dialog(_("Bulk add cases"), el("p.hint", {}, _("One message per line, optionally with a name and a tab before it.")), box,
      el("button.btn.primary", { type: "button", onclick: () => { this.#lines(box.value); casesDialog.close(); } }, _("Add cases")));
  }

  #lines(text) {
    const made = text.split("\n").filter((line) => line.trim()).map((line) => {
      const [first, ...rest] = line.split("\t");
      return rest.length ? { name: first, text: rest.join(" "), expected: "" } : { name: "", text: first, expected: "" };
    });
    this.set([...this.filled, ...made]);
  }
}

function problem(repetitions) {
  const { schema, tools } = repetitions.find((t) => !t.good)?.verdicts ?? {};
  if (schema?.ok === false) return _("Schema error");
  return tools?.ok === false ? _("Wrong call") : _("Problem");
}
