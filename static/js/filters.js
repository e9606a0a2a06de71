// The filters above a list: menus submit the form.
for (const field of document.querySelectorAll("[data-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
// Empty fields are no state: they stay out of the address.
document.querySelector("[data-filters]")?.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
