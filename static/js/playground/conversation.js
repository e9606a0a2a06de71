// Splits a conversation into its earlier messages and the last one, which the composer can edit.
export const partsOf = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content ?? []);

/** Whether the composer can edit a message: a user message of text and images only. */
const isEditable = (message) =>
  message?.role === "user" && partsOf(message.content).every((p) => p.type === "text" || p.type === "image");

/** The earlier messages, and the text and images of the last one for the composer. */
export function splitMessages(messages = []) {
  const last = messages.at(-1);
  if (!isEditable(last)) return { earlier: messages, text: "", images: [] };
  const content = partsOf(last.content);
  const text = content.filter((p) => p.type === "text").map((p) => p.text).join("\n");
  return { earlier: messages.slice(0, -1), text, images: content.filter((p) => p.type === "image") };
}
