// The first provider: its base URL is filled in, with a link to the page that issues its keys.
const url = document.querySelector("[name=base_url]");
const variable = document.querySelector("[name=variable]");
const link = document.querySelector("p[data-key-page]");
let filled = "";

function chosen(radio) {
  const { url: base, example, keyPage, variable: name } = radio.dataset;
  // What somebody has typed stays.
  if (!url.value || url.value === filled) url.value = filled = base;
  url.placeholder = example || base;
  variable.placeholder = name;
  link.hidden = !keyPage;
  if (keyPage) link.querySelector("a").href = keyPage;
}

for (const radio of document.querySelectorAll("[name=preset]")) {
  if (radio.checked) chosen(radio);
  radio.addEventListener("change", () => chosen(radio));
}
