// Search fields above a list: `data-filter-items` selects the items that a field hides or shows.
// An item matches if its `data-filter-text`, or else its text, contains all words of the field.
for (const field of document.querySelectorAll("[data-filter-items]")) {
  field.hidden = false;
  field.addEventListener("input", () => {
    const terms = field.value.toLowerCase().split(/\s+/);
    for (const item of document.querySelectorAll(field.dataset.filterItems)) {
      const text = (item.dataset.filterText ?? item.textContent).toLowerCase();
      item.hidden = !terms.every((term) => text.includes(term));
    }
  });
}
