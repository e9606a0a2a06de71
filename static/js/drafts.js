// What was typed into a form outlives the end of a session: it comes back after signing in.
import { _ } from "./gettext.js";
import { toast } from "./toast.js";

const KEPT = "dragoman-draft";
const SECRET = new Set(["password", "file", "submit", "button"]);

// On these pages a draft waits: the sign-in page, and pages of what went wrong.
const signIn = () => document.querySelector("[data-sign-in], [data-failure]");
const user = () => document.querySelector("[data-user]")?.dataset.user ?? "";
const forms = () => [...document.forms].filter((form) => form.method === "post");

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

function write(draft) {
  try {
    if (draft) sessionStorage.setItem(KEPT, JSON.stringify(draft));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // The page works without.
  }
}

const fields = (form) => [...form.elements].filter((field) => field.name && field.name !== "csrfmiddlewaretoken" && !SECRET.has(field.type));

const changed = (field) =>
  "checked" in field && ["checkbox", "radio"].includes(field.type) ? field.checked !== field.defaultChecked
    : field.options ? [...field.options].some((option) => option.selected !== option.defaultSelected)
      : field.value !== field.defaultValue;

const state = (field) => ({ name: field.name, type: field.type, value: field.value, on: field.checked ?? null });

/** Everything in a form that somebody has changed, or null. */
function draftOf(form) {
  const all = fields(form);
  // The route editor gets its draft back from the server, so that its fields are never "changed".
  const touched = form.dataset.changes ? form.dataset.changes !== "0" || all.some(changed) : all.some(changed);
  return touched ? { at: forms().indexOf(form), id: form.id, fields: all.map(state) } : null;
}

function save() {
  if (signIn()) return;
  const drafts = forms().map(draftOf).filter(Boolean);
  write(drafts.length ? { path: location.pathname, user: user(), forms: drafts } : null);
}

function fill(form, draft) {
  const left = fields(form);
  for (const { name, value, on } of draft.fields) {
    const choice = on !== null;
    const at = left.findIndex((field) => field.name === name && (!["checkbox", "radio"].includes(field.type) || field.value === value));
    if (at < 0) continue;
    const [field] = left.splice(at, 1);
    if (choice && ["checkbox", "radio"].includes(field.type)) field.checked = on;
    else if (field.type !== "hidden") field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

/** A form whose fields the server makes is drawn by the server from what was typed. */
async function redraw(form, draft) {
  const body = new URLSearchParams([["do", "check"]]);
  for (const { name, type, value, on } of draft.fields) {
    if (!["checkbox", "radio"].includes(type) || on) body.append(name, value);
  }
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  const reply = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true", "X-CSRFToken": token } });
  if (!reply.ok) return;
  const made = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector(`#${form.id}`);
  if (!made) return;
  form.replaceWith(made);
  window.htmx?.process(made);
}

async function restore() {
  const draft = read();
  if (!draft) return;
  if (signIn()) return write({ ...draft, interrupted: true });
  write(null);
  if (!draft.interrupted || draft.path !== location.pathname || draft.user !== user()) return;
  for (const one of draft.forms) {
    const form = one.id ? document.getElementById(one.id) : forms()[one.at];
    if (!form) continue;
    if (form.dataset.changes) await redraw(form, one);
    else fill(form, one);
  }
  toast(_("Your entries were restored. They are not saved yet."));
}

addEventListener("pagehide", save);
restore();
