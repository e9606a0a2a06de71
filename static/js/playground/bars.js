// The button that runs, the strip of columns on a phone, and what a column shows before its run.
import { $, $$, _, el, icon } from "./dom.js";

const DOTS = { ok: "ok", fallback: "warn", failed: "bad", busy: "live", lost: "warn" };

/** The text on the button, and the columns to compare with. */
export function buttons(app, columns) {
  $("#pg-run").hidden = app.busy;
  $("#pg-stop").hidden = !app.busy;
  const n = columns.length;
  const text = app.repeats ? _("Run again") : n > 1 && app.mode === "compare" ? _("Run all {n}", { n }) : app.mode === "chat" ? _("Send") : _("Run");
  const label = $("#pg-run span");
  if (label.textContent !== text) label.textContent = text;
  const done = columns.filter((c) => c.selected?.over);
  const pick = $("#pg-diff");
  pick.closest("label").hidden = done.length < 2 || Boolean(app.blindOrder);
  const key = done.map((c) => c.id).join();
  if (pick.dataset.key === key) return;
  pick.dataset.key = key;
  const { value } = pick;
  pick.replaceChildren(el("option", { value: "" }, _("none")), ...done.map((c) => el("option", { value: c.id }, c.id)));
  pick.value = value;
}

/** The strip of columns on a phone. */
export function strip(app, columns) {
  const order = app.blindOrder ?? columns;
  const key = order.map((c) => c.letter + c.state + c.model).join();
  const host = $(".colnav");
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  host.replaceChildren(...order.map((c) => el("a", { href: `#col-${c.id}` }, el("span.letter.sm", {}, c.letter),
    el("span.trunc", {}, c.blind ? "" : c.info.label), el(`span.dot.${DOTS[c.state] ?? "none"}`))));
  $$("a", host).forEach((a, i) => (a.onclick = (event) => {
    event.preventDefault();
    order[i].root.scrollIntoView({ inline: "center", block: "nearest" });
  }));
  if (columns.length < 8) host.append(el("button.btn.ghost.sm.icon", { type: "button", "aria-label": _("Add a model"), onclick: () => app.add() }, icon("plus")));
  current(app);
}

/** Marks the column that is in view. */
export function current(app) {
  const middle = app.host.scrollLeft + app.host.clientWidth / 2;
  const order = app.blindOrder ?? app.active();
  const at = order.findIndex((c) => c.root.offsetLeft <= middle && c.root.offsetLeft + c.root.offsetWidth >= middle);
  $$(".colnav a").forEach((a, i) => (i === at ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
}

/** An empty column: one sentence, and examples in the first. */
export function emptyText(app) {
  const samples = (app.columns.length ? [] : app.boot.samples).slice(0, 3).map((sample) => el("button.btn.sm", {
    type: "button", onclick: () => { app.composer.values = { ...sample, text: sample.prompt }; app.composer.choose("message"); app.composer.text.focus(); },
  }, sample.title));
  return el("div.pg-empty", {}, icon("message-square"), el("p", {}, _("The answer appears here, with its time, tokens and price.")), samples.length ? el("div.row.wrap", {}, samples) : null);
}

/** What a model does not support of the request, shown before the run. */
export function notes(column, images, parts) {
  const { info, overrides } = column;
  const texts = [];
  if (images && info.images === false) texts.push(_("Does not support images."));
  if ((overrides.tools ?? parts.tools) && info.tools === false) texts.push(_("Does not support tools."));
  if ((overrides.schema ?? parts.schema) && info.schema === false) texts.push(_("Has no schema mode; the schema is added to the prompt."));
  return texts;
}
