// The run button, the column navigation on small screens, and the content of a column before its run.
import { $, $$, _, el, icon } from "./dom.js";

const DOTS = { ok: "ok", fallback: "warn", failed: "bad", busy: "live", lost: "warn" };

/** Updates the run button, and the responses to compare with. */
export function renderRunButton(app, columns) {
  $("#pg-run").hidden = app.busy;
  $("#pg-stop").hidden = !app.busy;
  const n = columns.length;
  const text = app.isRegeneration ? _("Run again") : n > 1 && app.mode === "compare" ? _("Run all {n}", { n }) : app.mode === "chat" ? _("Send") : _("Run");
  const label = $("#pg-run span");
  if (label.textContent !== text) label.textContent = text;
  const finishedColumns = columns.filter((c) => c.selected?.over);
  const baseSelect = $("#pg-diff");
  baseSelect.closest("label").hidden = finishedColumns.length < 2 || Boolean(app.blindOrder);
  const key = finishedColumns.map((c) => c.id).join();
  if (baseSelect.dataset.renderKey === key) return;
  baseSelect.dataset.renderKey = key;
  const { value } = baseSelect;
  baseSelect.replaceChildren(el("option", { value: "" }, _("none")), ...finishedColumns.map((c) => el("option", { value: c.id }, c.id)));
  baseSelect.value = value;
}

/** Links to the columns, on small screens. */
export function renderColumnNav(app, columns) {
  const order = app.blindOrder ?? columns;
  const key = order.map((c) => c.letter + c.state + c.model).join();
  const host = $(".colnav");
  if (host.dataset.renderKey === key) return;
  host.dataset.renderKey = key;
  host.replaceChildren(...order.map((c) => el("a", { href: `#col-${c.id}` }, el("span.letter.sm", {}, c.letter),
    el("span.trunc", {}, c.blind ? "" : c.info.label), el(`span.dot.${DOTS[c.state] ?? "none"}`))));
  $$("a", host).forEach((a, i) => (a.onclick = (event) => {
    event.preventDefault();
    order[i].root.scrollIntoView({ inline: "center", block: "nearest" });
  }));
  if (columns.length < 8) host.append(el("button.btn.ghost.sm.icon", { type: "button", "aria-label": _("Add a model"), onclick: () => app.add() }, icon("plus")));
  markVisibleColumn(app);
}

/** Marks the column that is in view. */
export function markVisibleColumn(app) {
  const middle = app.host.scrollLeft + app.host.clientWidth / 2;
  const order = app.blindOrder ?? app.active();
  const visibleIndex = order.findIndex((c) => c.root.offsetLeft <= middle && c.root.offsetLeft + c.root.offsetWidth >= middle);
  $$(".colnav a").forEach((a, i) => (i === visibleIndex ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
}

/** The content of an empty column; the first one has sample prompts. */
export function emptyColumn(app) {
  const samples = (app.columns.length ? [] : app.boot.samples).slice(0, 3).map((sample) => el("button.btn.sm", {
    type: "button", onclick: () => { app.composer.values = { ...sample, text: sample.prompt }; app.composer.selectTab("message"); app.composer.text.focus(); },
  }, sample.title));
  return el("div.pg-empty", {}, icon("message-square"), el("p", {}, _("The response appears here, with its latency, tokens and cost.")), samples.length ? el("div.row.wrap", {}, samples) : null);
}

/** Warnings about features of the request that the model of a column does not support. */
export function unsupportedFeatures(column, images, parts) {
  const { info, overrides } = column;
  const texts = [];
  if (images && info.images === false) texts.push(_("Does not support images."));
  if ((overrides.tools ?? parts.tools) && info.tools === false) texts.push(_("Does not support tools."));
  if ((overrides.schema ?? parts.schema) && info.schema === false) texts.push(_("Has no schema mode; the schema is added to the prompt."));
  return texts;
}
