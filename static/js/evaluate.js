// Evaluations: rows of assertions, search in the models, live results, expanded cases.
import "./filters.js";
import "./item_filter.js";
import "./live.js";

const POLL_MS = 2000;

function addAssertion(button) {
  const section = button.closest("[data-assertions]");
  const total = section.querySelector("[name$=TOTAL_FORMS]");
  const row = section.querySelector("template").content.firstElementChild.cloneNode(true);
  for (const element of row.querySelectorAll("[name], [id], [for]")) {
    for (const name of ["name", "id", "for", "aria-describedby"]) {
      const value = element.getAttribute(name);
      if (value) element.setAttribute(name, value.replace("__prefix__", total.value));
    }
  }
  total.value = Number(total.value) + 1;
  button.closest(".form-actions").before(row);
  row.querySelector("select").focus();
}

/** The server ignores a row without a type. */
function removeAssertion(button) {
  const row = button.closest(".assertion");
  row.querySelector("select").value = "";
  for (const field of row.querySelectorAll("textarea, input:not([type=checkbox])")) field.value = "";
  row.hidden = true;
}

/** A second click on an expanded case closes it. */
function toggleCase(link, event) {
  const cell = document.getElementById(link.dataset.expand);
  if (link.getAttribute("aria-expanded") !== "true") {
    link.setAttribute("aria-expanded", "true");
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  cell.replaceChildren();
  link.setAttribute("aria-expanded", "false");
}

// Before htmx, so that closing a case loads nothing.
document.addEventListener(
  "click",
  (event) => {
    const link = event.target.closest("[data-expand]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) toggleCase(link, event);
    const addButton = event.target.closest("[data-add-assertion]");
    if (addButton) addAssertion(addButton);
    const removeButton = event.target.closest("[data-remove-assertion]");
    if (removeButton) removeAssertion(removeButton);
  },
  true,
);

// A draft may have more assertions than the page.
document.addEventListener("draft", ({ target: form, detail: fields }) => {
  const total = form.querySelector("[name$=TOTAL_FORMS]");
  const wanted = fields.find(({ name }) => name === total?.name)?.value;
  while (Number(total?.value) < Number(wanted)) addAssertion(form.querySelector("[data-add-assertion]"));
});

const isRunning = () => document.querySelector("#progress[data-running]") !== null;
// Results are polled until the run has ended, except while a case is expanded.
let wasRunning = isRunning();
setInterval(() => {
  const results = document.getElementById("results");
  if (!results || document.hidden) return;
  const hasExpandedCase = results.querySelector("[aria-expanded=true]") !== null;
  if ((wasRunning || isRunning()) && !hasExpandedCase) {
    wasRunning = isRunning();
    window.htmx?.trigger(document.getElementById("results-refresh"), "poll");
  }
}, POLL_MS);
