// The prompt: message, system, tools, schema, parameters, images; its request and its estimated cost.
import { $, $$, _, el } from "./dom.js";
import { count, isKnown, tokensOf, usd } from "../format.js";
import { Images } from "./images.js";
import { FormRows } from "./tools.js";

const DEFAULT_OUTPUT_TOKENS = 300; // Estimated tokens of a response without a limit.
const IMAGE_TOKENS = 1000;
const ENTER_KEY = "dragoman-enter-sends";

export class Composer {
  constructor(app) {
    this.app = app;
    this.logged = {};
    this.form = $("#pg-form");
    this.text = $("#pg-text");
    this.system = $("#pg-system");
    this.schemaBox = $("#pg-schema");
    this.tools = new FormRows($("#pg-tools"), $("#tool-row"), ["schema"], () => this.changed());
    this.expected = new FormRows($("#pg-expected"), $("#call-row"), ["arguments"], () => this.changed());
    this.images = new Images(() => this.changed());
    this.#bindTabs();
    $("#pg-dialect").append(...app.boot.dialects.map((d) => el("option", { value: d.id }, d.label)));
    this.form.addEventListener("input", () => this.changed());
    this.#bindEnterKey();
    this.form.addEventListener("submit", (event) => { event.preventDefault(); app.run(); });
    $('[data-action="add-tool"]').onclick = () => this.tools.add({ schema: TOOL_SCHEMA }, true);
    $('[data-action="add-call"]').onclick = () => this.expected.add({ name: this.tools.values[0]?.name ?? "" }, true);
    $('[data-action="sample-schema"]').onclick = () => { this.schemaBox.value = SAMPLE_SCHEMA; this.changed(); };
  }

