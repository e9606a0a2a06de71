// Renders the texts of a logged conversation as markdown; until then they are plain text.
import { decorate } from "./playground/highlight.js";
import { MarkdownRenderer } from "./playground/markdown.js";

const UNRENDERED = "[data-markdown]:not([data-rendered])";

function render(box) {
  const text = box.textContent;
  box.dataset.rendered = "";
  box.replaceChildren();
  new MarkdownRenderer(box).update(text);
  if (box.querySelector("pre.code")) decorate(box);
}

/** Renders all texts; those in collapsed details when they are opened. */
export function renderMessages() {
  for (const box of document.querySelectorAll(UNRENDERED)) {
    const collapsedDetails = box.parentElement.closest("details:not([open])");
    if (collapsedDetails) collapsedDetails.addEventListener("toggle", renderMessages, { once: true });
    else render(box);
  }
}
