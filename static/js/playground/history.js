// History, presets and their versions, links to runs, and exports.
import { copyText } from "../clipboard.js";
import { _, call, el, icon, notice, baseUrl } from "./dom.js";
import { dateTime, usd } from "../format.js";
import { dialog, menu } from "./overlay.js";
import { restore, setPreset, snapshot } from "./settings.js";

/** A list of past runs, newest first, in pages, with a search by name, prompt and model. */
export function openHistory() {
  const list = el("ul.runs");
  const search = el("input.input", { type: "search", placeholder: _("Search names, prompts and models"), "aria-label": _("Search runs"), maxlength: 200, autocomplete: "off" });
  const more = el("button.btn.sm", { type: "button", hidden: true }, _("Show older runs"));
  const box = dialog(_("History"), search, list, more);
  let latestRequest = 0;
  let timer = 0;
  const load = async (before) => {
    const requestNumber = ++latestRequest;
    more.disabled = true;
    try {
      const query = new URLSearchParams({ ...(before ? { before } : {}), ...(search.value.trim() ? { q: search.value.trim() } : {}) });
      const page = await call(`/history?${query}`);
      if (requestNumber !== latestRequest) return;
      if (!before) list.replaceChildren();
      list.append(...page.runs.map(runItem));
      if (!list.childElementCount) list.append(el("li.hint", {}, search.value.trim() ? _("No runs match.") : _("No runs yet.")));
      more.hidden = !page.next;
      more.onclick = () => load(page.next);
    } catch (error) {
      list.append(el("li.errors", { role: "alert" }, error.message));
    }
    more.disabled = false;
  };
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, 200);
  });
  load();
  search.focus();
  return box;
}

function runItem(run) {
  const statusAndCost = [run.status, run.cost !== null && run.cost !== undefined ? usd(run.cost) : ""].filter(Boolean).join(" · ");
  const title = () => run.name || run.title || _("Untitled run");
  const heading = el("b.trunc", {}, title());
  const link = el("a.grow", { href: `${baseUrl()}?run=${encodeURIComponent(run.id)}` }, heading,
    el("span.hint.trunc", {}, [run.name ? run.title : "", [run.models ?? []].flat().join(", ")].filter(Boolean).join(" · ")),
    el("span.hint.num", {}, [run.created_at ? dateTime(run.created_at) : "", statusAndCost].filter(Boolean).join(" · ")));
  const path = `/runs/${encodeURIComponent(run.id)}`;
  const iconButton = (name, label, onclick) => el("button.btn.ghost.sm.icon", { type: "button", "aria-label": `${label}: ${title()}`, title: label, onclick }, icon(name));
  const rename = () => {
    const input = el("input.input", { value: run.name, maxlength: 100, "aria-label": _("Name of the run"), autocomplete: "off" });
    const closeForm = () => item.replaceChildren(link, ...buttons);
    const form = el("form.row.grow", { onsubmit: async (event) => {
      event.preventDefault();
      try {
        run.name = (await call(path, { method: "PATCH", body: { name: input.value } })).name;
        heading.textContent = title();
        closeForm();
      } catch (error) {
        notice(error.message, "bad");
      }
    } }, input, el("button.btn.sm", {}, _("Save")), el("button.btn.ghost.sm", { type: "button", onclick: closeForm }, _("Cancel")));
    item.replaceChildren(form);
    input.focus();
  };
  const remove = () => {
    const confirmButton = el("button.btn.sm.danger", { type: "button", onclick: async () => {
      try {
        await call(path, { method: "DELETE" });
        item.remove();
      } catch (error) {
        notice(error.message, "bad");
      }
    } }, _("Delete run"));
    item.replaceChildren(link, confirmButton, el("button.btn.ghost.sm", { type: "button", onclick: () => item.replaceChildren(link, ...buttons) }, _("Cancel")));
    confirmButton.focus();
  };
  const buttons = [iconButton("pencil", _("Rename"), rename), iconButton("trash-2", _("Delete"), remove)];
  const item = el("li.row", {}, link, buttons);
  return item;
}

/** Copies a link for users who can sign in, or opens the page that creates a public link. */
export function shareMenu(anchor, app) {
  const run = app.runs?.latest;
  if (!run?.id) return notice(_("Run a prompt first, then share the run."), "warn");
  const { links_url: links } = app.boot;
  if (!links) return copyLink(run);
  menu(anchor, _("Share"), [
    { icon: "i:copy", label: _("Copy a link for people who sign in"), run: () => copyLink(run) },
    { icon: "i:share-2", label: _("Create a public link"), run: () => location.assign(`${links}?run=${encodeURIComponent(run.id)}`) },
  ]);
}

async function copyLink(run) {
  const link = new URL(`${baseUrl()}?run=${encodeURIComponent(run.id)}`, location.href).href;
  history.replaceState(null, "", link);
  if (await copyText(link)) notice(_("Link copied. You and admins can open this run."), "ok");
  else dialog(_("Link to this run"), el("input.input", { value: link, readonly: true, "aria-label": _("Link") }));
}

const EXPORT_FORMATS = [["json", "i:file-json", () => _("JSON, everything")], ["csv", "i:file-spreadsheet", () => _("CSV, one row per response")], ["md", "i:file-text", () => _("Markdown, for reading")], ["svg", "i:image", () => _("SVG, an image")], ["png", "i:image", () => _("PNG, an image")]];

