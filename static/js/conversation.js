// Texts of a logged conversation as markdown. Until they are drawn they are plain text.
import { decorate } from "./playground/highlight.js";
import { Rendering } from "./playground/markdown.js";

const SELECTOR = "[data-markdown]:not([data-rendered])";

function draw(box) {
  const text = box.textContent;
  box.dataset.rendered = "";
  box.replaceChildren();
  new Rendering(box).update(text);
  if (box.querySelector("pre.code")) decorate(box);
}

/** Draws all texts; folded ones when they are opened. */
export function drawMessages() {
  for (const box of document.querySelectorAll(SELECTOR)) {
    const fold = box.parentElement.closest("details:not([open])");
    if (fold) fold.addEventListener("toggle", drawMessages, { once: true });
    else draw(box);
  }
}
