// The palette (Ctrl+K): results of /console/find while typing; arrows move, Enter opens.
import { _ } from "./gettext.js";

const dialog = document.querySelector("[data-palette]");
const input = dialog.querySelector("input");
const list = dialog.querySelector(".search-results");
const DEBOUNCE_MS = 80;
let timer = 0;
let lastRequest = 0;
let searchedText = null;

const resultLinks = () => [...list.querySelectorAll("[data-result]")];

function selectResult(link) {
  for (const result of resultLinks()) result.toggleAttribute("data-selected", result === link);
  link?.scrollIntoView({ block: "nearest" });
}

async function search() {
  const requestNumber = (lastRequest += 1);
  const url = `${input.form.action}?q=${encodeURIComponent(input.value)}`;
  let html;
  try {
    const response = await fetch(url, { headers: { "HX-Request": "true" } });
    if (response.status === 401) return location.assign(response.headers.get("HX-Redirect") ?? location.href);
    if (!response.ok) throw new Error(String(response.status));
    html = await response.text();
  } catch {
    list.textContent = _("The search failed. Check that the server is running, then type again.");
    return;
  }
  if (requestNumber !== lastRequest) return;
  searchedText = decodeURIComponent(url.split("?q=")[1]);
  list.replaceChildren(document.createRange().createContextualFragment(html));
  selectResult(resultLinks()[0]);
  dialog.querySelector("[data-result-count]").textContent = `${resultLinks().length}`;
}

function moveSelection(step) {
  const results = resultLinks();
  const selectedIndex = results.findIndex((link) => link.hasAttribute("data-selected"));
  selectResult(results[Math.min(results.length - 1, Math.max(0, selectedIndex + step))]);
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, DEBOUNCE_MS);
});
input.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  // Enter right after typing opens a result of what was typed.
  if (searchedText !== input.value) await search();
  list.querySelector("[data-selected]")?.click();
});
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
  if (!step) return;
  event.preventDefault();
  moveSelection(step);
});
list.addEventListener("pointermove", (event) => {
  const link = event.target.closest("[data-result]");
  if (link && !link.hasAttribute("data-selected")) selectResult(link);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

export function openPalette() {
  if (dialog.open) return;
  input.value = "";
  dialog.showModal();
  input.focus();
  search();
}
