// The editable list of a conversation's messages: roles, text, images, tool calls and results.
// `draw` shows messages; each can be edited, copied, removed, and run or branched from.
import { partsOf } from "./conversation.js";
import { copyAndTell } from "./copy.js";
import { $, _, el, icon, visuallyHidden } from "./dom.js";
import { MarkdownRenderer, textNodes } from "./markdown.js";

const PREVIEW_CHARS = 20_000;
const ROLES = { user: () => _("User"), assistant: () => _("Assistant"), system: () => _("System"), tool: () => _("Tool") };

const jsonText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** The text of a message, with calls and results as JSON. */
const textOfMessage = (message) => partsOf(message.content).map((part) => {
  if (part.type === "tool_call") return `${part.name} ${jsonText(part.arguments)}`;
  if (part.type === "tool_result") return jsonText(part.content ?? "");
  return part.text ?? part.label ?? "";
}).filter(Boolean).join("\n\n");

/** The role that is displayed: messages that have only tool results are the tool's. */
function roleOf(message) {
  const parts = partsOf(message.content);
  return parts.length && parts.every((part) => part.type === "tool_result") ? "tool" : message.role;
}

const disclosure = (title, text) =>
  el("details.result", {}, el("summary", {}, title), el("code.args", { tabindex: 0 }, text.slice(0, PREVIEW_CHARS)));

function partBlock(part) {
  if (part.type === "text") {
    const body = el("div.md", { dir: "auto" });
    new MarkdownRenderer(body).update(part.text);
    return body;
  }
  if (part.type === "image") return el("img.turn-img", { src: `data:${part.media_type};base64,${part.data}`, alt: _("Image") });
  if (part.type === "tool_call") return disclosure(_("Tool call: {name}", { name: part.name }), jsonText(part.arguments));
  if (part.type === "tool_result") return disclosure(_("Tool result"), jsonText(part.content ?? ""));
  if (part.type === "reasoning") return disclosure(_("Reasoning"), part.text || _("hidden by the provider"));
  return el("p.hint", {}, textNodes(part.label ?? part.type));
}

export class MessageList {
  /**
   * `actions.edit(index, message)` stores an edited message, null to remove it; `run(index)` answers
   * the conversation up to this message again; `branch(index)` continues from it in a new column.
   */
  constructor(host, actions) {
    Object.assign(this, { host, actions, editing: null, key: "", messages: [] });
  }

