// Highlighting, language and a copy button for the code blocks of a finished response. Text never
// becomes markup: the highlighter's tree becomes elements, and its text goes through `textNodes`.
import hljs from "../../vendor/highlight/core.min.js";
import bash from "../../vendor/highlight/bash.min.js";
import javascript from "../../vendor/highlight/javascript.min.js";
import jsonGrammar from "../../vendor/highlight/json.min.js";
import python from "../../vendor/highlight/python.min.js";
import xml from "../../vendor/highlight/xml.min.js";
import yaml from "../../vendor/highlight/yaml.min.js";
import { copyText } from "../clipboard.js";
import { _, el, icon, announce } from "./dom.js";
import { textNodes } from "./markdown.js";

const GRAMMARS = { bash, javascript, json: jsonGrammar, python, xml, yaml };
for (const [name, grammar] of Object.entries(GRAMMARS)) hljs.registerLanguage(name, grammar);
const ALIASES = { sh: "bash", shell: "bash", zsh: "bash", console: "bash", js: "javascript", jsx: "javascript", ts: "javascript", tsx: "javascript", typescript: "javascript", py: "python", html: "xml", svg: "xml", yml: "yaml" };
const MAX_CHARS = 50_000;
const TOKEN_CLASSES = [[/^(string|regexp|char|subst)/, "s"], [/^number/, "n"], [/^(keyword|literal|built_in|type)/, "l"], [/^(attr|property|title|name|tag|section|variable|params)/, "k"], [/^(comment|quote|meta|doctag)/, "c"]];

const tokenClass = (scope) => TOKEN_CLASSES.find(([pattern]) => pattern.test(scope ?? ""))?.[1];

function nodes(tree) {
  return (tree.children ?? []).flatMap((child) => {
    if (typeof child === "string") return textNodes(child);
    const className = tokenClass(child.scope);
    return className ? [el(`span.${className}`, {}, nodes(child))] : nodes(child);
  });
}

/** Highlights the code of a block, unless it is too long or its language is unknown. */
export function highlight(block, language) {
  const code = block.querySelector("code");
  const text = code.textContent;
  if (!GRAMMARS[language] || text.length > MAX_CHARS || code.childElementCount) return;
  const highlighted = hljs.highlight(text, { language, ignoreIllegals: true });
  code.replaceChildren(...nodes(highlighted._emitter.rootNode));
}

function codeBar(block, language) {
  const label = el("span", {}, _("Copy"));
  const copy = el("button.btn.ghost.sm", {
    type: "button",
    onclick: async () => {
      if (!(await copyText(block.textContent))) return getSelection().selectAllChildren(block);
      label.textContent = _("Copied");
      announce(_("Copied"));
      setTimeout(() => (label.textContent = _("Copy")), 1500);
    },
  }, icon("copy"), label);
  const wrap = el("button.btn.ghost.sm", { type: "button", "aria-pressed": "false", onclick: () => wrap.setAttribute("aria-pressed", String(block.toggleAttribute("data-wrap"))) }, _("Wrap"));
  return el("div.code-bar", {}, el("span.hint", {}, language || _("text")), el("span.grow"), wrap, copy);
}

/** Adds the bar and the highlighting to every code block in `root` that has none yet. */
export function decorate(root) {
  for (const block of root.querySelectorAll("pre.code:not([data-decorated])")) {
    block.dataset.decorated = "";
    const language = (block.dataset.lang ?? "").toLowerCase();
    block.before(codeBar(block, language));
    highlight(block, ALIASES[language] ?? language);
  }
}
