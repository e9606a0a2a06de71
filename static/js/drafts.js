// Drafts of forms: entries that were not saved when the session ended are restored after signing in.
import { _ } from "./gettext.js";
import { toast } from "./toast.js";

const STORAGE_KEY = "dragoman-draft";
const SKIPPED_TYPES = new Set(["password", "file", "submit", "button"]);

// On the sign-in page and on error pages the draft is kept for the page that was interrupted.
const interruptionPage = () => document.querySelector("[data-sign-in], [data-failure]");
const user = () => document.querySelector("[data-user]")?.dataset.user ?? "";
const forms = () => [...document.forms].filter((form) => form.method === "post");

function readDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY));
  } catch {
    return null;
  }
}

function writeDraft(draft) {
  try {
    if (draft) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(draft));
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // The page works without drafts.
  }
}

const fields = (form) => [...form.elements].filter((field) => field.name && field.name !== "csrfmiddlewaretoken" && !SKIPPED_TYPES.has(field.type));

const isFieldChanged = (field) =>
  "checked" in field && ["checkbox", "radio"].includes(field.type) ? field.checked !== field.defaultChecked
    : field.options ? [...field.options].some((option) => option.selected !== option.defaultSelected)
      : field.value !== field.defaultValue;

const fieldState = (field) => ({ name: field.name, type: field.type, value: field.value, checked: field.checked ?? null });

// The server fills in a form whose entries it has refused, or has drawn anew: its fields are then not "changed".
const isFilledByServer = (form) => !["0", undefined].includes(form.dataset.changes) || form.querySelector("[aria-invalid=true]") !== null;

/** The fields of a form; null if the user has not changed any. */
function createDraft(form) {
  const formFields = fields(form);
  if (!isFilledByServer(form) && !formFields.some(isFieldChanged)) return null;
  return { index: forms().indexOf(form), id: form.id, action: form.getAttribute("action"), fields: formFields.map(fieldState) };
}

function saveDrafts() {
  if (interruptionPage()) return;
  const drafts = forms().map(createDraft).filter(Boolean);
  writeDraft(drafts.length ? { path: location.pathname, user: user(), forms: drafts } : null);
}

/** Fills in a form; the page of a form with rows that it adds itself adds those of the draft first. */
function fillForm(form, draft) {
  form.dispatchEvent(new CustomEvent("draft", { bubbles: true, detail: draft.fields }));
  const remaining = fields(form);
  for (const { name, value, checked } of draft.fields) {
    const index = remaining.findIndex((field) => field.name === name && (!["checkbox", "radio"].includes(field.type) || field.value === value));
    if (index < 0) continue;
    const [field] = remaining.splice(index, 1);
    if (checked !== null && ["checkbox", "radio"].includes(field.type)) field.checked = checked;
    else if (field.type !== "hidden") field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

/** Restores a form whose fields the server renders: the server renders it again from the draft. */
async function redrawForm(form, draft) {
  const body = new URLSearchParams(form.dataset.redraw);
  for (const { name, type, value, checked } of draft.fields) {
    if (!["checkbox", "radio"].includes(type) || checked) body.append(name, value);
  }
  const csrfToken = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  // Not `form.action`, which is a field if one has that name.
  const response = await fetch(form.getAttribute("action") || location.href, { method: "POST", body, headers: { "HX-Request": "true", "X-CSRFToken": csrfToken } });
  if (!response.ok) return;
  const renderedForm = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(`#${form.id}`);
  if (!renderedForm) return;
  form.replaceWith(renderedForm);
  window.htmx?.process(renderedForm);
}

/** The form of a draft; on another page than the draft's, such as that of the form's action, only one with this action. */
function formOf(draft, { index, id, action }) {
  if (draft.path === location.pathname) return id ? document.getElementById(id) : forms()[index];
  return action ? forms().find((form) => form.getAttribute("action") === action) : null;
}

async function restoreDraft() {
  const draft = readDraft();
  if (!draft) return;
  if (interruptionPage()) return writeDraft({ ...draft, interrupted: true });
  writeDraft(null);
  if (!draft.interrupted || draft.user !== user()) return;
  let isRestored = false;
  for (const formDraft of draft.forms) {
    const form = formOf(draft, formDraft);
    if (!form) continue;
    if (form.dataset.redraw) await redrawForm(form, formDraft);
    else fillForm(form, formDraft);
    isRestored = true;
  }
  if (isRestored) toast(_("Your entries were restored. They are not saved yet."));
}

addEventListener("pagehide", saveDrafts);
// The modules of the page have run by then.
addEventListener("DOMContentLoaded", restoreDraft);
