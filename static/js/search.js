// The search field of Requests: completes filters while typing; the histogram selects a time range.
import { say } from "./app.js";

const field = document.querySelector("[data-complete]");
const values = JSON.parse(document.getElementById("search-values")?.textContent ?? "{}");
const MAX = 12;
let box = null;

/** The word at the caret: where it begins, and its text. */
function word() {
  const before = field.value.slice(0, field.selectionStart);
  const start = before.search(/(?:[^\s"]|"[^"]*"?)*$/);
  return { start, text: before.slice(start) };
}

function options() {
  const { text } = word();
  const [, name, sign, typed] = text.match(/^([a-z]*):(!?)(.*)$/) ?? [];
  if (name === undefined) return text ? Object.keys(values).filter((known) => known.startsWith(text.toLowerCase())).map((known) => `${known}:`) : [];
  const plain = typed.replaceAll('"', "").toLowerCase();
  return (values[name] ?? [])
    .filter((value) => value.toLowerCase().includes(plain) && value.toLowerCase() !== plain)
    .map((value) => `${name}:${sign}${value.includes(" ") ? `"${value}"` : value}`);
}

function close() {
  box?.remove();
  box = null;
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
}

function take(text) {
  const { start } = word();
  const after = field.value.slice(field.selectionStart);
  const whole = text.endsWith(":") ? text : `${text} `;
  field.value = field.value.slice(0, start) + whole + after.trimStart();
  field.setSelectionRange(start + whole.length, start + whole.length);
  field.focus();
  show();
}

function select(item) {
  for (const other of box.children) other.setAttribute("aria-selected", String(other === item));
  if (item) field.setAttribute("aria-activedescendant", item.id);
  item?.scrollIntoView({ block: "nearest" });
}

function show() {
  close();
  const found = options().slice(0, MAX);
  if (!found.length) return;
  box = document.createElement("ul");
  box.className = "complete";
  box.id = "search-options";
  box.setAttribute("role", "listbox");
  box.setAttribute("aria-label", field.getAttribute("aria-label"));
  found.forEach((text, n) => {
    const item = document.createElement("li");
    item.id = `search-option-${n}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.textContent = text;
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      take(text);
    });
    box.append(item);
  });
  field.parentElement.append(box);
  field.setAttribute("aria-expanded", "true");
}

if (field) {
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-controls", "search-options");
  field.addEventListener("input", show);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (!box) return;
    const all = [...box.children];
    const now = all.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) select(all[(now + step + all.length + (now < 0 && step < 0 ? 1 : 0)) % all.length]);
    else if (event.key === "Escape") close();
    else if (event.key === "Tab" || (event.key === "Enter" && now >= 0)) take(all[Math.max(now, 0)].textContent);
    else return;
    event.preventDefault();
  });
}

// The histogram: a click selects a slice, dragging selects a range.
const figure = document.querySelector("[data-histogram]");
const chart = figure?.querySelector("svg");
let brush = null;
let from = 0;

const at = (event) => Math.min(chart.clientWidth, Math.max(0, event.clientX - chart.getBoundingClientRect().left));
const minute = (ms) => `${new Date(ms).toISOString().slice(0, 16)}Z`;

function range(left, right) {
  const [since, until] = [Date.parse(figure.dataset.since), Date.parse(figure.dataset.until)];
  const scale = (until - since) / chart.clientWidth;
  const shortest = Math.max(60_000, (until - since) / 60);
  const start = since + left * scale;
  return [start, Math.max(since + right * scale, start + shortest)];
}

function draw(left, right) {
  brush ??= figure.appendChild(Object.assign(document.createElement("div"), { className: "brush" }));
  brush.style.setProperty("--x", left);
  brush.style.setProperty("--size", Math.max(1, right - left));
}

chart?.addEventListener("pointerdown", (event) => {
  from = at(event);
  chart.setPointerCapture(event.pointerId);
  draw(from, from);
});
chart?.addEventListener("pointermove", (event) => {
  if (brush) draw(Math.min(from, at(event)), Math.max(from, at(event)));
});
chart?.addEventListener("pointercancel", () => {
  brush?.remove();
  brush = null;
});
chart?.addEventListener("pointerup", (event) => {
  if (!brush) return;
  const [since, until] = range(Math.min(from, at(event)), Math.max(from, at(event)));
  const rest = field.value.replaceAll(/\b(since|until):\S*\s*/g, "").trim();
  field.value = `${rest} since:${minute(since)} until:${minute(until)}`.trim();
  say(`${minute(since)} – ${minute(until)}`);
  field.form.requestSubmit();
});

// Columns that this browser does not show.
const COLUMNS_KEY = "dragoman-hidden-columns";
const list = document.getElementById("list");
const hidden = new Set((localStorage.getItem(COLUMNS_KEY) ?? "").split(" ").filter(Boolean));
const hide = () => (list.dataset.hide = [...hidden].join(" "));
if (list) hide();
for (const box of document.querySelectorAll("[data-column]")) {
  box.checked = !hidden.has(box.dataset.column);
  box.addEventListener("change", () => {
    if (box.checked) hidden.delete(box.dataset.column);
    else hidden.add(box.dataset.column);
    localStorage.setItem(COLUMNS_KEY, [...hidden].join(" "));
    hide();
  });
}
