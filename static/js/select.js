// A search above the options of a long select. The select itself stays what holds and sends the value.
const MIN_OPTIONS = 8;
const OPEN_KEYS = new Set(["Enter", " ", "ArrowDown", "ArrowUp"]);
let opened = null;

const searchable = (target) => {
  const select = target.closest?.("select[data-searchable]");
  return select && !select.disabled && select.options.length > MIN_OPTIONS ? select : null;
};

function make(tag, attributes = {}, ...kids) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...kids);
  return made;
}

function close(focus = true) {
  if (!opened) return;
  const { box, select } = opened;
  opened = null;
  box.remove();
  if (focus) select.focus();
}

function choose(select, value) {
  close();
  if (select.value === value) return;
  select.value = value;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

function mark(item) {
  const { list, input } = opened;
  for (const other of list.querySelectorAll("[role=option]")) other.setAttribute("aria-selected", String(other === item));
  if (item) input.setAttribute("aria-activedescendant", item.id);
  else input.removeAttribute("aria-activedescendant");
  item?.scrollIntoView({ block: "nearest" });
}

function draw() {
  const { select, list, input } = opened;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let group = "";
  list.replaceChildren();
  [...select.options].forEach((option, n) => {
    const label = option.parentElement.label ?? "";
    if (!option.value || !words.every((word) => `${label} ${option.text}`.toLowerCase().includes(word))) return;
    if (label !== group) list.append(make("li", { role: "presentation", class: "select-group" }, label));
    group = label;
    const item = make("li", { role: "option", id: `select-option-${n}`, "aria-selected": "false" }, option.text);
    item.addEventListener("click", () => choose(select, option.value));
    item.dataset.value = option.value;
    list.append(item);
  });
  const options = [...list.querySelectorAll("[role=option]")];
  mark(options.find((item) => item.dataset.value === select.value) ?? options[0]);
}

function open(select, typed = "") {
  close(false);
  const label = select.getAttribute("aria-label") ?? select.labels?.[0]?.textContent.trim() ?? "";
  const input = make("input", { class: "input", type: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "select-list", "aria-label": label, autocomplete: "off", spellcheck: "false" });
  const list = make("ul", { role: "listbox", id: "select-list", "aria-label": label });
  const box = make("div", { class: "select-popup" }, input, list);
  opened = { select, input, list, box };
  const { left, bottom, width } = select.getBoundingClientRect();
  box.style.setProperty("--left", `${left}px`);
  box.style.setProperty("--top", `${bottom}px`);
  box.style.setProperty("--least", `${width}px`);
  (select.closest("dialog") ?? document.body).append(box);
  input.value = typed;
  input.addEventListener("input", draw);
  input.addEventListener("keydown", keyed);
  draw();
  input.focus();
}

function keyed(event) {
  const options = [...opened.list.querySelectorAll("[role=option]")];
  const now = options.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) mark(options[Math.min(options.length - 1, Math.max(0, now + step))]);
  else if (event.key === "Enter" && options[now]) choose(opened.select, options[now].dataset.value);
  else if (event.key === "Escape" || event.key === "Tab") close();
  else return;
  event.preventDefault();
}

// A finger gets the system's own list.
document.addEventListener("mousedown", (event) => {
  const select = searchable(event.target);
  if (!select && opened && !opened.box.contains(event.target)) close(false);
  if (!select || matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  open(select);
});
document.addEventListener("keydown", (event) => {
  const select = event.target.matches?.("select") && searchable(event.target);
  const typed = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!select || !(OPEN_KEYS.has(event.key) || typed)) return;
  event.preventDefault();
  open(select, typed ? event.key : "");
});
addEventListener("resize", () => close(false));
document.addEventListener("scroll", (event) => opened && !opened.box.contains(event.target) && close(false), { capture: true, passive: true });
