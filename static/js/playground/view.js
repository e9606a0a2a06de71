// How the columns are shown: in a row or a grid, scrolled together, with or without the timeline.
import { $, _, say } from "./dom.js";

const KEY = "dragoman-playground-view";
const DEFAULTS = { grid: false, sync: false, timeline: true };

function stored() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    return { ...DEFAULTS };
  }
}

const view = stored();

function apply() {
  const page = $("#pg");
  page.dataset.layout = view.grid ? "grid" : "row";
  page.dataset.timeline = view.timeline ? "open" : "closed";
}

function toggle(name, words) {
  view[name] = !view[name];
  localStorage.setItem(KEY, JSON.stringify(view));
  apply();
  say(words);
}

/** Scrolls all answers to the same share of their length. */
function scrollTogether(event) {
  const source = event.target;
  if (!view.sync || !source.matches?.(".pcol .answer") || source !== leader) return;
  const share = source.scrollTop / Math.max(1, source.scrollHeight - source.clientHeight);
  for (const other of document.querySelectorAll(".pcol:not([hidden]) .answer")) {
    if (other !== source) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
  }
}

// Only the answer under the pointer or the focus leads: the others scroll because of it.
let leader = null;
const lead = (event) => (leader = event.target.closest?.(".pcol .answer") ?? leader);
for (const kind of ["pointerover", "focusin", "wheel", "touchstart"]) document.addEventListener(kind, lead, { passive: true });
document.addEventListener("scroll", scrollTogether, { capture: true, passive: true });
apply();

export async function viewMenu(anchor) {
  const { menu } = await import("./overlay.js");
  menu(anchor, _("View"), [
    { icon: view.grid ? "i:sliders-horizontal" : "i:layout-dashboard", label: view.grid ? _("Columns in a row") : _("Columns in a grid"), run: () => toggle("grid", _("Layout changed.")) },
    { icon: "i:arrow-down", label: view.sync ? _("Scroll each answer alone") : _("Scroll answers together"), run: () => toggle("sync", view.sync ? _("Answers scroll alone.") : _("Answers scroll together.")) },
    { icon: "i:chart-column", label: view.timeline ? _("Hide timeline and result") : _("Show timeline and result"), run: () => toggle("timeline", _("Layout changed.")) },
  ]);
}
