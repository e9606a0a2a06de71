// History, presets with versions, links to runs, and exports.
import { _, call, el, icon, notice, baseUrl } from "./dom.js";
import { minute, usd } from "../format.js";
import { dialog, menu } from "./overlay.js";
import { restore, setPreset, snapshot } from "./settings.js";

/** A list of past runs, newest first, in pages. */
export function openHistory() {
  const list = el("ul.runs");
  const more = el("button.btn.sm", { type: "button", hidden: true }, _("Show older runs"));
  const box = dialog(_("History"), list, more);
  const load = async (before) => {
    more.disabled = true;
    try {
      const page = await call(`/history${before ? `?before=${encodeURIComponent(before)}` : ""}`);
      const runs = page.runs ?? page;
      list.append(...runs.map(entry));
      if (!list.childElementCount) list.append(el("li.hint", {}, _("No runs yet.")));
      more.hidden = !page.next;
      more.onclick = () => load(page.next);
    } catch (error) {
      list.append(el("li.errors", { role: "alert" }, error.message));
    }
    more.disabled = false;
  };
  load();
  return box;
}

function entry(run) {
  const facts = [run.status, run.cost !== null && run.cost !== undefined ? usd(run.cost) : ""].filter(Boolean).join(" · ");
  return el("li", {}, el("a", { href: `${baseUrl()}?run=${encodeURIComponent(run.id)}` },
    el("b.trunc", {}, run.title || run.prompt || _("Untitled run")),
    el("span.hint.trunc", {}, [run.models ?? run.columns ?? []].flat().join(", ")),
    el("span.hint.num", {}, [run.created_at ? minute(run.created_at) : "", facts].filter(Boolean).join(" · "))));
}

/** A link for people with an account, or the page that makes one for everyone. */
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
  try {
    await navigator.clipboard.writeText(link);
    notice(_("Link copied. You and admins can open this run."), "ok");
  } catch {
    dialog(_("Link to this run"), el("input.input", { value: link, readonly: true, "aria-label": _("Link") }));
  }
}

const KINDS = [["json", "i:file-json", () => _("JSON, everything")], ["csv", "i:file-spreadsheet", () => _("CSV, one row per answer")], ["md", "i:file-text", () => _("Markdown, to read")], ["svg", "i:image", () => _("SVG, an image")]];

export function exportMenu(anchor, run) {
  if (!run?.id) return notice(_("Run a prompt first, then export the results."), "warn");
  menu(anchor, _("Export the results"), KINDS.map(([kind, name, label]) => ({
    icon: name, label: label(),
    run: () => el("a", { href: `${baseUrl()}/runs/${encodeURIComponent(run.id)}.${kind}`, download: "" }).click(),
  })));
}

/** Presets: load, save as a new one or a new version, delete. */
export function presetMenu(anchor, app) {
  const { presets } = app.boot;
  const current = presets.find((p) => p.id === app.preset);
  menu(anchor, _("Presets"), [
    ...presets.map((p) => ({ icon: p === current ? "i:check" : "i:bookmark", label: p.name, hint: `v${p.version}`, run: () => load(p, app) })),
    current && { icon: "i:save", label: _("Save as {name} v{n}", { name: current.name, n: current.version + 1 }), run: () => save(current.name, app) },
    { icon: "i:bookmark-plus", label: _("Save as a new preset"), run: () => name(app) },
    current?.version > 1 && { icon: "i:history", label: _("Versions of {name}", { name: current.name }), run: () => versions(current, app) },
    current && { icon: "i:trash-2", label: _("Delete {name}", { name: current.name }), danger: true, run: () => remove(current, app) },
  ]);
}

/** `id` is that of a version; the preset stays the one of its newest. */
async function load(preset, app, id = preset.id) {
  try {
    const stored = await call(`/presets/${id}`);
    await restore(app, stored.settings);
    setPreset(app, preset.id);
    notice(_("Loaded {name} v{n}.", { name: stored.name, n: stored.version }), "ok");
  } catch (error) {
    notice(error.message, "bad");
  }
}

async function save(title, app) {
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

function name(app) {
  const input = el("input.input", { id: "pg-preset-name", required: true, maxlength: 80, autocomplete: "off" });
  const form = el("form.stack", { onsubmit: (event) => { event.preventDefault(); save(input.value.trim(), app); box.close(); } },
    el("div.field", {}, el("label", { for: "pg-preset-name" }, _("Name")), input, el("p.hint", {}, _("Saves the prompt, columns and settings, without answers. An existing name gets a new version."))),
    el("button.btn.primary", {}, _("Save preset")));
  const box = dialog(_("Save as a new preset"), form);
  input.focus();
}

async function versions(preset, app) {
  const { versions: all = [] } = await call(`/presets/${preset.id}`).catch(() => ({}));
  const box = dialog(_("Versions of {name}", { name: preset.name }), el("ul.runs", {}, all.map((v) => el("li", {},
    el("button.btn.ghost", { type: "button", onclick: () => { box.close(); load(preset, app, v.id); } }, icon("history"), _("Load v{n}", { n: v.version }), el("span.hint", {}, v.created_at ? minute(v.created_at) : ""))))));
}

async function remove(preset, app) {
  const sure = el("button.btn.danger", { type: "button" }, _("Delete all versions"));
  const box = dialog(_("Delete {name}", { name: preset.name }), el("p", {}, _("Deletes all versions. Runs that used this preset are kept.")), sure);
  sure.onclick = async () => {
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
