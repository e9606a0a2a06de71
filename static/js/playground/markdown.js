// Markdown of a model as page elements, built token by token. What a model writes is never HTML
// here: tags stay text, pictures become links, only web and mail addresses can be followed, and
// bidirectional control characters are shown by name instead of taking effect.
import { Lexer } from "../../vendor/marked/marked.esm.js";
import { _, el } from "./dom.js";

const SAFE_URL = /^(https?:\/\/|mailto:)/i;
const CONTROL_CHARACTERS = /[\u202A-\u202E\u2066-\u2069\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]/g;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
const MAX_LINE_CHARS = 4000; // Longer lines are not parsed: inline rules take more than linear time.
const SLOW_STEP_MS = 60; // A step that takes longer is slow; after a few slow ones the rest is plain text.
const MAX_PLAIN_CHARS = 200_000; // Characters shown as plain text; the rest is in the log and in the export.
const MAX_MARKDOWN_CHARS = 1_000_000; // Characters rendered as markdown.

const decodeEntities = (text) => text.replace(/&(?:amp|lt|gt|quot|#39);/g, (match) => ENTITIES[match]);

/** Text as nodes, with bidirectional and other control characters made visible. */
export function textNodes(text) {
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

const renderTokens = (tokens) => (tokens ?? []).flatMap(renderToken);
const code = (token) =>
  el("pre.code", { tabindex: 0, "data-lang": (token.lang ?? "").split(/\s/)[0] || null }, el("code", {}, codeNodes(token)));

function link(address, kids) {
  if (!SAFE_URL.test(address)) return kids;
  return [el("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, kids)];
}

function table(token) {
  const row = (cells, tag) =>
    el("tr", {}, cells.map((cell, i) => el(tag, { "data-align": token.align[i] }, renderTokens(cell.tokens))));
  const body = el("tbody", {}, token.rows.map((cells) => row(cells, "td")));
  return el("div.scroll", { tabindex: 0 }, el("table", {}, el("thead", {}, row(token.header, "th")), body));
}

function list(token) {
  const items = token.items.map((item) =>
    el("li", {}, item.task ? (item.checked ? "☑ " : "☐ ") : null, renderTokens(item.tokens)));
  return el(token.ordered ? "ol" : "ul", { start: token.ordered && token.start !== 1 ? token.start : null }, items);
}

const RENDERERS = {
  space: () => [],
  def: () => [],
  checkbox: () => [],
  heading: (t) => [el(`h${Math.min(6, t.depth + 3)}`, { dir: "auto" }, renderTokens(t.tokens))],
  paragraph: (t) => [el("p", { dir: "auto" }, renderTokens(t.tokens))],
  text: (t) => (t.tokens ? renderTokens(t.tokens) : textNodes(decodeEntities(t.text))),
  escape: (t) => textNodes(decodeEntities(t.text)),
  strong: (t) => [el("strong", {}, renderTokens(t.tokens))],
  em: (t) => [el("em", {}, renderTokens(t.tokens))],
  del: (t) => [el("del", {}, renderTokens(t.tokens))],
  codespan: (t) => [el("code", {}, textNodes(decodeEntities(t.text)))],
  br: () => [el("br")],
  hr: () => [el("hr")],
  code: (t) => [code(t)],
  blockquote: (t) => [el("blockquote", {}, renderTokens(t.tokens))],
  list: (t) => [list(t)],
  link: (t) => link(t.href, renderTokens(t.tokens)),
  image: (t) => link(t.href, textNodes(_("[image: {name}]", { name: t.text || t.href }))),
  table: (t) => [table(t)],
};

const renderToken = (token) => (RENDERERS[token.type] ?? ((t) => textNodes(t.raw)))(token);

const JSON_PART = /("(?:[^"\\\n]|\\.)*")(\s*:)?|(-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|\b(true|false|null)\b/g;

/** JSON as highlighted nodes: keys, strings, numbers, literals. */
export function json(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(JSON_PART)) {
    const [matchedText, string, colon, , word] = match;
    nodes.push(...textNodes(text.slice(from, match.index)));
    const kind = string ? (colon ? "k" : "s") : word ? "l" : "n";
    nodes.push(el(`span.${kind}`, {}, textNodes(string ?? matchedText)), colon ?? "");
    from = match.index + matchedText.length;
  }
  return [...nodes, ...textNodes(text.slice(from))];
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
const codeNodes = (token) =>
  (/^json/i.test(token.lang ?? "") || (!token.lang && looksLikeJson(token.text))) && token.text.length < 20_000
    ? json(token.text) : textNodes(token.text);

function lex(text) {
  // A JSON response without a fence is code too.
  if (looksLikeJson(text) && !text.includes("```")) return [{ type: "code", lang: "json", text, raw: text }];
  return new Lexer({ gfm: true }).lex(text);
}

/** Renders growing text into `host`; finished blocks are kept, only the last ones are rendered again. */
export class MarkdownRenderer {
  constructor(host) {
    Object.assign(this, { host, text: "", stableLength: 0, openBlocks: [], plainTextBox: null, plainTextEnd: 0, slowSteps: 0 });
  }

  update(text) {
    if (text === this.text) return;
    this.text = text;
    if (this.plainTextBox) return this.#append();
    const begin = this.stableLength;
    const remaining = text.slice(begin);
    const safeLength = Math.min(longLineStart(remaining), MAX_PLAIN_CHARS, Math.max(0, MAX_MARKDOWN_CHARS - begin));
    const startedAt = performance.now();
    try {
      this.#draw(lex(remaining.slice(0, safeLength)));
    } catch {
      return this.#switchToPlainText();
    }
    if (safeLength < remaining.length) this.#switchToPlainText(begin + safeLength, true);
    else this.#checkDuration(performance.now() - startedAt, text.length);
  }

  /** Switches to plain text after several slow steps, or a very slow one. */
  #checkDuration(ms, from) {
    this.slowSteps += ms > SLOW_STEP_MS;
    if (this.slowSteps > 3 || ms > 8 * SLOW_STEP_MS) this.#switchToPlainText(from, true);
  }

  #draw(tokens) {
    let same = 0;
    while (same < this.openBlocks.length && this.openBlocks[same].raw === tokens[same]?.raw) same += 1;
    for (const { nodes } of this.openBlocks.splice(same)) nodes.forEach((n) => n.remove());
    for (const token of tokens.slice(same)) {
      const nodes = renderToken(token).map((n) => (typeof n === "string" ? document.createTextNode(n) : n));
      this.host.append(...nodes);
      this.openBlocks.push({ raw: token.raw, nodes });
    }
    // All but the last two blocks can no longer change; do not read them again.
    if (this.text.length - this.stableLength < 4000) return;
    for (const done of this.openBlocks.splice(0, Math.max(0, this.openBlocks.length - 2))) this.stableLength += done.raw.length;
  }

  /** Shows the text from `from` on as plain text; `keep` keeps the blocks rendered before it. */
  #switchToPlainText(from = this.stableLength, keep = false) {
    if (!keep) for (const { nodes } of this.openBlocks.splice(0)) nodes.forEach((n) => n.remove());
    this.plainTextBox = el("pre.plain-text", { tabindex: 0 });
    this.host.append(this.plainTextBox);
    this.plainTextEnd = from;
    this.#append();
  }

  #append() {
    this.plainTextStart ??= this.plainTextEnd;
    const until = Math.min(this.text.length, this.plainTextStart + MAX_PLAIN_CHARS);
    for (; this.plainTextEnd < until; this.plainTextEnd += 8000) {
      const chunk = this.text.slice(this.plainTextEnd, Math.min(until, this.plainTextEnd + 8000));
      this.plainTextBox.append(el("span", {}, textNodes(chunk)));
      if (chunk.length < 8000) {
        this.plainTextEnd += chunk.length;
        break;
      }
    }
    if (this.text.length > until && !this.more) {
      this.more = el("p.hint", {}, _("Longer than 200,000 characters: the rest is in the export and in the log."));
      this.host.append(this.more);
    }
  }
}

/** Index of the first line that is too long to be parsed as markdown; Infinity if there is none. */
function longLineStart(text) {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf("\n", from);
    if ((end < 0 ? text.length : end) - from > MAX_LINE_CHARS) return from;
    if (end < 0) return Infinity;
    from = end + 1;
  }
  return Infinity;
}
