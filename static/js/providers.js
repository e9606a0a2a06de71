// Providers: reveals an entered key, selects all models, shows busy labels on buttons, and warns
// before values are saved that a test has just refused.
import "./item_filter.js";

for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.querySelector(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const isRevealed = input.type === "text";
    input.type = isRevealed ? "password" : "text";
    button.setAttribute("aria-pressed", String(!isRevealed));
  });
}

for (const button of document.querySelectorAll("[data-select-all]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const checkboxes = [...document.querySelectorAll(`${button.dataset.selectAll} tr:not([hidden]) input`)];
    const areAllChecked = checkboxes.every((checkbox) => checkbox.checked);
    for (const checkbox of checkboxes) checkbox.checked = !areAllChecked;
  });
}

/** Shows a busy label on a button; the returned function restores its label. */
function showBusyLabel(element) {
  const label = element.querySelector("span") || element;
  const originalText = label.textContent;
  label.textContent = element.dataset.busyLabel;
  element.setAttribute("aria-busy", "true");
  return () => {
    label.textContent = originalText;
    element.removeAttribute("aria-busy");
  };
}

// On the document: a search replaces the rows of the list.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-busy-label]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const restoreLabel = showBusyLabel(link);
  // The Back button shows this page in the state in which it was left.
  addEventListener("pageshow", restoreLabel, { once: true });
});

const labelRestorers = new WeakMap();
document.addEventListener("htmx:before:request", (event) => {
  const source = event.detail.ctx.sourceElement;
  const button = source?.matches?.("[data-busy-label]") ? source : source?.querySelector?.("[data-busy-label]");
  if (button) labelRestorers.set(source, showBusyLabel(button));
});
document.addEventListener("htmx:finally:request", (event) => {
  const source = event.detail.ctx.sourceElement;
  labelRestorers.get(source)?.();
  labelRestorers.delete(source);
});

// The result of a test applies to the values that were tested: a change removes it, but not the
// suggestions of model names.
const testResult = document.getElementById("test-result");
const saveButton = document.querySelector("[data-label-after-failed-test]");
if (testResult && saveButton) {
  const label = saveButton.textContent;
  const updateSaveButton = () => {
    const isRefused = testResult.querySelector(".test-result.bad");
    saveButton.textContent = isRefused ? saveButton.dataset.labelAfterFailedTest : label;
  };
  // The button may be at the lower edge of the window, with its result below.
  const scrollToResult = () => testResult.querySelector(".callout") && testResult.scrollIntoView({ block: "nearest" });
  for (const update of [updateSaveButton, scrollToResult]) {
    new MutationObserver(update).observe(testResult, { childList: true });
  }
  saveButton.form.addEventListener("input", () => testResult.replaceChildren(...testResult.querySelectorAll("datalist")));
}
