// Building blocks of the page: elements whose text is always text, icons, and calls to the server.
import { _ } from "../gettext.js";

export { _ };
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** `el("button.btn.sm", {type: "button", onclick: f}, "Run")`; `vars` are custom properties. */
export function el(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars") setVars(element, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Custom properties through the object model: the policy refuses style attributes. */
export function setVars(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
}

/** An icon of this name, as a copy of the icon in the page's `#icon-pattern` template. */
export function icon(name) {
  const copy = $("#icon-pattern").content.firstElementChild.cloneNode(true);
  const use = $("use", copy);
  use.setAttribute("href", use.getAttribute("href").replace(/circle$/, name.replace("i:", "")));
  return copy;
}

/** A provider's logo, if the page has one for this preset. */
export function logo(preset) {
  const pattern = $(`template[data-logo="${CSS.escape(preset ?? "")}"]`);
  return pattern?.content.firstElementChild?.cloneNode(true) ?? icon("box");
}

export const visuallyHidden = (text) => el("span.sr", {}, text);

/** Announces a text to screen readers. Responses themselves are never announced. */
export function announce(text) {
  const statusLine = $("#pg-status") ?? $("#live");
  statusLine.textContent = "";
  requestAnimationFrame(() => (statusLine.textContent = text));
}

/** A short message, also announced to screen readers. */
export function notice(text, kind = "", { isPermanent = false } = {}) {
  const box = $("#pg-notice");
  box.replaceChildren(text);
  box.dataset.kind = kind;
  box.toggleAttribute("data-permanent", isPermanent);
  box.hidden = !text;
  if (text) announce(text);
  clearTimeout(notice.timer);
  if (!isPermanent) notice.timer = setTimeout(() => (box.hidden = true), 6000);
}

export const baseUrl = () => $("#pg").dataset.url.replace(/\/$/, "");

/** Headers of a call that changes something. */
export const headers = () => ({
  "Content-Type": "application/json",
  "X-CSRFToken": $('meta[name="csrf-token"]')?.content ?? "",
});

/** The text for a request that got no response at all. */
export const unreachableText = () => _("The server cannot be reached. Check that it is running, then try again.");

/** JSON or text from the server; throws an error with the server's message. */
export async function call(path, { method = "GET", body } = {}) {
  const response = await fetch(baseUrl() + path, {
    method,
    headers: headers(),
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => { throw new Error(unreachableText()); });
  const isJson = response.headers.get("Content-Type")?.includes("json");
  const data = isJson ? await response.json() : await response.text();
  if (!response.ok) {
    if (data.sign_in) location.assign(data.sign_in);
    const message = data.errors ? Object.values(data.errors).flat().join(" ") : data.error;
    throw new Error(message || _("The server returned HTTP {status}.", { status: response.status }));
  }
  return data;
}
