// Rows of small forms with JSON in some fields: the tools, and the calls that are expected.
import { $, $$ } from "./dom.js";

export class FormRows {
  constructor(host, template, jsonFields, onChange) {
    Object.assign(this, { host, template, jsonFields, onChange });
    host.addEventListener("input", (event) => this.#check(event.target.closest("fieldset")));
  }

  add(values = {}, focus = false) {
    const row = this.template.content.firstElementChild.cloneNode(true);
    for (const input of $$("[data-field]", row)) {
      const value = values[input.dataset.field] ?? "";
      input.value = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    }
    $("[data-remove]", row).onclick = () => { row.remove(); this.onChange(); };
    this.host.append(row);
    this.onChange();
    if (focus) $("[data-field]", row).focus();
  }

  get values() {
    return $$("fieldset", this.host).map((row) =>
      Object.fromEntries($$("[data-field]", row).map((input) => [input.dataset.field, input.value])));
  }

  set values(tools) {
    this.host.replaceChildren();
    for (const row of tools) this.add(row);
  }

  /** The rows as objects for the server, with their JSON fields parsed. */
  get objects() {
    return this.values.map((row) => ({
      ...row, ...("mock" in row ? { mock: row.mock.trim() ? row.mock : null } : {}), ...Object.fromEntries(this.jsonFields.map((name) => [name, row[name].trim() ? JSON.parse(row[name]) : {}])),
    }));
  }

  get valid() {
    return $$("fieldset", this.host).map((row) => this.#check(row)).every(Boolean);
  }

  #check(row) {
    const error = $(".errors", row);
    error.hidden = true;
    for (const input of $$("[data-json]", row)) {
      input.removeAttribute("aria-invalid");
      try {
        if (input.value.trim()) JSON.parse(input.value);
      } catch (problem) {
        input.setAttribute("aria-invalid", "true");
        error.hidden = false;
        error.textContent = problem.message;
      }
    }
    const name = $('[data-field="name"]', row);
    name.toggleAttribute("aria-invalid", !name.value.trim());
    return error.hidden && Boolean(name.value.trim());
  }
}
