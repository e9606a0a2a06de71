// The first provider: a preset fills in the base URL and links to the page that issues keys.
const urlField = document.querySelector("[name=base_url]");
const variableField = document.querySelector("[name=variable]");
const keyPageLink = document.querySelector("p[data-key-page]");
let prefilledUrl = "";

function applyPreset(radio) {
  const { url: presetUrl, example, keyPage, variable: variableName } = radio.dataset;
  // A URL that the user has entered is kept.
  if (!urlField.value || urlField.value === prefilledUrl) urlField.value = prefilledUrl = presetUrl;
  urlField.placeholder = example || presetUrl;
  variableField.placeholder = variableName;
  keyPageLink.hidden = !keyPage;
  if (keyPage) keyPageLink.querySelector("a").href = keyPage;
}

for (const radio of document.querySelectorAll("[name=preset]")) {
  if (radio.checked) applyPreset(radio);
  radio.addEventListener("change", () => applyPreset(radio));
}
