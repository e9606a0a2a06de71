// Pages that renew themselves: what a person has unfolded stays so.
window.htmx?.registerExtension("keep-open", {
  htmx_before_morph_attr: (element, detail) => detail.attrName !== "open",
});
