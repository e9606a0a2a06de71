// The search field of Requests: completes filters while typing; the histogram selects a time range.
import { announce } from "./app.js";

const searchField = document.querySelector("[data-autocomplete]");
const values = JSON.parse(document.getElementById("search-values")?.textContent ?? "{}");
const MAX_OPTIONS = 12;
let optionList = null;

/** The word at the caret: where it begins, and its text. */
function wordAtCaret() {
  const before = searchField.value.slice(0, searchField.selectionStart);
  const start = before.search(/(?:[^\s"]|"[^"]*"?)*$/);
  return { start, text: before.slice(start) };
}

function completions() {
  const { text } = wordAtCaret();
  const [, name, sign, query] = text.match(/^([a-z]*):(!?)(.*)$/) ?? [];
  if (name === undefined) return text ? Object.keys(values).filter((filter) => filter.startsWith(text.toLowerCase())).map((filter) => `${filter}:`) : [];
  const unquotedQuery = query.replaceAll('"', "").toLowerCase();
  return (values[name] ?? [])
    .filter((value) => value.toLowerCase().includes(unquotedQuery) && value.toLowerCase() !== unquotedQuery)
    .map((value) => `${name}:${sign}${value.includes(" ") ? `"${value}"` : value}`);
}

function closeOptions() {
  optionList?.remove();
  optionList = null;
  searchField.setAttribute("aria-expanded", "false");
  searchField.removeAttribute("aria-activedescendant");
}

function insertCompletion(text) {
  const { start } = wordAtCaret();
  const after = searchField.value.slice(searchField.selectionStart);
  const completedText = text.endsWith(":") ? text : `${text} `;
  searchField.value = searchField.value.slice(0, start) + completedText + after.trimStart();
  searchField.setSelectionRange(start + completedText.length, start + completedText.length);
  searchField.focus();
  showOptions();
}

function selectOption(item) {
  for (const other of optionList.children) other.setAttribute("aria-selected", String(other === item));
  if (item) searchField.setAttribute("aria-activedescendant", item.id);
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
  optionList.setAttribute("aria-label", searchField.getAttribute("aria-label"));
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
  searchField.parentElement.append(optionList);
  searchField.setAttribute("aria-expanded", "true");
}

if (searchField) {
  searchField.setAttribute("role", "combobox");
  searchField.setAttribute("aria-expanded", "false");
  searchField.setAttribute("aria-autocomplete", "list");
  searchField.setAttribute("aria-controls", "search-options");
  searchField.addEventListener("input", showOptions);
  searchField.addEventListener("blur", closeOptions);
  searchField.addEventListener("keydown", (event) => {
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
let dragStart = 0;

const pointerX = (event) => Math.min(chart.clientWidth, Math.max(0, event.clientX - chart.getBoundingClientRect().left));
const isoMinute = (ms) => `${new Date(ms).toISOString().slice(0, 16)}Z`;

function timeRange(left, right) {
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
  dragStart = pointerX(event);
  chart.setPointerCapture(event.pointerId);
  drawBrush(dragStart, dragStart);
});
chart?.addEventListener("pointermove", (event) => {
  if (brush) drawBrush(Math.min(dragStart, pointerX(event)), Math.max(dragStart, pointerX(event)));
});
chart?.addEventListener("pointercancel", () => {
  brush?.remove();
  brush = null;
});
chart?.addEventListener("pointerup", (event) => {
  if (!brush) return;
  const [since, until] = timeRange(Math.min(dragStart, pointerX(event)), Math.max(dragStart, pointerX(event)));
  const textWithoutRange = searchField.value.replaceAll(/\b(since|until):\S*\s*/g, "").trim();
  searchField.value = `${textWithoutRange} since:${isoMinute(since)} until:${isoMinute(until)}`.trim();
  announce(`${isoMinute(since)} – ${isoMinute(until)}`);
  searchField.form.requestSubmit();
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
