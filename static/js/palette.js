// The palette (Ctrl+K): results of /console/find while typing; arrows move, Enter opens.
import { _ } from "./gettext.js";

const dialog = document.querySelector("[data-palette]");
const input = dialog.querySelector("input");
const list = dialog.querySelector(".found");
const WAIT_MS = 80;
let timer = 0;
let asked = 0;
let searched = null;

const links = () => [...list.querySelectorAll("[data-result]")];

function mark(link) {
  for (const other of links()) other.toggleAttribute("data-chosen", other === link);
  link?.scrollIntoView({ block: "nearest" });
}

async function search() {
  const number = (asked += 1);
  const url = `${input.form.action}?q=${encodeURIComponent(input.value)}`;
  let html;
  try {
    const reply = await fetch(url, { headers: { "HX-Request": "true" } });
    if (reply.status === 401) return location.assign(reply.headers.get("HX-Redirect") ?? location.href);
    if (!reply.ok) throw new Error(String(reply.status));
    html = await reply.text();
  } catch {
    list.textContent = _("The search failed. Check that the server is running, then type again.");
    return;
  }
  if (number !== asked) return;
  searched = decodeURIComponent(url.split("?q=")[1]);
  list.replaceChildren(document.createRange().createContextualFragment(html));
  mark(links()[0]);
  dialog.querySelector("[data-found]").textContent = `${links().length}`;
}

function move(step) {
  const all = links();
  const now = all.findIndex((link) => link.hasAttribute("data-chosen"));
  mark(all[Math.min(all.length - 1, Math.max(0, now + step))]);
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, WAIT_MS);
});
input.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  // Enter right after typing opens a result of what was typed.
  if (searched !== input.value) await search();
  list.querySelector("[data-chosen]")?.click();
});
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
  if (!step) return;
  event.preventDefault();
  move(step);
});
list.addEventListener("pointermove", (event) => {
  const link = event.target.closest("[data-result]");
  if (link && !link.hasAttribute("data-chosen")) mark(link);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

export function openPalette() {
  if (dialog.open) return;
  input.value = "";
  dialog.showModal();
  input.focus();
  search();
}
