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

/** Settings of a stored run, a link or the draft, otherwise defaults. */
export function initialSettings(boot) {
  const routes = boot.models.filter((m) => m.kind === "route").slice(0, 3);
  const columns = (routes.length ? routes : boot.models.slice(0, 1)).map((m) => ({ model: m.id }));
  const defaults = { mode: "compare", columns };
  const stored = boot.run?.settings;
  if (stored) {
    const draft = loadDraft();
    return draft?.run === boot.run.id ? withoutAnswers(draft) : { ...stored, run: boot.run.id };
  }
  const link = boot.settings;
  if (link) return link.columns?.length ? link : { ...link, columns };
  return loadDraft() ?? defaults;
}

/** A draft without the latest answers, which its run gives again. */
function withoutAnswers(draft) {
  const histories = Object.entries(draft.histories).map(([id, history]) => [id, history.slice(0, history.length - draft.answerLengths[id])]);
  return { ...draft, histories: Object.fromEntries(histories) };
}

/** Values of the composer: stored ones, or those of the last message of a request. */
export function composerValues(settings, split) {
  const { text, images } = split(settings.messages);
  return { ...settings, text: settings.text ?? text, images: settings.images ?? images };
}

/** Settings that a stored column overrides. */
export const overridesOf = (column) =>
  Object.fromEntries(Object.entries(column).filter(([name, value]) => Object.hasOwn(OVERRIDES, name) && value != null));
