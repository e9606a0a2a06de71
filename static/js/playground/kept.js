// What the page begins with: a stored run, a link, what this tab had, or the usual columns.
const KEPT = "dragoman-playground";

/** Keeps the page for this tab only: prompts are nobody else's business. */
export function keep(values) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(values));
  } catch {
    // Pictures may be too large to keep; the page works without.
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

/** Settings to start with. */
export function beginning(boot) {
  const routes = boot.models.filter((m) => m.kind === "route").slice(0, 3);
  const columns = (routes.length ? routes : boot.models.slice(0, 1)).map((m) => ({ model: m.id }));
  const usual = { mode: "compare", columns };
  const stored = boot.run?.settings;
  if (stored) return { mode: stored.cases ? "matrix" : undefined, ...stored };
  const link = boot.settings;
  if (link) return link.columns?.length ? link : { ...link, columns };
  return kept() ?? usual;
}

const words = (content) =>
  typeof content === "string" ? content : (content ?? []).filter((p) => p.type === "text").map((p) => p.text).join("\n");

/** What stands in the composer: kept as it was, or from the last message of a request. */
export function written(given) {
  const last = given.messages?.at(-1)?.content;
  const pictures = Array.isArray(last) ? last.filter((part) => part.type === "image") : [];
  return { ...given, text: given.text ?? words(last), images: given.images ?? pictures };
}

export const casesOf = (cases) => cases.map((c) => ({
  name: c.name ?? "",
  text: c.text ?? words(c.messages?.at(-1)?.content),
  expected: typeof c.expected === "string" ? c.expected : c.expected ? JSON.stringify(c.expected) : "",
}));

const OWN = ["system", "params", "tools", "schema"];

/** A column's own settings among what is stored of it. */
export const ownOf = (column) =>
  Object.fromEntries(Object.entries(column).filter(([name, value]) => OWN.includes(name) && value !== null && value !== undefined));
