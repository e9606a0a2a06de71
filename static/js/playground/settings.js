// The settings of the whole page: snapshot, draft, restore.
import { $, _, el } from "./dom.js";
import { splitMessages } from "./conversation.js";
import { composerValues, overridesOf, saveDraft } from "./storage.js";

export const MAX_COLUMNS = 8;

/** What a preset stores, and what `restore` reads. */
export function snapshot(app) {
  return {
    mode: app.mode,
    columns: app.columns.map((c) => ({ id: c.id, model: c.model, ...c.overrides })),
    earlier: app.sharedMessages,
    ...app.composer.values,
  };
}

/** Saves the page as this tab's draft, with the conversation of each column. */
export function saveDraftOf(app) {
  const histories = Object.fromEntries(app.columns.map((c) => [c.id, c.history]));
  saveDraft({ ...snapshot(app), preset: app.preset, histories, ...app.runs?.draft });
}

/** Restores a preset, a draft or the settings of a stored run. */
export async function restore(app, settings) {
  // A logged request and a stored run keep all messages in the conversation.
  const hasFullConversation = Boolean(settings.logged_request || settings.run) && !settings.earlier;
  const split = hasFullConversation ? (messages = []) => ({ earlier: messages, text: "", images: [] }) : splitMessages;
  app.composer.values = composerValues(settings, split);
  app.sharedMessages = settings.earlier ?? split(settings.messages).earlier;
  app.prefilled = !settings.earlier && app.sharedMessages.at(-1)?.role === "assistant";
  if (settings.columns?.length) restoreColumns(app, settings, split);
  if (app.columns.some((c) => c.history.length)) await app.loadLive();
  app.mode = settings.mode ?? (app.columns.length > 1 ? "compare" : "chat");
  app.setMode(app.mode);
}

function restoreColumns(app, { columns, histories }, split) {
  for (const column of app.columns) column.root.remove();
  app.columns = [];
  for (const { id, model, ...values } of columns.slice(0, MAX_COLUMNS)) {
    const column = app.add(model);
    if (id && !app.columns.some((c) => c.id === id)) column.id = id;
    column.overrides = overridesOf(values);
    column.history = histories?.[column.id] ?? (values.messages ? split(values.messages).earlier : [...app.sharedMessages]);
    column.renderName();
  }
}

/** Shows a preset's name and version on the button; null for no preset. */
export function setPreset(app, id) {
  const preset = app.boot.presets.find((p) => p.id === id);
  Object.assign(app, { preset: id, presetName: preset?.name ?? "" });
  $("#pg-preset").replaceChildren(preset?.name ?? _("Presets"), preset ? el("span.pill", {}, `v${preset.version}`) : "");
  saveDraftOf(app);
}
