// Showing an entered key, selecting all, filtering long lists, and busy labels of buttons.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.querySelector(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  });
}

for (const input of document.querySelectorAll("[data-narrow]")) {
  input.hidden = false;
  input.addEventListener("input", () => {
    const terms = input.value.toLowerCase().split(/\s+/);
    for (const item of document.querySelectorAll(input.dataset.narrow)) {
      item.hidden = !terms.every((term) => item.dataset.search.includes(term));
    }
  });
  // Enter in a filter must not send the form around it.
  input.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}

for (const button of document.querySelectorAll("[data-tick]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = [...document.querySelectorAll(`${button.dataset.tick} tr:not([hidden]) input`)];
    const all = shown.every((box) => box.checked);
    for (const box of shown) box.checked = !all;
  });
}

function busy(element, text) {
  const label = element.querySelector("span") || element;
  const before = label.textContent;
  label.textContent = text;
  element.setAttribute("aria-busy", "true");
  return () => {
    label.textContent = before;
    element.removeAttribute("aria-busy");
  };
}

for (const link of document.querySelectorAll("a[data-busy]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const done = busy(link, link.dataset.busy);
    // Back in the history shows this page as it was left.
    addEventListener("pageshow", done, { once: true });
  });
}

const waiting = new WeakMap();
document.addEventListener("htmx:before:request", (event) => {
  const source = event.detail.ctx.sourceElement;
  const button = source?.matches?.("[data-busy-label]") ? source : source?.querySelector?.("[data-busy-label]");
  if (button) waiting.set(source, busy(button, button.dataset.busyLabel));
});
document.addEventListener("htmx:finally:request", (event) => {
  const source = event.detail.ctx.sourceElement;
  waiting.get(source)?.();
  waiting.delete(source);
});
