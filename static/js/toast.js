// Short messages at the edge of the page.
const DISPLAY_MS = 6000;

/** Shows a message; with an `action` ({label, run}) it stays until it is used or closed. */
export function toast(text, kind = "", { action = null } = {}) {
  let list = document.querySelector(".toasts");
  if (!list) {
    list = document.createElement("div");
    list.className = "toasts";
    list.setAttribute("role", "status");
    document.body.append(list);
  }
  const toastElement = document.createElement("div");
  toastElement.className = `toast ${kind}`;
  toastElement.append(text);
  const addButton = (label, run) => {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = label;
    element.addEventListener("click", () => {
      toastElement.remove();
      run?.();
    });
    toastElement.append(" ", element);
  };
  if (action) {
    addButton(action.label, action.run);
    addButton("Dismiss");
  } else setTimeout(() => toastElement.remove(), DISPLAY_MS);
  list.append(toastElement);
  return toastElement;
}
