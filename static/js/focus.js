// The keyboard's focus survives a swap: the same control of the new content gets it.

// Counts in names change with the content.
const nameOf = (control) =>
  [control.tagName, control.name, control.getAttribute("aria-label") || control.textContent].join(" ").replace(/\d+/g, "").trim();
const alike = (part, control) => [...part.querySelectorAll(control.tagName)].filter((other) => nameOf(other) === nameOf(control));

let focused = null;

document.addEventListener("htmx:before:swap", () => {
  const control = document.activeElement;
  // Another swap has just removed the focused control, and has yet to restore the focus.
  if (control === document.body && focused && !focused.control.isConnected) return;
  const part = control?.parentElement?.closest("[id]");
  focused = part ? { control, partId: part.id, position: alike(part, control).indexOf(control) } : null;
});

document.addEventListener("htmx:after:swap", () => {
  if (!focused || focused.control.isConnected || document.activeElement !== document.body) return;
  const part = document.getElementById(focused.partId);
  if (part) alike(part, focused.control)[focused.position]?.focus({ preventScroll: true });
  focused = null;
});