export function exportMenu(anchor, run) {
  if (!run?.id) return notice(_("Run a prompt first, then export the results."), "warn");
  menu(anchor, _("Export the results"), EXPORT_FORMATS.map(([kind, name, label]) => ({
    icon: name, label: label(),
    run: () => (kind === "png" ? saveImage(run) : el("a", { href: `${baseUrl()}/runs/${encodeURIComponent(run.id)}.${kind}`, download: "" }).click()),
  })));
}

/** Downloads the comparison as a PNG in the current theme. */
async function saveImage(run) {
  try {
    const { savePng } = await import("../png.js");
    await savePng(`${baseUrl()}/runs/${encodeURIComponent(run.id)}.svg?theme=${isDark() ? "dark" : "light"}`, "comparison.png");
  } catch {
    notice(_("The image could not be created. Export the SVG instead."), "bad");
  }
}

const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

/** Presets: load, save as a new one or a new version, delete. */
export function presetMenu(anchor, app) {
  const { presets } = app.boot;
  const current = presets.find((p) => p.id === app.preset);
  menu(anchor, _("Presets"), [
    ...presets.map((p) => ({ icon: p === current ? "i:check" : "i:bookmark", label: p.name, hint: `v${p.version}`, run: () => loadPreset(p, app) })),
    current && { icon: "i:save", label: _("Save as {name} v{n}", { name: current.name, n: current.version + 1 }), run: () => savePreset(current.name, app) },
    { icon: "i:bookmark-plus", label: _("Save as a new preset"), run: () => openPresetNameDialog(app) },
    current?.version > 1 && { icon: "i:history", label: _("Versions of {name}", { name: current.name }), run: () => openVersions(current, app) },
    current && { icon: "i:trash-2", label: _("Delete {name}…", { name: current.name }), danger: true, run: () => deletePreset(current, app) },
  ]);
}

/** Loads a preset; `id` selects one of its versions, the newest by default. */
async function loadPreset(preset, app, id = preset.id) {
  try {
    const stored = await call(`/presets/${id}`);
    app.runs?.setAddress(null);
    await restore(app, stored.settings);
    setPreset(app, preset.id);
    notice(_("Loaded {name} v{n}.", { name: stored.name, n: stored.version }), "ok");
  } catch (error) {
    notice(error.message, "bad");
  }
}

async function savePreset(title, app) {
  try {
    const saved = await call("/presets", { method: "POST", body: { name: title, settings: snapshot(app) } });
    const { presets } = app.boot;
    const old = presets.findIndex((p) => p.name === saved.name);
    if (old >= 0) presets.splice(old, 1, saved);
    else presets.push(saved);
    setPreset(app, saved.id);
    notice(_("Saved as {name} v{n}.", { name: saved.name, n: saved.version }), "ok");
  } catch (error) {
    notice(error.message, "bad");
  }
}

function openPresetNameDialog(app) {
  const input = el("input.input", { id: "pg-preset-name", required: true, maxlength: 80, autocomplete: "off" });
  const form = el("form.stack", { onsubmit: (event) => { event.preventDefault(); savePreset(input.value.trim(), app); box.close(); } },
    el("div.field", {}, el("label", { for: "pg-preset-name" }, _("Name")), input, el("p.hint", {}, _("Saves the prompt, columns and settings, without responses. An existing name gets a new version."))),
    el("button.btn.primary", {}, _("Save preset")));
  const box = dialog(_("Save as a new preset"), form);
  input.focus();
}

async function openVersions(preset, app) {
  const { versions: all = [] } = await call(`/presets/${preset.id}`).catch(() => ({}));
  const box = dialog(_("Versions of {name}", { name: preset.name }), el("ul.runs", {}, all.map((v) => el("li", {},
    el("button.btn.ghost", { type: "button", onclick: () => { box.close(); loadPreset(preset, app, v.id); } }, icon("history"), _("Load v{n}", { n: v.version }), el("span.hint", {}, v.created_at ? dateTime(v.created_at) : ""))))),
    el("a.btn.sm", { href: `${baseUrl()}/presets/${preset.id}/versions` }, icon("diff"), _("Compare versions")));
}

/** System prompts of stored prompts, to insert into the composer. */
export async function systemPrompts(anchor) {
  try {
    const { prompts } = await call("/system-prompts");
    if (!prompts.length) return notice(_("No stored prompt has a system message. Add one on Prompts."), "warn");
    menu(anchor, _("System prompts"), prompts.map(({ name, text }) => ({ icon: "i:scroll", label: name, run: () => {
      const box = document.getElementById("pg-system");
      box.value = text;
      box.dispatchEvent(new Event("input", { bubbles: true }));
    } })));
  } catch (error) {
    notice(error.message, "bad");
  }
}

async function deletePreset(preset, app) {
  const confirmButton = el("button.btn.danger", { type: "button" }, _("Delete all versions"));
  const box = dialog(_("Delete {name}", { name: preset.name }), el("p", {}, _("Deletes all versions. Runs that used this preset are kept.")), confirmButton);
  confirmButton.onclick = async () => {
    try {
      await call(`/presets/${preset.id}`, { method: "DELETE" });
      app.boot.presets.splice(app.boot.presets.indexOf(preset), 1);
      setPreset(app, null);
      notice(_("{name} deleted.", { name: preset.name }), "ok");
    } catch (error) {
      notice(error.message, "bad");
    }
    box.close();
  };
}
