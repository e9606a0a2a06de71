// The keyboard map. Keys without Ctrl can be switched off, and never work while one types.
const PLACES = { o: "/console/", p: "/console/playground", r: "/console/requests", t: "/console/routes" };
const WAIT_MS = 900;

function typing(target) {
  return target.closest("input, textarea, select, [contenteditable], [role=listbox], [role=combobox]");
}

function singles() {
  return localStorage.getItem("single-keys") !== "off";
}

function moveRow(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.matches("[aria-current], :focus, :focus-within"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, now + step))];
  const link = next.matches("a") ? next : next.querySelector("a") || next;
  link.focus();
  if (next.dataset.row === "open") link.click();
}

/** Opens the palette, whose script is loaded with its first use. */
export function findAnything() {
  import("./palette.js").then((module) => module.openPalette());
}

export function bindKeyboard() {
  const box = document.querySelector("[data-single-keys]");
  if (box) {
    box.checked = singles();
    box.addEventListener("change", () => localStorage.setItem("single-keys", box.checked ? "on" : "off"));
  }
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      if (event.key.toLowerCase() === "k" && document.querySelector("[data-palette]")) {
        event.preventDefault();
        findAnything();
        return;
      }
      const selector = { s: "[data-key=save]", Enter: "[data-key=run]" }[event.key];
      const button = selector && document.querySelector(`${selector}:not(:disabled)`);
      if (button) {
        event.preventDefault();
        button.click();
      }
      return;
    }
    if (event.altKey || event.ctrlKey || event.metaKey || !singles()) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    if (Date.now() - going < WAIT_MS && PLACES[event.key]) {
      going = 0;
      location.assign(PLACES[event.key]);
      return;
    }
    going = event.key === "g" ? Date.now() : 0;
    if (event.key === "/") {
      const fields = [...document.querySelectorAll("[data-key=search], #main input[type=search]")];
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
