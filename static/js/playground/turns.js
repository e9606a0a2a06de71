// A column's conversation: its messages, the response that joins them, and what can be done with each.
import { _ } from "./dom.js";
import { MessageList, copyMessage } from "./messages.js";

// Messages shown above the latest response; earlier ones are folded.
const MAX_UNFOLDED = 6;

/** A response as messages: text and tool calls, each round's results after it. */
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
      content.push({ type: "tool_call", id: block.id, name: block.name, arguments: parseArguments(block.text) });
      if (block.result !== null) results.push({ type: "tool_result", id: block.id, content: block.result });
    }
  }
  close();
  return messages;
}

function parseArguments(text) {
  try {
    const value = JSON.parse(text || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? value : { input: text };
  } catch {
    return { input: text };
  }
}

/** Appends the response of a column to its conversation. */
export function appendResponse(column) {
  const repetition = column.selected;
  const response = repetition && !repetition.failed ? messagesOf(repetition) : [];
  column.history = [...column.history, ...response];
  Object.assign(column, { responseLength: response.length });
}

/** Removes the latest response from the conversation, so that it can be generated again. */
export function dropResponse(column) {
  if (column.responseLength) column.history = column.history.slice(0, column.history.length - column.responseLength);
  Object.assign(column, { responseLength: 0 });
}

/** Turns the latest response into plain messages of the list; the page is then no longer its run. */
function settleResponse(column) {
  // It would go on unseen, and cost money.
  if (column.busy) column.run.stop(column.id);
  column.startRun(null);
  column.app.runs?.setAddress(null);
}

const isEqual = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The columns whose message `i` is this column's: an edit of a shared message is for all. */
function columnsSharingMessage(app, column, i) {
  const message = column.history[i];
  if (message?.role === "assistant") return [column];
  return app.active().filter((other) => other === column || isEqual(other.history.slice(0, i + 1), column.history.slice(0, i + 1)));
}

function createMessageList(app, column) {
  return new MessageList(column.turns, {
    edit: (i, message) => {
      for (const other of columnsSharingMessage(app, column, i)) {
        if (other.repetitions.length) settleResponse(other);
        other.history = message ? other.history.with(i, message) : other.history.toSpliced(i, 1);
      }
      app.layout();
    },
    run: (i) => runFrom(app, column, i),
    branch: (i) => branch(app, column, i),
  });
}

/** Whether a response has been requested and is not complete. */
const awaitsResponse = ({ busy, repetitions, run }) => busy || Boolean(run && !repetitions.length && !run.done && !run.lost);

/** Answers again: an assistant's message is replaced, any other one is the last that is sent. */
async function runFrom(app, column, i) {
  // A double click.
  if (awaitsResponse(column)) return;
  const keep = column.history[i].role === "assistant" ? i : i + 1;
  const columns = columnsSharingMessage(app, column, i);
  for (const other of columns) {
    settleResponse(other);
    other.history = other.history.slice(0, keep);
  }
  await app.run(columns, { again: true });
}

/** A new column with the conversation up to a message. */
function branch(app, column, i) {
  if (app.mode === "chat") app.setMode("compare");
  const newColumn = app.add(column.model);
  if (!newColumn) return;
  newColumn.history = column.history.slice(0, i + 1);
  newColumn.overrides = { ...column.overrides };
  app.layout();
  newColumn.focus();
}

/** The actions on the latest response, which is not in the list. */
export const responseActions = (app, column) => ({
  run: () => app.run([column], { again: true }),
  edit: () => {
    const i = column.history.length - column.responseLength;
    settleResponse(column);
    app.layout();
    column.list.edit(i);
  },
  branch: () => branch(app, column, column.history.length - 1),
  copy: () => copyMessage({ content: [{ type: "text", text: column.selected?.text ?? "" }] }),
});

/** Draws the messages above the responses; the latest response stays in the column itself. */
export function drawTurns(app) {
  const restart = () => app.newConversation();
  for (const column of app.columns) {
    const messages = column.repetitions.length && column.responseLength ? column.history.slice(0, -column.responseLength) : column.history;
    column.list ??= createMessageList(app, column);
    column.list.draw(messages, { fold: Math.max(0, messages.length - MAX_UNFOLDED), assistant: column.blind ? _("Model") : column.info.label, restart });
  }
}
