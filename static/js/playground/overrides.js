// Settings of one column that differ from the shared ones.
import { OVERRIDES } from "./column.js";
import { $, _, el } from "./dom.js";
import { dialog } from "./overlay.js";

const HINTS = {
  system: () => _("Replaces the shared system prompt in this column."),
  params: () => _('JSON, such as {"temperature": 0, "max_tokens": 400}. Replaces the shared parameters.'),
  tools: () => _("JSON: a list of name, description, schema and mock. Replaces the shared tools."),
  schema: () => _("JSON schema. Replaces the shared one."),
};

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Dialog for the settings that a column overrides. */
export function overrideSettings(column, app) {
  const shared = app.composer.values;
  const rows = Object.entries(OVERRIDES).map(([name, label]) => {
    const isOverridden = name in column.overrides;
    const area = el("textarea.input", {
      rows: 4, id: `override-${name}`, hidden: !isOverridden, spellcheck: "false",
      "aria-label": _("Override {part}: value", { part: label() }), value: text(isOverridden ? column.overrides[name] : shared[name] || (name === "tools" ? [] : name === "system" ? "" : {})),
    });
    const hint = el("p.hint", { hidden: !isOverridden }, HINTS[name]());
    const error = el("p.errors", { role: "alert", hidden: true });
    const box = el("input", { type: "checkbox", role: "switch", onchange: () => { area.hidden = hint.hidden = !box.checked; if (box.checked) area.focus(); } });
    box.checked = isOverridden;
    return { name, box, area, error, root: el("div.field", {}, el("label.switch", {}, box, _("Override {part}", { part: label() })), area, hint, error) };
  });
  const apply = () => {
    const overrides = {};
    for (const { name, box, area, error } of rows) {
      error.hidden = true;
      if (!box.checked) continue;
      try {
        overrides[name] = name === "system" ? area.value : JSON.parse(area.value);
      } catch (problem) {
        error.hidden = false;
        error.textContent = problem.message;
      }
    }
    if (rows.some((row) => !row.error.hidden)) return $(".errors:not([hidden])", overridesDialog).previousElementSibling.previousElementSibling.focus();
    column.overrides = overrides;
    column.renderName();
    app.refresh();
    app.composer.changed();
    overridesDialog.close();
  };
  const overridesDialog = dialog(_("Override settings of {letter}, {model}", { letter: column.id, model: column.info.label }),
    el("p.hint", {}, _("Settings that are off use the shared values.")), rows.map((row) => row.root),
    el("button.btn.primary", { type: "button", onclick: apply }, _("Apply")));
}
