// A form that leaves the page is sent once: the second click of a double click would create a second key or run.
// `htmx` and the pages' own handlers have prevented the default of what they send themselves.
const RELEASE_MS = 10_000; // a navigation that the user stopped, or the server never answered, can be repeated
const sentForms = new Map();

function release(form) {
  clearTimeout(sentForms.get(form));
  sentForms.delete(form);
}

window.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (sentForms.has(form)) event.preventDefault();
  else sentForms.set(form, setTimeout(release, RELEASE_MS, form));
});

// The second click of a double click on a toggle, such as a thumb, would undo what the first one did.
document.addEventListener(
  "click",
  (event) => {
    if (event.detail < 2 || !event.target.closest("form[method=post] button[aria-pressed]:not([type=button])")) return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

// The back button shows the page as it was left.
window.addEventListener("pageshow", () => [...sentForms.keys()].forEach(release));
