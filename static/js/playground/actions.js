// User actions: buttons with `data-do`, modes, and keyboard shortcuts.
import { current } from "./bars.js";
import { $, $$ } from "./dom.js";
import { lazy } from "./lazy.js";

export function listen(app) {
  const actions = {
    stop: () => app.runs?.stop(),
    resume: () => app.runs?.resume(),
    "new-conversation": () => app.newConversation(),
    "drop-logged": () => app.composer.dropLogged(),
    presets: (button) => lazy.history().then((m) => m.presetMenu(button, app)),
    history: () => lazy.history().then((m) => m.openHistory()),
    share: () => lazy.history().then((m) => m.share(app.runs?.latest)),
    export: (button) => lazy.history().then((m) => m.exportMenu(button, app.runs?.latest)),
    code: () => lazy.code().then((m) => m.getCode(app.columns.find((c) => c.run?.id), app)),
    scoreboard: () => lazy.vote().then((m) => m.scoreboard()),
    more: (button) => lazy.menus().then((m) => m.moreMenu(button, app, actions)),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) actions[button.dataset.do]?.(button);
  });
  for (const button of $$("#pg-modes [data-mode]")) button.onclick = () => app.setMode(button.dataset.mode);
  $("#pg-diff").onchange = (event) => app.compareWith(event.target.value);
  $("#pg-form").addEventListener("focusin", () => app.loadLive(), { once: true });
  app.host.addEventListener("scroll", () => current(app), { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("dialog[open]")) {
      event.preventDefault();
      if (!app.busy) app.run();
    }
    if (event.key === "Escape" && app.busy && !$("dialog[open], :popover-open")) app.runs.stop();
  });
}
