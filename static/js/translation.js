// Two sides of a translation: a line or a change under the pointer or the focus lights up its counterparts.
function light(source) {
  for (const lit of document.querySelectorAll("[data-sides] .lit")) lit.classList.remove("lit");
  const sides = source?.closest("[data-sides]");
  if (!sides) return;
  const found = source.dataset.links.trim().split(" ").map((id) => sides.querySelector(`#${id}`)).filter(Boolean);
  if (!found.length) return;
  for (const line of [source, ...found]) line.classList.add("lit");
}

const linked = (event) => event.target.closest?.("[data-sides] [data-links]");
document.addEventListener("pointerover", (event) => light(linked(event)));
document.addEventListener("focusin", (event) => light(linked(event)));
