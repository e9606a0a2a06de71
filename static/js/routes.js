// The route editor: drag and drop of targets, live checks, keyboard. Every button also works as a plain submit.
import { announce } from "./app.js";
import "./item_filter.js";
import "./select.js";

const form = () => document.getElementById("route-form");
const formMessage = (name) => form()?.dataset[name] || "";

function checkRoute() {
  form()?.requestSubmit(form().querySelector("[data-check]"));
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
        if (from !== to || oldIndex !== newIndex) checkRoute();
      },
    });
  }
}

let pageState = { id: "", open: [], isSave: false };
document.addEventListener("htmx:before:request", () => {
  const open = [...(form()?.querySelectorAll("details[open]") || [])].map((item) => item.id);
  pageState = {
    id: document.activeElement?.id || "",
    open: open.filter((id) => !id.startsWith("menu-")),
    isSave: Boolean(document.activeElement?.matches("[data-save]")),
  };
});
document.addEventListener("htmx:after:swap", () => {
  if (!form()) return;
  makeSortable();
  // A morph keeps the selection, but the model is a target now.
  for (const picker of form().querySelectorAll(".add-target:not(.invalid) :is(select, input)")) picker.value = "";
  for (const id of pageState.open) {
    const item = document.getElementById(id);
    if (item) item.open = true;
  }
  // At the edge of the list the pressed button may be disabled: the opposite one gets the focus.
  if (pageState.id && (!document.activeElement || document.activeElement === document.body)) {
    const previousElement = document.getElementById(pageState.id);
    const oppositeId = pageState.id.replace(/^(up|down)-/, (_, direction) => (direction === "up" ? "down-" : "up-"));
    (previousElement && !previousElement.disabled ? previousElement : document.getElementById(oppositeId))?.focus();
  }
  // After a failed save the field is scrolled to the middle: the bar with the buttons covers the end of the page.
  const invalidField = pageState.isSave && form().querySelector("[aria-invalid=true]");
  if (invalidField) {
    invalidField.scrollIntoView({ block: "center" });
    invalidField.focus({ preventScroll: true });
  }
  // Enter turned the text into a chip; a morph leaves the text in its field.
  const alias = form().querySelector("[data-alias]");
  const aliases = [...form().querySelectorAll("input[type=hidden][name=alias]")].map((chip) => chip.value);
  if (alias && aliases.includes(alias.value.trim())) alias.value = "";
  if (formMessage("message")) {
    announce(formMessage("message"));
    form().dataset.message = "";
  }
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-refresh]")) checkRoute();
});
// A required field of a new route is an error once the user leaves it empty; a switch to
// another window keeps the focus and does not count.
document.addEventListener("focusout", (event) => {
  const field = event.target.closest("[data-required-field]");
  const visitedFields = form()?.querySelector("[data-visited-fields]");
  if (!field || !visitedFields || field.value || document.activeElement === field) return;
  if (visitedFields.value.split(" ").includes(field.dataset.requiredField)) return;
  visitedFields.value = `${visitedFields.value} ${field.dataset.requiredField}`.trim();
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
let canLeave = false;
// The session has ended: the redirect to the sign-in page needs no confirmation.
document.addEventListener("htmx:before:response", (event) => {
  if (event.detail.ctx.response.status === 401) canLeave = true;
});
document.addEventListener("submit", () => (canLeave = true));
document.addEventListener("click", (event) => {
  canLeave = Boolean(event.target.closest("[data-discard], [data-save]"));
});
addEventListener("beforeunload", (event) => {
  const dirty = document.querySelector("#route-bar .dot.warn");
  if (dirty && !canLeave) event.preventDefault();
});

makeSortable();
