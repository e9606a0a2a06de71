// One list of models for all columns: type to filter, arrows to move, Enter to choose.
import { count, isKnown, price } from "../format.js";
import { $, _, el, icon, logo } from "./dom.js";

const MAX_OPTIONS = 200;

export class Picker {
  /** `models()` are those to choose from when it opens. */
  constructor(models) {
    this.listModels = models;
    this.input = el("input.input", {
      type: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "pg-models", "aria-autocomplete": "list",
      "aria-label": _("Filter models"), placeholder: _("Filter models"), autocomplete: "off", spellcheck: "false",
      oninput: () => this.#renderOptions(), onkeydown: (event) => this.#key(event),
    });
    this.list = el("ul", { role: "listbox", id: "pg-models", "aria-label": _("Models") });
    this.summary = el("p.hint", { role: "status" });
    this.root = el("div.picker", { popover: "auto" }, this.input, this.list, this.summary);
    this.list.addEventListener("click", (event) => this.#select(event.target.closest("[role=option]")));
    $("#pg").append(this.root);
  }

  /** Opens below `anchor`; `onSelect(id)` is called once. */
  open(anchor, current, onSelect) {
    Object.assign(this, { anchor, current, onSelect, models: this.listModels() });
    this.input.value = "";
    this.#renderOptions();
    this.root.showPopover();
    placeBelow(this.root, anchor);
    this.input.focus();
    $('[aria-selected="true"]', this.list)?.scrollIntoView({ block: "nearest" });
  }

  #renderOptions() {
    const terms = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isMatch = (m) => terms.every((w) => `${m.id} ${m.label} ${m.provider} ${m.kind}`.toLowerCase().includes(w));
    const allMatches = this.models.filter(isMatch);
    const matches = allMatches.slice(0, MAX_OPTIONS);
    const group = (title, models) => models.length
      ? [el("li.group", { role: "presentation" }, title), ...models.map((m) => this.#option(m))] : [];
    this.list.replaceChildren(
      ...group(_("Routes"), matches.filter((m) => m.kind === "route")),
      ...group(_("Models"), matches.filter((m) => m.kind !== "route")),
    );
    this.summary.textContent = allMatches.length > MAX_OPTIONS
      ? _("{n} of {total}. Type to filter.", { n: MAX_OPTIONS, total: count(allMatches.length) })
      : matches.length ? "" : _("No matching models.");
    this.#activate($('[aria-selected="true"]', this.list) ?? $("[role=option]", this.list));
  }

  #option(m) {
    const facts = [m.provider, m.tools && _("tools"), m.images && _("images"), m.schema && _("schema"), m.reasoning && _("reasoning")];
    const prices = !isKnown(m.price_in) ? _("price unknown")
      : m.price_in === 0 && m.price_out === 0 ? _("free") : `${price(m.price_in)} / ${price(m.price_out)}`;
    return el("li", { role: "option", id: `pg-model-${this.models.indexOf(m)}`, "data-id": m.id, "aria-selected": String(m.id === this.current) },
      logo(m.preset), el("span.grow", {}, el("b.trunc", {}, m.label), el("small.trunc", {}, facts.filter(Boolean).join(" · "))),
      el("small.num", {}, prices), m.id === this.current ? icon("check") : null);
  }

  #activate(option) {
    $(".active", this.list)?.classList.remove("active");
    option?.classList.add("active");
    option?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option?.id ?? "");
  }

  #key(event) {
    const options = [...this.list.querySelectorAll("[role=option]")];
    const activeIndex = options.indexOf($(".active", this.list));
    const moves = { ArrowDown: activeIndex + 1, ArrowUp: activeIndex - 1, Home: 0, End: options.length - 1, PageDown: activeIndex + 8, PageUp: activeIndex - 8 };
    if (event.key in moves) {
      event.preventDefault();
      this.#activate(options[Math.max(0, Math.min(options.length - 1, moves[event.key]))]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.#select(options[activeIndex]);
    }
  }

  #select(option) {
    if (!option) return;
    this.root.hidePopover();
    this.onSelect(option.dataset.id);
    this.anchor.focus();
  }
}

/** Puts a popover under its button, inside the window. */
export function placeBelow(box, anchor) {
  const anchorBox = anchor.getBoundingClientRect();
  const width = box.offsetWidth;
  const left = Math.max(8, Math.min(anchorBox.left, innerWidth - width - 8));
  const under = innerHeight - anchorBox.bottom - 12;
  const above = under < Math.min(box.scrollHeight, 280) && anchorBox.top > under;
  box.style.setProperty("left", `${left}px`);
  box.style.setProperty("top", above ? "auto" : `${anchorBox.bottom + 4}px`);
  box.style.setProperty("bottom", above ? `${innerHeight - anchorBox.top + 4}px` : "auto");
  box.style.setProperty("max-height", `${Math.max(160, above ? anchorBox.top - 12 : under)}px`);
}
