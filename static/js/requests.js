// The requests page: live tail and the selected row.
import { announce } from "./app.js";
import "./filters.js";
import "./search.js";
import "./split.js";
import "./translation.js";

const POLL_MS = 1000;
const MAX_ROWS = 300;
const list = document.getElementById("list");
const liveButton = document.querySelector("[data-live]");
const narrowScreen = matchMedia("(max-width: 52rem)");
let isPointerDown = false;
let isPolling = false;

const tailElement = () => document.getElementById("tail");
const newRowsButton = () => document.querySelector("[data-new-rows]");
const isLive = () => liveButton?.getAttribute("aria-pressed") === "true";

function isScrolled() {
  return (narrowScreen.matches ? window.scrollY : list.scrollTop) > 40;
}

async function poll() {
  const tailMarker = tailElement();
  if (!tailMarker || !isLive() || document.hidden || isPolling || !window.htmx) return;
  isPolling = true;
  const paused = isPointerDown || isScrolled();
  const url = `${tailMarker.dataset.tail}&after=${tailMarker.dataset.after}${paused ? "&peek=1" : ""}`;
  try {
    await window.htmx.ajax("GET", url, { target: "#tail", swap: "outerHTML" });
  } catch {
    // The next poll tries again.
  }
  isPolling = false;
  const newRowCount = Number(tailElement()?.dataset.waiting || 0);
  updateNewRowsButton(newRowCount);
  removeOldRows();
}

function updateNewRowsButton(count) {
  const button = newRowsButton();
  if (!button) return;
  button.hidden = !count;
  if (count) button.textContent = button.dataset.label.replace("#", count > 40 ? "40+" : count);
}

function removeOldRows() {
  if (isScrolled() || isPointerDown) return;
  const rows = document.querySelectorAll("#rows > tr");
  for (let n = MAX_ROWS; n < rows.length; n += 1) rows[n].remove();
}

function scrollToTop() {
  isPointerDown = false;
  if (narrowScreen.matches) window.scrollTo({ top: 0 });
  else list.scrollTop = 0;
  poll();
}

const selectedRequestId = () => document.getElementById("detail")?.dataset.id;
let shownId = narrowScreen.matches ? selectedRequestId() : undefined;

function markSelectedRow() {
  const selectedId = selectedRequestId();
  for (const row of document.querySelectorAll("#rows > tr")) {
    if (selectedId && row.dataset.id === selectedId) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  // New rows of the live tail, and other updates, do not move what is being read.
  if (selectedId === shownId) return;
  shownId = selectedId;
  const row = document.querySelector("#rows > tr[aria-current]");
  if (row && !narrowScreen.matches) row.scrollIntoView({ block: "nearest" });
  if (narrowScreen.matches && selectedId) window.scrollTo({ top: 0 });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], details.menu[open]")) return;
  if (event.target.closest("input, textarea, select")) return;
  document.querySelector("#detail:not([hidden]) [data-close-detail]")?.click();
});

// After the detail is closed, the keyboard continues at the row that it belonged to.
const CLOSED = "closed-request";
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close-detail]")) sessionStorage.setItem(CLOSED, document.getElementById("detail").dataset.id);
});
document.querySelector(`#rows > tr[data-id="${sessionStorage.getItem(CLOSED)}"] a`)?.focus();
sessionStorage.removeItem(CLOSED);

liveButton?.addEventListener("click", () => {
  const next = !isLive();
  liveButton.setAttribute("aria-pressed", String(next));
  announce(next ? liveButton.textContent.trim() : "");
});
newRowsButton()?.addEventListener("click", scrollToTop);
list?.addEventListener("pointerdown", () => (isPointerDown = true));
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => (isPointerDown = false));

/** Draws messages; their module is loaded when the first one appears. */
function renderMessages() {
  if (document.querySelector("[data-markdown]")) import("./conversation.js").then((module) => module.renderMessages());
}

document.addEventListener("htmx:after:swap", () => {
  markSelectedRow();
  renderMessages();
});
markSelectedRow();
renderMessages();
setInterval(poll, POLL_MS);
