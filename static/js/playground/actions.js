// User actions: buttons with `data-action`, modes, and keyboard shortcuts.
import { markVisibleColumn } from "./bars.js";
import { $, $$, call, notice } from "./dom.js";
import { lazy } from "./lazy.js";
import { viewMenu } from "./view.js";

/** Posts the page's input to `path`, and opens the page that the server returns. */
async function submitAndOpen(app, path) {
  const input = app.composer.input({ message: false });
  if (!input) return;
  const message = app.composer.hasMessage ? [{ role: "user", content: app.composer.content }] : [];
  const columns = app.columns.map((c) => ({ id: c.id, model: c.model, ...c.overrides }));
  const messages = [...(app.columns[0]?.history ?? []), ...message];
  try {
    const { url } = await call(path, { method: "POST", body: { ...input, columns, messages } });
    location.assign(url);
  } catch (error) {
    notice(error.message, "bad");
  }
}

export function bindActions(app) {
  const actions = {
    stop: () => app.runs?.stop(),
    resume: () => app.runs?.resume(),
    "new-conversation": () => app.newConversation(),
    "drop-logged": () => app.composer.dropLoggedSettings(),
    presets: (button) => lazy.history().then((m) => m.presetMenu(button, app)),
    "system-prompts": (button) => lazy.history().then((m) => m.systemPrompts(button)),
    history: () => lazy.history().then((m) => m.openHistory()),
    share: (button) => lazy.history().then((m) => m.shareMenu(button, app)),
    export: (button) => lazy.history().then((m) => m.exportMenu(button, app.runs?.latest)),
    code: () => lazy.code().then((m) => m.openCode(app.columns.find((c) => c.run?.id), app)),
    view: (button) => viewMenu(button),
    evaluate: () => submitAndOpen(app, "/evaluation"),
    "save-prompt": () => submitAndOpen(app, "/prompt"),
    scoreboard: () => lazy.vote().then((m) => m.scoreboard()),
    more: (button) => lazy.menus().then((m) => m.moreMenu(button, app, actions)),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (!button) return;
    if (button.matches("a")) event.preventDefault();
    actions[button.dataset.action]?.(button);
  });
  for (const button of $$("#pg-modes [data-mode]")) button.onclick = () => app.setMode(button.dataset.mode);
  $("#pg-diff").onchange = (event) => app.compareWith(event.target.value);
  $("#pg-form").addEventListener("focusin", () => app.loadLive(), { once: true });
  app.host.addEventListener("scroll", () => markVisibleColumn(app), { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("dialog[open]")) {
      event.preventDefault();
      app.run();
    }
    if (event.key === "Escape" && app.busy && !$("dialog[open], :popover-open")) app.runs.stop();
  });
}
