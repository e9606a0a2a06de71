// How the columns are shown: in a row or a grid, scrolled together, with or without the timeline.
import { $, _, announce } from "./dom.js";

const STORAGE_KEY = "dragoman-playground-view";
const DEFAULTS = { grid: false, sync: false, timeline: true };

function storedView() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(STORAGE_KEY)) };
  } catch {
    return { ...DEFAULTS };
  }
}

const view = storedView();

function applyView() {
  const page = $("#pg");
  page.dataset.layout = view.grid ? "grid" : "row";
  page.dataset.timeline = view.timeline ? "open" : "closed";
}

function toggle(name, message) {
  view[name] = !view[name];
  localStorage.setItem(STORAGE_KEY, JSON.stringify(view));
  applyView();
  announce(message);
}

/** Scrolls all responses to the same share of their length. */
function scrollTogether(event) {
  const source = event.target;
  if (!view.sync || !source.matches?.(".pcol .response") || source !== scrollSource) return;
  const scrollShare = source.scrollTop / Math.max(1, source.scrollHeight - source.clientHeight);
  for (const other of document.querySelectorAll(".pcol:not([hidden]) .response")) {
    if (other !== source) other.scrollTop = scrollShare * (other.scrollHeight - other.clientHeight);
  }
}

// Only scrolling the response under the pointer or the focus moves the others.
let scrollSource = null;
const setScrollSource = (event) => (scrollSource = event.target.closest?.(".pcol .response") ?? scrollSource);
for (const kind of ["pointerover", "focusin", "wheel", "touchstart"]) document.addEventListener(kind, setScrollSource, { passive: true });
document.addEventListener("scroll", scrollTogether, { capture: true, passive: true });
applyView();

export async function viewMenu(anchor) {
  const { menu } = await import("./overlay.js");
  menu(anchor, _("View"), [
    { icon: view.grid ? "i:sliders-horizontal" : "i:layout-dashboard", label: view.grid ? _("Columns in a row") : _("Columns in a grid"), run: () => toggle("grid", _("Layout changed.")) },
    { icon: "i:arrow-down", label: view.sync ? _("Scroll each response alone") : _("Scroll responses together"), run: () => toggle("sync", view.sync ? _("Responses scroll alone.") : _("Responses scroll together.")) },
    { icon: "i:chart-column", label: view.timeline ? _("Hide timeline and result") : _("Show timeline and result"), run: () => toggle("timeline", _("Layout changed.")) },
  ]);
}
