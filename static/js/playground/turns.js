// A column's conversation: answers that become part of it, and how its messages look.
import { $, _, el } from "./dom.js";
import { Rendering } from "./markdown.js";

const PREVIEW_CHARS = 20_000;

const parts = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content ?? []);

/** An answer as messages: text and tool calls, each round's results after it. */
function messagesOf(repetition) {
  const messages = [];
  let content = [];
  let results = [];
  const close = () => {
    if (content.length) messages.push({ role: "assistant", content });
    if (results.length) messages.push({ role: "tool", content: results });
    content = [];
    results = [];
  };
  for (const block of repetition.blocks) {
    if (results.length && block.kind !== "call") close();
    if (block.kind === "text" || block.kind === "refusal") {
      if (block.text) content.push({ type: "text", text: block.text });
    } else if (block.kind === "call") {
      content.push({ type: "tool_call", id: block.id, name: block.name, arguments: object(block.text) });
      if (block.result !== null) results.push({ type: "tool_result", id: block.id, content: block.result });
    }
  }
  close();
  return messages;
}

function object(text) {
  try {
    const value = JSON.parse(text || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? value : { input: text };
  } catch {
    return { input: text };
  }
}

const ROLES = { user: () => _("User"), assistant: () => _("Assistant"), system: () => _("System"), tool: () => _("Tool") };

/** One message as a block. */
function messageBlock(message, assistant) {
  const content = parts(message.content);
  const results = content.length && content.every((p) => p.type === "tool_result");
  const role = results ? ROLES.tool() : message.role === "assistant" ? assistant : ROLES[message.role]?.() ?? message.role;
  return el(`div.turn.${message.role}`, {}, el("b.hint", {}, role), content.map((part) => partBlock(part)));
}

function partBlock(part) {
  if (part.type === "text") {
    const body = el("div.md", { dir: "auto" });
    new Rendering(body).update(part.text);
    return body;
  }
  if (part.type === "image") return el("img.turn-img", { src: `data:${part.media_type};base64,${part.data}`, alt: _("Image") });
  if (part.type === "tool_call") return disclosure(_("Tool call: {name}", { name: part.name }), JSON.stringify(part.arguments, null, 2));
  if (part.type === "tool_result") return disclosure(_("Tool result"), typeof part.content === "string" ? part.content : JSON.stringify(part.content, null, 2));
  if (part.type === "reasoning") return disclosure(_("Reasoning"), part.text || _("hidden by the provider"));
  return el("p.hint", {}, part.label ?? part.type);
}

const disclosure = (title, text) =>
  el("details.result", {}, el("summary", {}, title), el("code.args", { tabindex: 0 }, text.slice(0, PREVIEW_CHARS)));

/** Draws messages into `host`: the first `fold` of them behind a summary. */
function draw(host, messages, { fold, assistant, restart }) {
  const key = JSON.stringify([fold, messages.length, messages.map((m) => JSON.stringify(m).length)]);
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const open = $("details.earlier", host)?.open ?? false;
  const one = (message) => messageBlock(message, assistant);
  const kids = messages.slice(fold).map(one);
  if (fold && messages.length) {
    const title = fold === 1 ? _("1 earlier message") : _("{n} earlier messages", { n: fold });
    kids.unshift(el("details.earlier", { open }, el("summary", {}, title),
      messages.slice(0, fold).map(one),
      restart ? el("button.btn.sm", { type: "button", onclick: restart }, _("New conversation")) : null));
  }
  host.replaceChildren(...kids);
}

/** Appends the request and the answer of a column to its conversation. */
export function appendAnswer(column) {
  const repetition = column.selected;
  const answer = repetition && !repetition.failed ? messagesOf(repetition) : [];
  column.history.push(...(column.userMessage ? [column.userMessage] : []), ...answer);
  Object.assign(column, { userMessage: null, answerLength: answer.length, answerInHistory: true });
}

/** Whether an answer has text or tool calls. */
export const hasContent = (repetition) => Boolean(repetition && !repetition.failed && messagesOf(repetition).length);

/** Continues from the answers in all columns, with the edited or a new message. */
export async function reply(app, columns) {
  const { composer } = app;
  const userMessage = columns.find((c) => c.userMessage)?.userMessage;
  const edited = composer.filled && JSON.stringify(userMessage?.content) !== JSON.stringify(composer.content);
  columns.forEach(appendAnswer);
  if (!edited) composer.clear();
  composer.choose("message");
  app.layout();
  if (edited) await app.run();
  else composer.text.focus();
}

/** Draws earlier messages above the answers; the latest answer stays in the column itself. */
export function drawTurns(app) {
  const restart = () => app.newConversation();
  for (const column of app.columns) {
    const { repetitions, userMessage } = column;
    const before = column.history.slice(0, column.history.length - (repetitions.length ? column.answerLength : 0));
    const chat = app.mode === "chat";
    const visibleMessages = chat && userMessage && repetitions.length ? [...before, userMessage] : before;
    const fold = chat ? Math.min(app.sharedMessages.length, before.length) : before.length;
    draw(column.turns, visibleMessages, { fold, assistant: column.blind ? _("Model") : column.info.label, restart });
  }
  const host = $("#pg-earlier");
  host.hidden = app.mode !== "matrix" || !app.sharedMessages.length;
  draw(host, app.sharedMessages, { fold: app.sharedMessages.length, assistant: _("Assistant"), restart });
}
