// The editor of a route: dragging, live checks, keys. Every button is a plain submit too.
import { say } from "./app.js";
import "./select.js";

const form = () => document.getElementById("route-form");
const formMessage = (name) => form()?.dataset[name] || "";

function refresh() {
  form()?.requestSubmit(form().querySelector("[data-check]"));
}

// The list: hides entries that do not match the filter.
for (const input of document.querySelectorAll("[data-find]")) {
  input.addEventListener("input", () => {
    const filterText = input.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(input.dataset.find)) {
      row.hidden = !row.dataset.text.toLowerCase().includes(filterText);
    }
  });
}

// Targets move between all steps; the hidden field in the row moves with it.
function makeSortable() {
  if (!window.Sortable) return;
  for (const list of document.querySelectorAll("[data-targets]")) {
    if (window.Sortable.get(list)) continue;
    window.Sortable.create(list, {
      group: "targets",
      handle: ".grip",
      animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
      ghostClass: "ghosted",
      onEnd: ({ from, to, oldIndex, newIndex }) => {
        if (from !== to || oldIndex !== newIndex) refresh();
      },
    });
  }
}

let busy = { id: "", open: [] };
document.addEventListener("htmx:before:request", () => {
  const open = [...(form()?.querySelectorAll("details[open]") || [])].map((item) => item.id);
  busy = { id: document.activeElement?.id || "", open: open.filter((id) => !id.startsWith("menu-")) };
});
document.addEventListener("htmx:after:swap", () => {
  if (!form()) return;
  makeSortable();
  // A morph keeps the selection, but the model is a target now.
  for (const picker of form().querySelectorAll(".add-target:not(.invalid) select")) picker.value = "";
  for (const id of busy.open) {
    const item = document.getElementById(id);
    if (item) item.open = true;
  }
  // The button pressed may be disabled at the edge of the list: its twin takes over.
  if (busy.id && (!document.activeElement || document.activeElement === document.body)) {
    const again = document.getElementById(busy.id);
    const twin = busy.id.replace(/^(up|down)-/, (_, way) => (way === "up" ? "down-" : "up-"));
    (again && !again.disabled ? again : document.getElementById(twin))?.focus();
  }
  // Enter turned the text into a chip; a morph leaves the text in its field.
  const alias = form().querySelector("[data-alias]");
  const chips = [...form().querySelectorAll("input[type=hidden][name=alias]")].map((chip) => chip.value);
  if (alias && chips.includes(alias.value.trim())) alias.value = "";
  if (formMessage("message")) {
    say(formMessage("message"));
    form().dataset.message = "";
  }
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-refresh]")) refresh();
});
// A new route's field that is left empty is an error from then on. Who only looks at
// another window has not left it.
document.addEventListener("focusout", (event) => {
  const field = event.target.closest("[data-needed]");
  const left = form()?.querySelector("[data-left]");
  if (!field || !left || field.value || document.activeElement === field) return;
  if (left.value.split(" ").includes(field.dataset.needed)) return;
  left.value = `${left.value} ${field.dataset.needed}`.trim();
  form().dispatchEvent(new Event("input"));
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s" && form()) {
    event.preventDefault();
    const save = form().querySelector("[data-save]");
    if (save && !save.disabled) form().requestSubmit(save);
  }
});

// Leaving with unsaved changes asks for confirmation, unless they are being saved or discarded.
let leaving = false;
// The session has ended: the redirect to the sign-in page needs no confirmation.
document.addEventListener("htmx:before:response", (event) => {
  if (event.detail.ctx.response.status === 401) leaving = true;
});
document.addEventListener("submit", () => (leaving = true));
document.addEventListener("click", (event) => {
  leaving = Boolean(event.target.closest("[data-discard], [data-save]"));
});
addEventListener("beforeunload", (event) => {
  const dirty = document.querySelector("#route-bar .dot.warn");
  if (dirty && !leaving) event.preventDefault();
});

makeSortable();
