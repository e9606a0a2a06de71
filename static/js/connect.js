// Connect: shows the snippet of one client at a time; the status is polled while the page is visible.
import "./select.js";

const POLL_MS = 2000;
const STORAGE_KEY = "dragoman-client";

const panels = () => [...document.querySelectorAll("[data-panel]")];

/** Highlights the code of a panel when it is first shown. */
async function highlightCode(panel) {
  const block = panel.querySelector("pre:not([data-highlighted])");
  if (!block) return;
  block.dataset.highlighted = "";
  const { highlight } = await import("./playground/highlight.js");
  highlight(block, block.dataset.language);
}

function showPanel(id) {
  const selected = panels().find((panel) => panel.dataset.panel === id) ?? panels()[0];
  if (!selected) return;
  document.getElementById("panels").dataset.selected = selected.dataset.panel;
  for (const panel of panels()) panel.hidden = panel !== selected;
  for (const link of document.querySelectorAll("[data-client]")) {
    if (link.dataset.client === selected.dataset.panel) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  highlightCode(selected);
}

const currentClient = () => location.hash.replace("#panel-", "") || localStorage.getItem(STORAGE_KEY) || "";

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-client]");
  if (!link) return;
  event.preventDefault();
  history.replaceState(null, "", link.hash);
  localStorage.setItem(STORAGE_KEY, link.dataset.client);
  showPanel(link.dataset.client);
});
// Another route or a new key has replaced the panels.
document.addEventListener("htmx:after:swap", () => document.querySelector("#panels:not([data-selected])") && showPanel(currentClient()));
showPanel(currentClient());
// The fragment of the address selects a panel; the status above it stays in view.
if (location.hash) requestAnimationFrame(() => document.querySelector(".page-body, .first-main")?.scrollTo({ top: 0 }));

setInterval(() => {
  const statusLight = document.querySelector("[data-poll]");
  if (statusLight && !document.hidden) htmx.trigger(statusLight, "poll");
}, POLL_MS);
