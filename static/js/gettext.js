/** A translated sentence; {names} in it are filled from `values`. */
export const _ = (text, values = {}) =>
  (globalThis.gettext?.(text) ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
