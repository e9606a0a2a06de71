// Markdown of a model as page elements, built token by token. What a model writes is never HTML
// here: tags stay text, pictures become links, only web and mail addresses can be followed, and
// characters that turn the direction of text are shown by name instead of being obeyed.
import { Lexer } from "../../vendor/marked/marked.esm.js";
import { _, el } from "./dom.js";

const SAFE_URL = /^(https?:\/\/|mailto:)/i;
const CONTROL_CHARACTERS = /[\u202A-\u202E\u2066-\u2069\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]/g;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
const MAX_LINE_CHARS = 4000; // Characters; inline rules repetition more than linear time.
const SLOW_STEP_MS = 60; // Milliseconds for one step; beyond it a few times, the rest is shown as it comes.
const MAX_PLAIN_CHARS = 200_000; // Characters shown as they came; the rest is in the log and in the export.
const MAX_MARKDOWN_CHARS = 1_000_000; // Characters drawn as markdown.

const decodeEntities = (text) => text.replace(/&(?:amp|lt|gt|quot|#39);/g, (match) => ENTITIES[match]);

/** Text as nodes, with turning and control characters made visible. */
export function plain(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(CONTROL_CHARACTERS)) {
    if (match.index > from) nodes.push(text.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    nodes.push(el("span.ctl", { title: _("Control character, displayed as text") }, `U+${code}`));
    from = match.index + 1;
  }
  if (from < text.length) nodes.push(from ? text.slice(from) : text);
  return nodes;
}

const many = (tokens) => (tokens ?? []).flatMap(node);
const code = (token) =>
  el("pre.code", { tabindex: 0, "data-lang": (token.lang ?? "").split(/\s/)[0] || null }, el("code", {}, coloured(token)));

function link(address, kids) {
  if (!SAFE_URL.test(address)) return kids;
  return [el("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, kids)];
}

function table(token) {
  const row = (cells, tag) =>
    el("tr", {}, cells.map((cell, i) => el(tag, { "data-align": token.align[i] }, many(cell.tokens))));
  const body = el("tbody", {}, token.rows.map((cells) => row(cells, "td")));
  return el("div.scroll", { tabindex: 0 }, el("table", {}, el("thead", {}, row(token.header, "th")), body));
}

function list(token) {
  const items = token.items.map((item) =>
    el("li", {}, item.task ? (item.checked ? "☑ " : "☐ ") : null, many(item.tokens)));
  return el(token.ordered ? "ol" : "ul", { start: token.ordered && token.start !== 1 ? token.start : null }, items);
}

const BUILD = {
  space: () => [],
  def: () => [],
  checkbox: () => [],
  heading: (t) => [el(`h${Math.min(6, t.depth + 3)}`, { dir: "auto" }, many(t.tokens))],
  paragraph: (t) => [el("p", { dir: "auto" }, many(t.tokens))],
  text: (t) => (t.tokens ? many(t.tokens) : plain(decodeEntities(t.text))),
  escape: (t) => plain(decodeEntities(t.text)),
  strong: (t) => [el("strong", {}, many(t.tokens))],
  em: (t) => [el("em", {}, many(t.tokens))],
  del: (t) => [el("del", {}, many(t.tokens))],
  codespan: (t) => [el("code", {}, plain(decodeEntities(t.text)))],
  br: () => [el("br")],
  hr: () => [el("hr")],
  code: (t) => [code(t)],
  blockquote: (t) => [el("blockquote", {}, many(t.tokens))],
  list: (t) => [list(t)],
  link: (t) => link(t.href, many(t.tokens)),
  image: (t) => link(t.href, plain(_("[image: {name}]", { name: t.text || t.href }))),
  table: (t) => [table(t)],
};

const node = (token) => (BUILD[token.type] ?? ((t) => plain(t.raw)))(token);

const JSON_PART = /("(?:[^"\\\n]|\\.)*")(\s*:)?|(-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|\b(true|false|null)\b/g;

/** JSON in colours: keys, texts, numbers, words. */
export function json(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(JSON_PART)) {
    const [whole, string, colon, , word] = match;
    nodes.push(...plain(text.slice(from, match.index)));
    const kind = string ? (colon ? "k" : "s") : word ? "l" : "n";
    nodes.push(el(`span.${kind}`, {}, plain(string ?? whole)), colon ?? "");
    from = match.index + whole.length;
  }
  return [...nodes, ...plain(text.slice(from))];
}

const tokenText = (token) => {
  if (token.type === "code") return token.text;
  if (token.type === "list") return token.items.map((item) => tokensText(item.tokens)).join("\n");
  if (token.type === "table") return [token.header, ...token.rows].map((row) => row.map((cell) => tokensText(cell.tokens)).join(" ")).join("\n");
  if (token.type === "space" || token.type === "br") return "\n";
  return token.tokens?.length ? tokensText(token.tokens) : decodeEntities(token.text ?? "");
};
const BLOCKS = new Set(["paragraph", "heading", "code", "list", "blockquote", "table"]);
const tokensText = (tokens) => (tokens ?? []).map((token) => tokenText(token) + (BLOCKS.has(token.type) ? "\n" : "")).join("");

/** Markdown as plain text. */
export function textOf(text) {
  try {
    return text.length > MAX_PLAIN_CHARS ? text : tokensText(lex(text)).trim();
  } catch {
    return text;
  }
}

const looksLikeJson = (text) => /^\s*[[{]/.test(text);
const coloured = (token) =>
  (/^json/i.test(token.lang ?? "") || (!token.lang && looksLikeJson(token.text))) && token.text.length < 20_000
    ? json(token.text) : plain(token.text);

function lex(text) {
  // A bare JSON answer is code, whatever fences it lacks.
  if (looksLikeJson(text) && !text.includes("```")) return [{ type: "code", lang: "json", text, raw: text }];
  return new Lexer({ gfm: true }).lex(text);
}

/** Draws growing text into `host`; finished blocks are kept, only the last ones are built again. */
export class Rendering {
  constructor(host) {
    Object.assign(this, { host, text: "", settled: 0, open: [], rough: null, drawn: 0, slow: 0 });
  }

  update(text) {
    if (text === this.text) return;
    this.text = text;
    if (this.rough) return this.#append();
    const begin = this.settled;
    const remaining = text.slice(begin);
    const safe = Math.min(longLine(remaining), MAX_PLAIN_CHARS, Math.max(0, MAX_MARKDOWN_CHARS - begin));
    const began = performance.now();
    try {
      this.#draw(lex(remaining.slice(0, safe)));
    } catch {
      return this.#giveUp();
    }
    if (safe < remaining.length) this.#giveUp(begin + safe, true);
    else this.#tire(performance.now() - began, text.length);
  }

  /** A busy machine may be slow once; text that is slow each time gets no more markdown. */
  #tire(ms, from) {
    this.slow += ms > SLOW_STEP_MS;
    if (this.slow > 3 || ms > 8 * SLOW_STEP_MS) this.#giveUp(from, true);
  }

  #draw(tokens) {
    let same = 0;
    while (same < this.open.length && this.open[same].raw === tokens[same]?.raw) same += 1;
    for (const { nodes } of this.open.splice(same)) nodes.forEach((n) => n.remove());
    for (const token of tokens.slice(same)) {
      const nodes = node(token).map((n) => (typeof n === "string" ? document.createTextNode(n) : n));
      this.host.append(...nodes);
      this.open.push({ raw: token.raw, nodes });
    }
    // All but the last two blocks can no longer change; do not read them again.
    if (this.text.length - this.settled < 4000) return;
    for (const done of this.open.splice(0, Math.max(0, this.open.length - 2))) this.settled += done.raw.length;
  }

  /** From here on the text is shown as it came; what was drawn before it may stay. */
  #giveUp(from = this.settled, keep = false) {
    if (!keep) for (const { nodes } of this.open.splice(0)) nodes.forEach((n) => n.remove());
    this.rough = el("pre.rough", { tabindex: 0 });
    this.host.append(this.rough);
    this.drawn = from;
    this.#append();
  }

  #append() {
    this.first ??= this.drawn;
    const until = Math.min(this.text.length, this.first + MAX_PLAIN_CHARS);
    for (; this.drawn < until; this.drawn += 8000) {
      const piece = this.text.slice(this.drawn, Math.min(until, this.drawn + 8000));
      this.rough.append(el("span", {}, plain(piece)));
      if (piece.length < 8000) {
        this.drawn += piece.length;
        break;
      }
    }
    if (this.text.length > until && !this.more) {
      this.more = el("p.hint", {}, _("Longer than 200,000 characters: the rest is in the export and in the log."));
      this.host.append(this.more);
    }
  }
}

/** Where the first line begins that is too long to be read as markdown; Infinity if none is. */
function longLine(text) {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf("\n", from);
    if ((end < 0 ? text.length : end) - from > MAX_LINE_CHARS) return from;
    if (end < 0) return Infinity;
    from = end + 1;
  }
  return Infinity;
}
