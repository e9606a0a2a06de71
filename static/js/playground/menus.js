// The menu of a column, and on a phone the one of the page.
import { openCode } from "./code.js";
import { copyAndTell } from "./copy.js";
import { $, _ } from "./dom.js";
import { menu } from "./overlay.js";
import { overrideSettings } from "./overrides.js";

const logPage = (repetition, app) => `${app.boot.requests}${encodeURIComponent(repetition.end.request_id)}`;

export function columnMenu(column, app) {
  const { selected } = column;
  const done = selected?.over;
  menu(column.menu, _("More for {letter}", { letter: column.letter }), [
    column.busy ? { icon: "i:square", label: _("Stop"), run: () => column.run.stop(column.id) }
      : { icon: "i:play", label: selected ? _("Run again") : _("Run"), run: () => app.run([column], { again: Boolean(selected) }) },
    column.history.length > 0 && { icon: "i:message-square-plus", label: _("New conversation"), run: () => app.newConversation() },
    { icon: "i:sliders-horizontal", label: _("Override settings"), run: () => overrideSettings(column, app) },
    { icon: "i:maximize-2", label: column.root.classList.contains("wide") ? _("Normal width") : _("Expand"), run: () => column.root.classList.toggle("wide") },
    done && app.columns.length > 1 && { icon: "i:diff", label: _("Compare with this response"), run: () => app.compareWith(column.id) },
    done && { icon: "i:copy", label: _("Copy the response"), run: () => copyAndTell(selected.text) },
    done && { icon: "i:languages", label: _("Show the translation"), run: () => app.translate(column) },
    done && { icon: "i:code-xml", label: _("Get code"), run: () => openCode(column, app) },
    selected?.end?.request_id && { icon: "i:scroll-text", label: _("Open in the log"), run: () => location.assign(logPage(selected, app)) },
    app.columns.length > 1 && { icon: "i:x", label: _("Remove"), danger: true, run: () => app.remove(column) },
  ]);
}

export function moreMenu(anchor, app, actions) {
  const blind = $("#pg-blind");
  const entry = (name, label, action) => ({ icon: name, label, run: () => actions[action](anchor) });
  menu(anchor, _("More"), [
    entry("i:bookmark", _("Presets"), "presets"),
    entry("i:history", _("History"), "history"),
    entry("i:share-2", _("Share this run"), "share"),
    entry("i:download", _("Export the results"), "export"),
    entry("i:code-xml", _("Get code"), "code"),
    $("[data-action=evaluate]") && entry("i:check-check", _("Evaluate"), "evaluate"),
    $("[data-action=save-prompt]") && entry("i:message-square", _("Save as prompt"), "save-prompt"),
    app.mode === "compare" && { icon: "i:eye-off", label: blind.checked ? _("Show model names") : _("Blind mode: hide model names"), run: () => (blind.checked = !blind.checked) },
    entry("i:trophy", _("Scoreboard"), "scoreboard"),
  ]);
}
