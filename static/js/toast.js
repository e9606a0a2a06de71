// Short messages at the edge of the page.
const SHOWN_MS = 6000;

/** Shows a message; with an `action` ({label, run}) it stays until it is used or closed. */
export function toast(text, kind = "", { action = null } = {}) {
  let list = document.querySelector(".toasts");
  if (!list) {
    list = document.createElement("div");
    list.className = "toasts";
    list.setAttribute("role", "status");
    document.body.append(list);
  }
  const item = document.createElement("div");
  item.className = `toast ${kind}`;
  item.append(text);
  const button = (label, run) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", () => {
      item.remove();
      run?.();
    });
    item.append(" ", made);
  };
  if (action) {
    button(action.label, action.run);
    button("Dismiss");
  } else setTimeout(() => item.remove(), SHOWN_MS);
  list.append(item);
  return item;
}
