// The search field of Requests: completes filters while typing; the histogram selects a time range.
import { announce } from "./app.js";

const field = document.querySelector("[data-autocomplete]");
const values = JSON.parse(document.getElementById("search-values")?.textContent ?? "{}");
const MAX_OPTIONS = 12;
let optionList = null;

/** The word at the caret: where it begins, and its text. */
function wordAtCaret() {
  const before = field.value.slice(0, field.selectionStart);
  const start = before.search(/(?:[^\s"]|"[^"]*"?)*$/);
  return { start, text: before.slice(start) };
}

function completions() {
  const { text } = wordAtCaret();
  const [, name, sign, typed] = text.match(/^([a-z]*):(!?)(.*)$/) ?? [];
  if (name === undefined) return text ? Object.keys(values).filter((known) => known.startsWith(text.toLowerCase())).map((known) => `${known}:`) : [];
  const plain = typed.replaceAll('"', "").toLowerCase();
  return (values[name] ?? [])
    .filter((value) => value.toLowerCase().includes(plain) && value.toLowerCase() !== plain)
    .map((value) => `${name}:${sign}${value.includes(" ") ? `"${value}"` : value}`);
}

function closeOptions() {
  optionList?.remove();
  optionList = null;
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
}

function insertCompletion(text) {
  const { start } = wordAtCaret();
  const after = field.value.slice(field.selectionStart);
  const completedText = text.endsWith(":") ? text : `${text} `;
  field.value = field.value.slice(0, start) + completedText + after.trimStart();
  field.setSelectionRange(start + completedText.length, start + completedText.length);
  field.focus();
  showOptions();
}

function selectOption(item) {
  for (const other of optionList.children) other.setAttribute("aria-selected", String(other === item));
  if (item) field.setAttribute("aria-activedescendant", item.id);
  item?.scrollIntoView({ block: "nearest" });
}

function showOptions() {
  closeOptions();
  const matches = completions().slice(0, MAX_OPTIONS);
  if (!matches.length) return;
  optionList = document.createElement("ul");
  optionList.className = "complete";
  optionList.id = "search-options";
  optionList.setAttribute("role", "listbox");
  optionList.setAttribute("aria-label", field.getAttribute("aria-label"));
  matches.forEach((text, n) => {
    const item = document.createElement("li");
    item.id = `search-option-${n}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.textContent = text;
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      insertCompletion(text);
    });
    optionList.append(item);
  });
  field.parentElement.append(optionList);
  field.setAttribute("aria-expanded", "true");
}

if (field) {
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-controls", "search-options");
  field.addEventListener("input", showOptions);
  field.addEventListener("blur", closeOptions);
  field.addEventListener("keydown", (event) => {
    if (!optionList) return;
    const optionItems = [...optionList.children];
    const selectedIndex = optionItems.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) selectOption(optionItems[(selectedIndex + step + optionItems.length + (selectedIndex < 0 && step < 0 ? 1 : 0)) % optionItems.length]);
    else if (event.key === "Escape") closeOptions();
    else if (event.key === "Tab" || (event.key === "Enter" && selectedIndex >= 0)) insertCompletion(optionItems[Math.max(selectedIndex, 0)].textContent);
    else return;
    event.preventDefault();
  });
}

// The histogram: a click selects a slice, dragging selects a range.
const figure = document.querySelector("[data-histogram]");
const chart = figure?.querySelector("svg");
let brush = null;
let from = 0;

const pointerX = (event) => Math.min(chart.clientWidth, Math.max(0, event.clientX - chart.getBoundingClientRect().left));
const minute = (ms) => `${new Date(ms).toISOString().slice(0, 16)}Z`;

function range(left, right) {
  const [since, until] = [Date.parse(figure.dataset.since), Date.parse(figure.dataset.until)];
  const scale = (until - since) / chart.clientWidth;
  const shortest = Math.max(60_000, (until - since) / 60);
  const start = since + left * scale;
  return [start, Math.max(since + right * scale, start + shortest)];
}

function drawBrush(left, right) {
  brush ??= figure.appendChild(Object.assign(document.createElement("div"), { className: "brush" }));
  brush.style.setProperty("--x", left);
  brush.style.setProperty("--size", Math.max(1, right - left));
}

chart?.addEventListener("pointerdown", (event) => {
  from = pointerX(event);
  chart.setPointerCapture(event.pointerId);
  drawBrush(from, from);
});
chart?.addEventListener("pointermove", (event) => {
  if (brush) drawBrush(Math.min(from, pointerX(event)), Math.max(from, pointerX(event)));
});
chart?.addEventListener("pointercancel", () => {
  brush?.remove();
  brush = null;
});
chart?.addEventListener("pointerup", (event) => {
  if (!brush) return;
  const [since, until] = range(Math.min(from, pointerX(event)), Math.max(from, pointerX(event)));
  const textWithoutRange = field.value.replaceAll(/\b(since|until):\S*\s*/g, "").trim();
  field.value = `${textWithoutRange} since:${minute(since)} until:${minute(until)}`.trim();
  announce(`${minute(since)} – ${minute(until)}`);
  field.form.requestSubmit();
});

// Columns that this browser does not show.
const COLUMNS_KEY = "dragoman-hidden-columns";
const list = document.getElementById("list");
const hiddenColumns = new Set((localStorage.getItem(COLUMNS_KEY) ?? "").split(" ").filter(Boolean));
const applyHiddenColumns = () => (list.dataset.hiddenColumns = [...hiddenColumns].join(" "));
if (list) applyHiddenColumns();
for (const checkbox of document.querySelectorAll("[data-column]")) {
  checkbox.checked = !hiddenColumns.has(checkbox.dataset.column);
  checkbox.addEventListener("change", () => {
    if (checkbox.checked) hiddenColumns.delete(checkbox.dataset.column);
    else hiddenColumns.add(checkbox.dataset.column);
    localStorage.setItem(COLUMNS_KEY, [...hiddenColumns].join(" "));
    applyHiddenColumns();
  });
}