  /** Shows messages; the first `fold` of them behind a summary. */
  draw(messages, { fold = 0, assistant = _("Assistant"), restart = null } = {}) {
    const key = JSON.stringify([fold, assistant, this.editing]);
    if (this.key === key && this.messages.length === messages.length && messages.every((m, i) => m === this.messages[i])) return;
    Object.assign(this, { key, messages, shown: { fold, assistant, restart } });
    const open = $("details.earlier", this.host)?.open ?? false;
    const blocks = messages.map((message, i) => (this.editing === i ? this.#editor(message, i) : this.#block(message, i, assistant)));
    if (!fold || !messages.length) return this.host.replaceChildren(...blocks);
    const title = fold === 1 ? _("1 earlier message") : _("{n} earlier messages", { n: fold });
    const earlier = el("details.earlier", { open: open || (this.editing !== null && this.editing < fold) }, el("summary", {}, title),
      blocks.slice(0, fold), restart ? el("button.btn.sm", { type: "button", onclick: restart }, _("New conversation")) : null);
    this.host.replaceChildren(earlier, ...blocks.slice(fold));
  }

  /** Opens the editor of a message; null closes it. */
  edit(index) {
    this.editing = index;
    this.draw([...this.messages], this.shown);
    if (index !== null) $(".msg-editor textarea, .msg-editor select", this.host)?.focus();
  }

  #block(message, i, assistant) {
    const role = roleOf(message);
    const name = role === "assistant" ? assistant : ROLES[role]?.() ?? role;
    return el(`div.turn.${message.role}`, { "data-message": i }, el("div.row.turn-head", {}, el("b.hint.grow", {}, name), this.#tools(i, message)),
      partsOf(message.content).map(partBlock));
  }

  /** The buttons of a message. */
  #tools(i, message) {
    const button = (name, label, action, kind = "") => el(`button.btn.ghost.sm.icon${kind}`, { type: "button", title: label, onclick: action }, icon(name), visuallyHidden(label));
    const { actions } = this;
    return el("span.msg-tools", {},
      actions.run && button("i:rotate-cw", message.role === "assistant" ? _("Regenerate") : _("Run from here"), () => actions.run(i), ".run-from"),
      button("i:pencil", _("Edit message"), () => this.edit(i)),
      actions.branch && button("i:corner-down-right", _("Branch into a new column"), () => actions.branch(i)),
      button("i:copy", _("Copy message"), () => copyMessage(message)),
      button("i:trash-2", _("Remove message"), () => actions.edit(i, null)));
  }

  #editor(message, i) {
    const original = partsOf(message.content);
    const role = el("select.select.sm", { "aria-label": _("Role") }, Object.entries(ROLES).map(([id, label]) =>
      el("option", { value: id, selected: id === roleOf(message) }, label())));
    const rows = el("div.stack");
    const add = (part) => rows.append(partEditor(part));
    original.forEach(add);
    const error = el("p.errors", { role: "alert", hidden: true });
    const addButton = (label, part) => el("button.btn.ghost.sm", { type: "button", onclick: () => add(part()) }, icon("i:plus"), label);
    const save = (run) => {
      try {
        const content = [...rows.children].map((row) => row.read()).filter(Boolean);
        const edited = { ...message, role: role.value, content };
        this.editing = null;
        this.actions.edit(i, edited);
        if (run) this.actions.run(i);
      } catch (problem) {
        error.hidden = false;
        error.textContent = problem.message;
      }
    };
    const submit = (event) => { event.preventDefault(); save(false); };
    return el("form.turn.msg-editor", { "data-message": i, onsubmit: submit, novalidate: true },
      el("div.row.wrap", {}, role, addButton(_("Text"), () => ({ type: "text", text: "" })),
        addButton(_("Tool call"), () => ({ type: "tool_call", id: `call_${Date.now().toString(36)}`, name: "", arguments: {} })),
        addButton(_("Tool result"), () => ({ type: "tool_result", id: "", content: "" }))),
      rows, error,
      el("div.row.wrap", {}, el("button.btn.primary.sm", {}, _("Save")),
        this.actions.run ? el("button.btn.sm", { type: "button", onclick: () => save(true) }, _("Save and run")) : null,
        el("button.btn.ghost.sm", { type: "button", onclick: () => this.edit(null) }, _("Cancel"))));
  }
}

/** A field for each kind of part; `read()` returns the edited part, null if it is empty. */
function partEditor(part) {
  const changed = (fields) => ({ ...part, exact: undefined, ...fields });
  const area = (value, label, rows = 3) => el("textarea.input", { rows, "aria-label": label, value });
  const field = (value, label) => el("input.input.sm.mono", { value, "aria-label": label, placeholder: label });
  const remove = el("button.btn.ghost.sm.icon", { type: "button", title: _("Remove part"), onclick: () => row.remove() }, icon("i:x"), visuallyHidden(_("Remove part")));
  const row = el("div.part-editor");
  if (part.type === "text") {
    const box = area(part.text, _("Text"), Math.min(14, 2 + part.text.split("\n").length));
    row.append(box, remove);
    row.read = () => (box.value === part.text ? part : box.value ? changed({ text: box.value }) : null);
  } else if (part.type === "tool_call") {
    const name = field(part.name, _("Tool name"));
    const id = field(part.id, _("Call id"));
    const args = area(jsonText(part.arguments), _("Arguments as JSON"));
    row.append(el("div.stack.grow", {}, el("div.row", {}, name, id), args), remove);
    row.read = () => {
      const value = parseArguments(args.value);
      const same = name.value === part.name && id.value === part.id && JSON.stringify(value) === JSON.stringify(part.arguments);
      return same ? part : changed({ name: name.value, id: id.value, arguments: value });
    };
  } else if (part.type === "tool_result") {
    const id = field(part.id, _("Call id"));
    const box = area(jsonText(part.content ?? ""), _("Tool result"));
    row.append(el("div.stack.grow", {}, id, box), remove);
    row.read = () => (id.value === part.id && box.value === jsonText(part.content ?? "") ? part : changed({ id: id.value, content: box.value }));
  } else {
    row.append(el("div.grow", {}, partBlock(part)), remove);
    row.read = () => part;
  }
  return row;
}

function parseArguments(text) {
  try {
    const value = JSON.parse(text || "{}");
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch (error) {
    throw new Error(_("The arguments are not valid JSON: {reason}", { reason: error.message }));
  }
  throw new Error(_("The arguments must be a JSON object."));
}

export const copyMessage = (message) => copyAndTell(textOfMessage(message));
