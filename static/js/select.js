// A search field above the options of a long select; the select keeps the value and submits it.
const MIN_OPTIONS = 8;
const OPEN_KEYS = new Set(["Enter", " ", "ArrowDown", "ArrowUp"]);
let openSelect = null;

const searchableSelect = (target) => {
  const select = target.closest?.("select[data-searchable]");
  return select && !select.disabled && select.options.length > MIN_OPTIONS ? select : null;
};

function createElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function closeOptions(focus = true) {
  if (!openSelect) return;
  const { box, select } = openSelect;
  openSelect = null;
  box.remove();
  if (focus) select.focus();
}

function selectValue(select, value) {
  closeOptions();
  if (select.value === value) return;
  select.value = value;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

function highlightOption(item) {
  const { list, input } = openSelect;
  for (const other of list.querySelectorAll("[role=option]")) other.setAttribute("aria-selected", String(other === item));
  if (item) input.setAttribute("aria-activedescendant", item.id);
  else input.removeAttribute("aria-activedescendant");
  item?.scrollIntoView({ block: "nearest" });
}

function renderOptions() {
  const { select, list, input } = openSelect;
  const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let group = "";
  list.replaceChildren();
  [...select.options].forEach((option, n) => {
    const label = option.parentElement.label ?? "";
    if (!option.value || !terms.every((term) => `${label} ${option.text}`.toLowerCase().includes(term))) return;
    if (label !== group) list.append(createElement("li", { role: "presentation", class: "select-group" }, label));
    group = label;
    const item = createElement("li", { role: "option", id: `select-option-${n}`, "aria-selected": "false" }, option.text);
    item.addEventListener("click", () => selectValue(select, option.value));
    item.dataset.value = option.value;
    list.append(item);
  });
  const options = [...list.querySelectorAll("[role=option]")];
  highlightOption(options.find((item) => item.dataset.value === select.value) ?? options[0]);
}

function openOptions(select, query = "") {
  closeOptions(false);
  const label = select.getAttribute("aria-label") ?? select.labels?.[0]?.textContent.trim() ?? "";
  const input = createElement("input", { class: "input", type: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "select-list", "aria-label": label, autocomplete: "off", spellcheck: "false" });
  const list = createElement("ul", { role: "listbox", id: "select-list", "aria-label": label });
  const box = createElement("div", { class: "select-popup" }, input, list);
  openSelect = { select, input, list, box };
  const { left, bottom, width } = select.getBoundingClientRect();
  box.style.setProperty("--left", `${left}px`);
  box.style.setProperty("--top", `${bottom}px`);
  box.style.setProperty("--min-width", `${width}px`);
  (select.closest("dialog") ?? document.body).append(box);
  input.value = query;
  input.addEventListener("input", renderOptions);
  input.addEventListener("keydown", onKeydown);
  renderOptions();
  input.focus();
}

function onKeydown(event) {
  const options = [...openSelect.list.querySelectorAll("[role=option]")];
  const currentIndex = options.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) highlightOption(options[Math.min(options.length - 1, Math.max(0, currentIndex + step))]);
  else if (event.key === "Enter" && options[currentIndex]) selectValue(openSelect.select, options[currentIndex].dataset.value);
  else if (event.key === "Escape" || event.key === "Tab") closeOptions();
  else return;
  event.preventDefault();
}

// On touch screens the system's own list opens.
document.addEventListener("mousedown", (event) => {
  const select = searchableSelect(event.target);
  if (!select && openSelect && !openSelect.box.contains(event.target)) closeOptions(false);
  if (!select || matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  openOptions(select);
});
document.addEventListener("keydown", (event) => {
  const select = event.target.matches?.("select") && searchableSelect(event.target);
  const isTyping = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!select || !(OPEN_KEYS.has(event.key) || isTyping)) return;
  event.preventDefault();
  openOptions(select, isTyping ? event.key : "");
});
addEventListener("resize", () => closeOptions(false));
document.addEventListener("scroll", (event) => openSelect && !openSelect.box.contains(event.target) && closeOptions(false), { capture: true, passive: true });
