// Settings of one column that differ from the shared ones.
import { OWN } from "./column.js";
import { $, _, el } from "./dom.js";
import { dialog } from "./overlay.js";

const HINTS = {
  system: () => _("Replaces the shared system prompt in this column."),
  params: () => _('JSON, such as {"temperature": 0, "max_tokens": 400}. Replaces the shared parameters.'),
  tools: () => _("JSON: a list of name, description, schema and mock. Replaces the shared tools."),
  schema: () => _("A JSON schema. Replaces the shared one."),
};

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Ticked parts are this column's own; the rest follows what all columns share. */
export function ownSettings(column, app) {
  const shared = app.composer.values;
  const rows = Object.entries(OWN).map(([name, label]) => {
    const own = name in column.own;
    const area = el("textarea.input", {
      rows: 4, id: `own-${name}`, hidden: !own, spellcheck: "false",
      "aria-label": _("Value of the own {part}", { part: label() }), value: text(own ? column.own[name] : shared[name] || (name === "tools" ? [] : name === "system" ? "" : {})),
    });
    const hint = el("p.hint", { hidden: !own }, HINTS[name]());
    const error = el("p.errors", { role: "alert", hidden: true });
    const box = el("input", { type: "checkbox", role: "switch", onchange: () => { area.hidden = hint.hidden = !box.checked; if (box.checked) area.focus(); } });
    box.checked = own;
    return { name, box, area, error, root: el("div.field", {}, el("label.switch", {}, box, _("Own {part}", { part: label() })), area, hint, error) };
  });
  const apply = () => {
    const own = {};
    for (const { name, box, area, error } of rows) {
      error.hidden = true;
      if (!box.checked) continue;
      try {
        own[name] = name === "system" ? area.value : JSON.parse(area.value);
      } catch (wrong) {
        error.hidden = false;
        error.textContent = wrong.message;
      }
    }
    if (rows.some((row) => !row.error.hidden)) return $(".errors:not([hidden])", shown).previousElementSibling.previousElementSibling.focus();
    column.own = own;
    column.name();
    app.refresh();
    app.composer.changed();
    shown.close();
  };
  const shown = dialog(_("Own settings of {letter}, {model}", { letter: column.id, model: column.info.label }),
    el("p.hint", {}, _("What is off here follows the composer.")), rows.map((row) => row.root),
    el("button.btn.primary", { type: "button", onclick: apply }, _("Use these settings")));
}
