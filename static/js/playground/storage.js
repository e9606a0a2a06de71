// The initial settings: of a stored run, a link, the draft of this tab, or the defaults.
import { OVERRIDES } from "./column.js";

const STORAGE_KEY = "dragoman-playground";

/** Saves the draft for this tab only: prompts are private. */
export function saveDraft(values) {
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(values));
  } catch {
    // Images may be too large to store; the page works without the draft.
  }
}

function loadDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY));
  } catch {
    return null;
  }
}

/** The initial settings. */
export function initialSettings(boot) {
  const routes = boot.models.filter((m) => m.kind === "route").slice(0, 3);
  const columns = (routes.length ? routes : boot.models.slice(0, 1)).map((m) => ({ model: m.id }));
  const defaults = { mode: "compare", columns };
  const stored = boot.run?.settings;
  const draft = loadDraft();
  if (stored) return draft?.run === boot.run.id ? draft : { ...stored, run: boot.run.id };
  const link = boot.settings;
  if (link) return link.columns?.length ? link : { ...link, columns };
  return draft ?? defaults;
}

/** Values of the composer: stored ones, or those of the last message of a request. */
export function composerValues(settings, split) {
  const { text, images } = split(settings.messages);
  return { ...settings, text: settings.text ?? text, images: settings.images ?? images };
}

/** Settings that a stored column overrides. */
export const overridesOf = (column) =>
  Object.fromEntries(Object.entries(column).filter(([name, value]) => Object.hasOwn(OVERRIDES, name) && value != null));
