// Modules that are loaded when they are first needed: `lazy.code().then((m) => m.openCode(column))`.
export const lazy = {
  code: () => import("./code.js"),
  diff: () => import("./diff.js"),
  history: () => import("./history.js"),
  live: () => import("./live.js"),
  menus: () => import("./menus.js"),
  vote: () => import("./vote.js"),
};
