// The requests page: live tail and the chosen row.
import { say } from "./app.js";
import "./filters.js";
import "./search.js";
import "./split.js";
import "./translation.js";

const EVERY_MS = 1000;
const KEPT_ROWS = 300;
const list = document.getElementById("list");
const live = document.querySelector("[data-live]");
const narrow = matchMedia("(max-width: 52rem)");
let pressed = false;
let asking = false;

const tail = () => document.getElementById("tail");
const news = () => document.querySelector("[data-news]");
const on = () => live?.getAttribute("aria-pressed") === "true";

function scrolled() {
  return (narrow.matches ? window.scrollY : list.scrollTop) > 40;
}

async function tick() {
  const spot = tail();
  if (!spot || !on() || document.hidden || asking || !window.htmx) return;
  asking = true;
  const paused = pressed || scrolled();
  const url = `${spot.dataset.tail}&after=${spot.dataset.after}${paused ? "&peek=1" : ""}`;
  try {
    await window.htmx.ajax("GET", url, { target: "#tail", swap: "outerHTML" });
  } catch {
    // The next second tries again.
  }
  asking = false;
  const waiting = Number(tail()?.dataset.waiting || 0);
  showNews(waiting);
  trim();
}

function showNews(count) {
  const button = news();
  if (!button) return;
  button.hidden = !count;
  if (count) button.textContent = button.dataset.label.replace("#", count > 40 ? "40+" : count);
}

function trim() {
  if (scrolled() || pressed) return;
  const rows = document.querySelectorAll("#rows > tr");
  for (let n = KEPT_ROWS; n < rows.length; n += 1) rows[n].remove();
}

function toTop() {
  pressed = false;
  if (narrow.matches) window.scrollTo({ top: 0 });
  else list.scrollTop = 0;
  tick();
}

function choose() {
  const selectedId = document.getElementById("detail")?.dataset.id;
  for (const row of document.querySelectorAll("#rows > tr")) {
    if (selectedId && row.dataset.id === selectedId) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  const row = document.querySelector("#rows > tr[aria-current]");
  if (row && !narrow.matches) row.scrollIntoView({ block: "nearest" });
  if (narrow.matches && selectedId) window.scrollTo({ top: 0 });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], details.menu[open]")) return;
  if (event.target.closest("input, textarea, select")) return;
  document.querySelector("#detail:not([hidden]) [data-close-detail]")?.click();
});

/** A search field above a list of options: only the options with its text can be chosen. */
document.addEventListener("input", (event) => {
  const search = event.target.closest("[data-filter-options]");
  if (!search) return;
  const select = document.querySelector(search.dataset.filterOptions);
  const words = search.value.trim().toLowerCase();
  const options = [...select.options].filter((option) => option.value);
  for (const option of options) option.hidden = !option.value.toLowerCase().includes(words);
  select.value = words ? options.find((option) => !option.hidden)?.value ?? "" : "";
});

live?.addEventListener("click", () => {
  const next = !on();
  live.setAttribute("aria-pressed", String(next));
  say(next ? live.textContent.trim() : "");
});
news()?.addEventListener("click", toTop);
list?.addEventListener("pointerdown", () => (pressed = true));
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => (pressed = false));

/** Messages are drawn by a module of their own, loaded with the first of them. */
function drawMessages() {
  if (document.querySelector("[data-md]")) import("./conversation.js").then((module) => module.drawMessages());
}

document.addEventListener("htmx:after:swap", () => {
  choose();
  drawMessages();
});
drawMessages();
setInterval(tick, EVERY_MS);
