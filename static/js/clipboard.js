// The clipboard, also on plain http.

/** Copies a text; returns whether the browser allowed it. Must run in a click. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // `navigator.clipboard` exists only on https and localhost:
    // https://developer.mozilla.org/en-US/docs/Web/API/Clipboard
    return copySelectedText(text);
  }
}

function copySelectedText(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "sr";
  field.value = text;
  // Outside of an open dialog, nothing can be selected.
  ([...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus?.({ preventScroll: true });
  return isCopied;
}
