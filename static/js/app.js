// Every console page: theme, copy buttons, dialogs, menus, keyboard shortcuts, widths of bars.
import { copyText } from "./clipboard.js";
import { bindKeyboard, openCommandPalette } from "./keyboard.js";
import "./drafts.js";
import "./focus.js";
import "./network.js";
import "./submit.js";

const root = document.documentElement;
const MENU_MARGIN = 8;

export function announce(text) {
  const liveRegion = document.getElementById("live");
  if (liveRegion) liveRegion.textContent = text;
}

function switchTheme(button) {
  const systemTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const nextTheme = (root.dataset.theme || systemTheme) === "dark" ? "light" : "dark";
  root.dataset.theme = nextTheme;
  const secureAttribute = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${nextTheme}; Path=/; Max-Age=31536000; SameSite=Lax${secureAttribute}`;
  announce(button.dataset[`${nextTheme}Label`]);
}

async function copy(button) {
  const source = button.dataset.copy && document.querySelector(button.dataset.copy);
  const text = source ? (source.value ?? source.textContent) : button.dataset.copyText || "";
  if (!(await copyText(text.trim()))) {
    // The text is selected for Ctrl+C.
    if (source?.select) source.select();
    else if (source) getSelection().selectAllChildren(source);
    return;
  }
  const label = button.querySelector("span") || button;
  const message = root.dataset.copiedLabel;
  announce(message);
  if (label.textContent.trim()) {
    // A second click within the time must not take the message for the label.
    label.dataset.label ??= label.textContent;
    label.textContent = message;
    setTimeout(() => (label.textContent = label.dataset.label), 1500);
  } else {
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  }
}

// The current page is visible in the navigation, also if that is higher than the window.
document.querySelector("#side .nav [aria-current]")?.scrollIntoView({ block: "nearest" });

const sidebarButton = document.querySelector("[data-toggle-sidebar]");
sidebarButton?.setAttribute("aria-expanded", "false");

function toggleSidebar(open) {
  const sidebar = document.getElementById("side");
  sidebar?.classList.toggle("open", open);
  sidebarButton?.setAttribute("aria-expanded", String(open));
  if (open) sidebar?.querySelector("a")?.focus();
}

/** Closes the open menu, or the sidebar of a phone; the focus returns to what opened it. */
function closeOnEscape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    const hasFocus = menu.contains(document.activeElement);
    menu.open = false;
    if (hasFocus) menu.querySelector("summary").focus();
  } else if (document.querySelector("#side.open")) {
    toggleSidebar(false);
    sidebarButton?.focus();
  } else return;
  // Otherwise the same key would also close the page's detail.
  event.preventDefault();
}
document.addEventListener("keydown", closeOnEscape);

const ACTIONS = {
  "[data-switch-theme]": switchTheme,
  "[data-copy], [data-copy-text]": copy,
  "[data-open-dialog]": (button) => document.querySelector(button.dataset.openDialog)?.showModal(),
  "[data-close-dialog]": (button) => button.closest("dialog")?.close(),
  "[data-keyboard-help]": () => document.getElementById("keyboard")?.showModal(),
  "[data-open-palette]": openCommandPalette,
  "[data-toggle-sidebar]": () => toggleSidebar(!document.getElementById("side").classList.contains("open")),
};

document.addEventListener("click", (event) => {
  for (const [selector, action] of Object.entries(ACTIONS)) {
    const element = event.target.closest(selector);
    if (element) {
      if (element.matches("a, button[type=button]")) event.preventDefault();
      action(element);
      return;
    }
  }
  if (!event.target.closest("#side")) toggleSidebar(false);
  // A click outside closes a menu, as everywhere.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

/** A menu that would be cut off at a side of the window is moved into it. */
function keepInWindow({ target: menu }) {
  if (!menu.matches("details.menu[open]")) return;
  const panel = menu.querySelector(":scope > :not(summary)");
  panel.style.translate = "";
  const { left, right } = panel.getBoundingClientRect();
  const shift = Math.max(Math.min(root.clientWidth - MENU_MARGIN - right, 0), MENU_MARGIN - left);
  if (right > root.clientWidth || left < 0) panel.style.translate = `${shift}px`;
}
document.addEventListener("toggle", keepInWindow, true);

/** Text that is cut with an ellipsis has its whole text as the title while the pointer is on it. */
function titleCutText({ target }) {
  for (let element = target, level = 0; element instanceof Element && level < 3; element = element.parentElement, level += 1) {
    if (element.scrollWidth <= element.clientWidth || getComputedStyle(element).textOverflow !== "ellipsis") continue;
    if (element.closest("[title]")) return;
    element.title = element.textContent.trim().replace(/\s+/g, " ");
    element.addEventListener("pointerleave", () => element.removeAttribute("title"), { once: true });
    return;
  }
}
document.addEventListener("pointerover", titleCutText);

// Widths come as data: the policy refuses style attributes, not styles set by a script.
function setBarWidths(scope) {
  for (const bar of scope.querySelectorAll("[data-percent]")) bar.style.setProperty("--percent", `${bar.dataset.percent}%`);
}
setBarWidths(document);
document.addEventListener("htmx:after:swap", () => setBarWidths(document));

// After a rejected form: the keyboard and the screen reader continue at the first invalid field.
document.querySelector("form [aria-invalid=true]:not([type=hidden])")?.focus();

for (const toast of document.querySelectorAll(".toasts .toast")) {
  if (!toast.querySelector("a, button")) setTimeout(() => toast.remove(), 6000);
}

// The health status in the sidebar is polled while the page is visible.
setInterval(() => {
  const healthStatus = document.querySelector(".health-slot");
  if (healthStatus && !document.hidden) window.htmx?.trigger(healthStatus, "poll");
}, 30_000);
bindKeyboard();
