// An htmx extension for pages that are polled: expanded details stay expanded.
window.htmx?.registerExtension("keep-open", {
  htmx_before_morph_attr: (element, detail) => detail.attrName !== "open",
});
