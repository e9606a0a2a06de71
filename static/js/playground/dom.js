// Building blocks of the page: elements whose text is always text, icons, and calls to the server.
import { _ } from "../gettext.js";

export { _ };
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** `el("button.btn.sm", {type: "button", onclick: f}, "Run")`; `vars` are custom properties. */
export function el(selector, attributes = {}, ...kids) {
  const [tag, ...classes] = selector.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars") setVars(made, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));
  return made;
}

/** Custom properties through the object model: the policy refuses style attributes. */
export function setVars(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
}

/** A copy of the icon the page's own template tag drew, under another name. */
export function icon(name) {
  const drawn = $("#icon-pattern").content.firstElementChild.cloneNode(true);
  const use = $("use", drawn);
  use.setAttribute("href", use.getAttribute("href").replace(/circle$/, name.replace("i:", "")));
  return drawn;
}

/** A provider's logo, if the page has one for this preset. */
export function logo(preset) {
  const pattern = $(`template[data-logo="${CSS.escape(preset ?? "")}"]`);
  return pattern?.content.firstElementChild?.cloneNode(true) ?? icon("box");
}

export const hidden = (text) => el("span.sr", {}, text);

/** The one polite line for readers. Answers themselves are never announced. */
export function say(text) {
  const line = $("#pg-status") ?? $("#live");
  line.textContent = "";
  requestAnimationFrame(() => (line.textContent = text));
}

/** A short message on the page, also announced to screen readers. */
export function notice(text, kind = "", { stays = false } = {}) {
  const box = $("#pg-notice");
  box.replaceChildren(text);
  box.dataset.kind = kind;
  box.hidden = !text;
  if (text) say(text);
  clearTimeout(notice.timer);
  if (!stays) notice.timer = setTimeout(() => (box.hidden = true), 6000);
}

export const baseUrl = () => $("#pg").dataset.url.replace(/\/$/, "");

/** Headers of a call that changes something. */
export const headers = () => ({
  "Content-Type": "application/json",
  "X-CSRFToken": $('meta[name="csrf-token"]')?.content ?? "",
});

/** The text for a request that got no response at all. */
export const unreachable = () => _("The server cannot be reached. Check that it is running, then try again.");

/** JSON or text from the server; throws an error with the server's message. */
export async function call(path, { method = "GET", body } = {}) {
  const reply = await fetch(baseUrl() + path, {
    method,
    headers: headers(),
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => { throw new Error(unreachable()); });
  const isJson = reply.headers.get("Content-Type")?.includes("json");
  const data = isJson ? await reply.json() : await reply.text();
  if (!reply.ok) {
    if (data.sign_in) location.assign(data.sign_in);
    const words = data.errors ? Object.values(data.errors).flat().join(" ") : data.error;
    throw new Error(words || _("The server returned HTTP {status}.", { status: reply.status }));
  }
  return data;
}
