// Dialogs of a run: code that repeats it, and its translation for the client and the upstream.
import { copyAndTell } from "./copy.js";
import { _, call, el, headers, notice } from "./dom.js";
import { json, textNodes } from "./markdown.js";
import { dialog } from "./overlay.js";
import "../translation.js";

/** Tabs that share one panel: [[id, label]], `render(id)` returns nodes. */
function tabPanel(label, entries, selected, render) {
  const body = el("div.stack", { "aria-live": "off" });
  const selectTab = async (id) => {
    for (const button of bar.children) button.setAttribute("aria-pressed", String(button.dataset.id === id));
    body.replaceChildren(el("p.hint", {}, _("Loading")));
    try {
      body.replaceChildren(...[await render(id)].flat());
    } catch (error) {
      body.replaceChildren(el("p.errors", { role: "alert" }, error.message));
    }
  };
  const bar = el("div.seg.wrap", { role: "group", "aria-label": label }, entries.map(([id, name]) =>
    el("button", { type: "button", "data-id": id, onclick: () => selectTab(id) }, name)));
  selectTab(selected);
  return [bar, body];
}

const copyButton = (text) => el("button.btn.sm", {
  type: "button",
  onclick: () => copyAndTell(text),
}, _("Copy"));

/** A new key for this column's model, shown once. */
async function createKey(url, route) {
  const requestHeaders = { ...headers(), Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
  const response = await fetch(url, { method: "POST", headers: requestHeaders, body: new URLSearchParams({ route }) });
  if (!response.ok) throw new Error(_("The server returned HTTP {status}.", { status: response.status }));
  return (await response.json()).key;
}

/** The code with the key in place of the environment variable. */
const insertKey = (text, name, key) => (key
  ? text.replaceAll(`os.environ['${name}']`, `"${key}"`).replaceAll(`process.env.${name}`, `"${key}"`).replaceAll(`$${name}`, key)
  : text);

export function openCode(column, app) {
  if (!column?.run?.id) return notice(_("Run a prompt first. The code repeats that run."), "warn");
  const path = (language) => `/runs/${encodeURIComponent(column.run.id)}/code?lang=${language}&col=${column.id}`;
  let key = "";
  const renderCode = async (language) => {
    const data = await call(path(language));
    const code = el("code", { "data-code": "" });
    const keyHint = el("span.hint", {}, _("Set {name} to a gateway API key.", { name: data.key }));
    const show = () => {
      const text = insertKey(data.code, data.key, key);
      code.replaceChildren(textNodes(text));
      copy.replaceChildren(copyButton(text));
      if (key) keyHint.textContent = _("Contains a new key for this model only. It is shown once.");
      insert?.toggleAttribute("hidden", Boolean(key));
    };
    const copy = el("span", {});
    const insert = app.boot.key_url ? el("button.btn.sm", {
      type: "button",
      onclick: async () => {
        insert.disabled = true;
        key = await createKey(app.boot.key_url, column.info.id).catch((error) => { notice(error.message, "bad"); return ""; });
        insert.disabled = false;
        show();
      },
    }, _("Insert a new key")) : null;
    show();
    return [el("pre.code", { tabindex: 0 }, code), el("div.row.wrap", {}, copy, insert, keyHint)];
  };
  dialog(_("Code for {letter}, {model}", { letter: column.id, model: column.info.label }),
    ...tabPanel(_("Language"), app.boot.languages.map((l) => [l.id, l.label]), "curl", renderCode));
}

export function openTranslation(column, app) {
  if (!column.run?.id) return notice(_("Run a prompt first, then compare both sides."), "warn");
  const path = (d) => `/runs/${encodeURIComponent(column.run.id)}/translation?col=${column.id}&dialect=${encodeURIComponent(d)}`;
  const box = dialog(_("Translation of {letter}, {model}", { letter: column.id, model: column.info.label }),
    ...tabPanel(_("Client API"), app.boot.dialects.map((d) => [d.id, d.label]), app.composer.values.dialect, async (d) => translationView(await call(path(d)))));
  box.classList.add("wide");
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** The server's own markup, in which it has escaped all values. */
const fragment = (html) => document.createRange().createContextualFragment(html);

function translationView(data) {
  const stream = (data.stream ?? []).map((frame) => `${frame.event ? `event: ${frame.event}\n` : ""}data: ${frame.data}`).join("\n\n");
  const fold = (title, text) => el("details", {}, el("summary", {}, title), el("pre.code.tall", { tabindex: 0 }, el("code", {}, text)));
  const dropped = (data.dropped_settings ?? []).map((a) => el("li", {}, el("code", {}, textNodes(a.field ?? "")), " ", textNodes(a.note ?? "")));
  return [dropped.length ? el("div.callout.warn", {}, el("p", {}, _("Changed for this API:")), el("ul.plain-list", {}, dropped)) : null,
    data.passthrough ? el("p.hint", {}, _("Passed through without translation: both sides use the same API.")) : null,
    fragment(data.sides),
    data.response ? fold(_("Response in this API"), json(pretty(data.response) ?? "")) : null,
    stream ? fold(_("Streamed response"), textNodes(stream.slice(0, 100_000))) : null].filter(Boolean);
}