  /** Enter sends the message, unless that is switched off; Shift+Enter is a new line. */
  #bindEnterKey() {
    const box = $("#pg-enter");
    box.checked = localStorage.getItem(ENTER_KEY) !== "off";
    box.addEventListener("change", () => localStorage.setItem(ENTER_KEY, box.checked ? "on" : "off"));
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey || event.isComposing || !box.checked) return;
      event.preventDefault();
      if (this.hasMessage) this.app.run();
    });
  }

  #bindTabs() {
    const tabs = $$("[role=tab]", this.form);
    const select = (tab) => {
      for (const other of tabs) {
        other.setAttribute("aria-selected", String(other === tab));
        other.tabIndex = other === tab ? 0 : -1;
        $(`#${other.getAttribute("aria-controls")}`).hidden = other !== tab;
      }
      this.form.dataset.part = tab.id;
      tab.scrollIntoView({ inline: "nearest", block: "nearest" });
    };
    for (const tab of tabs) tab.onclick = () => select(tab);
    this.selectTab = (name) => select($(`#tab-${name}`));
    $("[role=tablist]", this.form).onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    };
  }

  /** All entered values, to be stored, sent or restored. */
  get values() {
    return {
      text: this.text.value, system: this.system.value, schema: this.schemaBox.value,
      tools: this.tools.values, expected: this.expected.values, params: this.params,
      repeat: Math.max(1, Math.min(20, Number($("#pg-repeat").value) || 1)),
      dialect: $("#pg-dialect").value, images: this.images.list, ...this.logged,
    };
  }

  set values(settings) {
    this.text.value = settings.text ?? "";
    this.system.value = settings.system ?? "";
    this.schemaBox.value = typeof settings.schema === "string" ? settings.schema : settings.schema ? JSON.stringify(settings.schema, null, 2) : "";
    this.tools.values = settings.tools ?? [];
    this.expected.values = settings.expected ?? [];
    this.images.list = settings.images ?? [];
    for (const input of $$("[data-param]", this.form)) {
      const value = settings.params?.[input.dataset.param] ?? "";
      input.value = Array.isArray(value) ? value.join("\n") : value;
    }
    $("#pg-repeat").value = settings.repeat ?? 1;
    if (settings.dialect) $("#pg-dialect").value = settings.dialect;
    this.#setLogged(settings);
    this.changed();
  }

  get params() {
    const params = {};
    for (const input of $$("[data-param]", this.form)) {
      const name = input.dataset.param;
      if (input.value === "") continue;
      params[name] = name === "stop" ? input.value.split("\n").filter(Boolean) : input.type === "number" ? Number(input.value) : input.value;
    }
    return params;
  }

  /** The schema as an object; null if there is none. Throws if it is not valid JSON. */
  get schema() {
    const text = this.schemaBox.value.trim();
    return text ? JSON.parse(text) : null;
  }

  /** Settings of a logged request that have no field: sent too, and listed under Parameters. */
  #setLogged({ logged_settings, logged_setting_names: names = [], logged_request: request, stream }) {
    this.logged = logged_settings ? { logged_settings, logged_setting_names: names, logged_request: request, stream } : {};
    $("#pg-logged").hidden = !logged_settings || !names.length;
    $("#pg-logged-names").textContent = names.join(", ");
  }

  /** Sends only what the page displays. */
  dropLoggedSettings() {
    this.#setLogged({});
    this.changed();
  }

  /** Empties the message. */
  clear() {
    this.text.value = "";
    this.images.list = [];
    this.changed();
  }

  /** Whether the message has text or images. */
  get hasMessage() {
    return Boolean(this.text.value.trim() || this.images.list.length);
  }

  /** Restores a message that was not accepted. */
  set content(parts) {
    this.text.value = parts.filter((part) => part.type === "text").map((part) => part.text).join("\n");
    this.images.list = parts.filter((part) => part.type === "image");
    this.changed();
  }

  /** The message as parts, images first. */
  get content() {
    const images = this.images.list.map(({ media_type, data }) => ({ type: "image", media_type, data }));
    return [...images, ...(this.text.value ? [{ type: "text", text: this.text.value }] : [])];
  }

  /** The part of a run's input that all columns share; null if it is invalid, in which case the errors are shown. */
  input({ message = true, columns = this.app.active() } = {}) {
    this.showErrors({});
    const errors = {};
    if (message && !this.app.answerable(columns)) errors.message = _("Write a message first.");
    let schema = null;
    try {
      schema = this.schema;
    } catch (error) {
      errors.schema = _("The schema is not valid JSON: {reason}", { reason: error.message });
    }
    for (const [name, rows] of [["tools", this.tools], ["expected", this.expected]]) {
      if (!rows.valid) errors[name] = _("Fix the highlighted fields under Tools.");
    }
    if (Object.keys(errors).length) {
      this.showErrors(errors);
      return null;
    }
    const { system, params, repeat, dialect } = this.values;
    return { dialect, system, params, repeat, schema, tools: this.tools.objects, expected: this.expected.objects, stream: true, ...this.logged };
  }

  /** Shows errors by field, and the tab of the first one. */
  showErrors(fields) {
    const box = $("#pg-errors");
    box.textContent = [...new Set(Object.values(fields).flat())].join(" ");
    box.hidden = !box.textContent;
    const tab = { message: "message", messages: "message", system: "system", schema: "schema", tools: "tools", expected: "tools", params: "params", repeat: "params" }[Object.keys(fields)[0]?.split(/[.[]/)[0]];
    if (tab) this.selectTab(tab);
    if (tab === "message") this.text.focus();
  }

  changed() {
    this.#setPill("system", this.system.value && _("{n} tok", { n: count(tokensOf(this.system.value)) }));
    this.#setPill("tools", this.tools.values.length || "");
    this.#setPill("images", this.images.list.length || "");
    const params = Object.keys(this.params).length + (Number($("#pg-repeat").value) > 1);
    this.#setPill("params", params || "");
    this.#renderSchemaState();
    this.estimate();
    this.app.changed();
  }

  #setPill(name, text) {
    const pill = $(`#tab-${name} .pill`);
    pill.hidden = !text;
    pill.textContent = text;
  }

  #renderSchemaState() {
    const box = $("#pg-schema-error");
    let title = "";
    let errorMessage = "";
    try {
      title = this.schema?.title || (this.schema ? _("on") : "");
    } catch (error) {
      errorMessage = error.message;
    }
    this.#setPill("schema", errorMessage ? "!" : title);
    box.hidden = !errorMessage;
    box.textContent = errorMessage;
    this.schemaBox.toggleAttribute("aria-invalid", Boolean(errorMessage));
  }

  /** Estimated tokens of the prompt that a column sends. */
  promptTokens(column) {
    const tools = JSON.stringify(this.tools.values).length + this.schemaBox.value.length;
    const shared = tokensOf(this.text.value) + Math.ceil(tools / 4) + this.images.list.length * IMAGE_TOKENS;
    return shared + this.app.earlierTokens(column) + tokensOf(column.overrides.system ?? this.system.value);
  }

  /** Shows the estimated cost of a run. */
  estimate() {
    const { repeat, params } = this.values;
    let sum = 0;
    const unknown = [];
    for (const column of this.app.active()) {
      const { price_in: inputPrice, price_out: outputPrice } = column.info;
      if (!isKnown(inputPrice) || !isKnown(outputPrice)) {
        unknown.push(column.letter);
        continue;
      }
      const input = this.promptTokens(column);
      const output = Math.min((column.overrides.params ?? params).max_tokens ?? DEFAULT_OUTPUT_TOKENS, DEFAULT_OUTPUT_TOKENS * 4);
      sum += ((input * Number(inputPrice) + output * Number(outputPrice)) / 1e6) * repeat;
    }
    const hasKnownPrice = unknown.length < this.app.active().length;
    const parts = hasKnownPrice ? [sum ? _("about {cost}", { cost: usd(sum) }) : _("free")] : [];
    if (unknown.length) parts.push(hasKnownPrice ? _("without {columns}", { columns: unknown.join(", ") }) : _("price unknown"));
    $("#pg-cost").textContent = parts.join(" ");
  }
}

const TOOL_SCHEMA = '{\n  "type": "object",\n  "properties": {"vat_id": {"type": "string"}},\n  "required": ["vat_id"]\n}';
const SAMPLE_SCHEMA = JSON.stringify({
  title: "invoice", type: "object", required: ["vendor", "total"], additionalProperties: false,
  properties: { vendor: { type: "string" }, total: { type: "number" }, currency: { type: "string" } },
}, null, 2);
