// Menus, tooltips and dialogs.
import { $, _, el, icon } from "./dom.js";
import { placeBelow } from "./picker.js";

/** A menu of actions: [{icon, label, run, danger}]. */
export function menu(anchor, label, entries) {
  const move = (event) => {
    const items = [...box.querySelectorAll("[role=menuitem]")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  };
  const box = el("div.pg-menu", { popover: "auto", role: "menu", "aria-label": label, onkeydown: move });
  for (const entry of entries.filter(Boolean)) {
    box.append(el(`button.${entry.danger ? "danger" : "plain"}`, {
      type: "button", role: "menuitem",
      onclick: () => { box.hidePopover(); anchor.focus(); entry.run(); },
    }, icon(entry.icon), el("span.grow", {}, entry.label), entry.hint ? el("span.count", {}, entry.hint) : null));
  }
  box.addEventListener("toggle", (event) => event.newState === "closed" && box.remove());
  $("#pg").append(box);
  box.showPopover();
  placeBelow(box, anchor);
  box.querySelector("button")?.focus();
}

/** A tooltip below `anchor`, until the next click. */
export function tip(anchor, text) {
  const box = el("p.pg-menu.tip", { popover: "auto", role: "status" }, text);
  box.addEventListener("toggle", (event) => event.newState === "closed" && box.remove());
  $("#pg").append(box);
  box.showPopover();
  placeBelow(box, anchor);
}

/** Opens a dialog; it is removed when it closes. */
export function dialog(title, ...kids) {
  const close = el("button.btn.ghost.sm.icon", { type: "button", "aria-label": _("Close"), onclick: () => box.close() }, icon("x"));
  const id = `pg-dialog-${Date.now()}`;
  const box = el("dialog.dialog.pg-dialog", { "aria-labelledby": id },
    el("header.row", {}, el("h2.grow", { id }, title), close), el("div.pg-dialog-body", {}, kids));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}
