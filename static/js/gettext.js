/** The translation of `text`; `{name}` in it is replaced by `values.name`. */
export const _ = (text, values = {}) =>
  (globalThis.gettext?.(text) ?? text).replace(/\{(\w+)\}/g, (match, name) => values[name] ?? match);
