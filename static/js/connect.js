// The list of clients shows one pane at a time; the status is polled while the page is visible.
import "./select.js";

const EVERY_MS = 2000;
const KEY = "dragoman-client";

const panels = () => [...document.querySelectorAll("[data-panel]")];

/** Colours of the code; the page works without them. */
async function colour(panel) {
  const block = panel.querySelector("pre:not([data-coloured])");
  if (!block) return;
  block.dataset.coloured = "";
  const { colour: paint } = await import("./playground/highlight.js");
  paint(block, block.dataset.language);
}

function show(id) {
  const chosen = panels().find((panel) => panel.dataset.panel === id) ?? panels()[0];
  if (!chosen) return;
  document.getElementById("panels").dataset.chosen = chosen.dataset.panel;
  for (const panel of panels()) panel.hidden = panel !== chosen;
  for (const link of document.querySelectorAll("[data-client]")) {
    if (link.dataset.client === chosen.dataset.panel) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  colour(chosen);
}

const current = () => location.hash.replace("#panel-", "") || localStorage.getItem(KEY) || "";

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-client]");
  if (!link) return;
  event.preventDefault();
  history.replaceState(null, "", link.hash);
  localStorage.setItem(KEY, link.dataset.client);
  show(link.dataset.client);
});
// Another route or a new key has replaced the panels.
document.addEventListener("htmx:after:swap", () => document.querySelector("#panels:not([data-chosen])") && show(current()));
show(current());
// The fragment chooses a pane; the status above it stays in view.
if (location.hash) requestAnimationFrame(() => document.querySelector(".page-body, .first-main")?.scrollTo({ top: 0 }));

setInterval(() => {
  const light = document.querySelector("[data-poll]");
  if (light && !document.hidden) htmx.trigger(light, "poll");
}, EVERY_MS);
