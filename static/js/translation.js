// The two sides of a translation: hovering or focusing a line or a change highlights its counterparts.
function highlightCounterparts(source) {
  for (const highlighted of document.querySelectorAll("[data-sides] .highlighted")) highlighted.classList.remove("highlighted");
  const sides = source?.closest("[data-sides]");
  if (!sides) return;
  const counterparts = source.dataset.links.trim().split(" ").map((id) => sides.querySelector(`#${id}`)).filter(Boolean);
  if (!counterparts.length) return;
  for (const line of [source, ...counterparts]) line.classList.add("highlighted");
}

const linkedElement = (event) => event.target.closest?.("[data-sides] [data-links]");
document.addEventListener("pointerover", (event) => highlightCounterparts(linkedElement(event)));
document.addEventListener("focusin", (event) => highlightCounterparts(linkedElement(event)));
