// Keyboard shortcuts. Those without Ctrl can be turned off, and are ignored while the user types.
const PAGES = { o: "/console/", p: "/console/playground", r: "/console/requests", t: "/console/routes" };
const SEQUENCE_MS = 900;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable], [role=listbox], [role=combobox]");
}

function singleKeysEnabled() {
  return localStorage.getItem("single-keys") !== "off";
}

function moveRow(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const currentIndex = rows.findIndex((row) => row.matches("[aria-current], :focus, :focus-within"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, currentIndex + step))];
  const link = next.matches("a") ? next : next.querySelector("a") || next;
  link.focus();
  if (next.dataset.row === "open") link.click();
}

/** Opens the command palette; its script is loaded on first use. */
export function openCommandPalette() {
  import("./palette.js").then((module) => module.openPalette());
}

export function bindKeyboard() {
  const checkbox = document.querySelector("[data-single-keys]");
  if (checkbox) {
    checkbox.checked = singleKeysEnabled();
    checkbox.addEventListener("change", () => localStorage.setItem("single-keys", checkbox.checked ? "on" : "off"));
  }
  // Enter in a search field for the choices of a form must not submit the form.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("form[method=post] input[type=search]")) event.preventDefault();
  });
  let sequenceStartedAt = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      if (event.key.toLowerCase() === "k" && document.querySelector("[data-palette]")) {
        event.preventDefault();
        openCommandPalette();
        return;
      }
      return;
    }
    if (event.altKey || event.ctrlKey || event.metaKey || !singleKeysEnabled()) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (Date.now() - sequenceStartedAt < SEQUENCE_MS && PAGES[event.key]) {
      sequenceStartedAt = 0;
      location.assign(PAGES[event.key]);
      return;
    }
    sequenceStartedAt = event.key === "g" ? Date.now() : 0;
    if (event.key === "/") {
      const fields = [...document.querySelectorAll("[data-shortcut=search], #main input[type=search]")];
      const search = fields.find((field) => field.checkVisibility());
      if (search) {
        event.preventDefault();
        search.focus();
        search.select?.();
      }
    } else if (event.key === "?") document.getElementById("keyboard")?.showModal();
    else if (event.key === "j") moveRow(1);
    else if (event.key === "k") moveRow(-1);
  });
}
