// Messages before the one in the composer: what the composer can hold, and what is carried along.
const parts = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content ?? []);

/** Whether the composer can hold a message: a user's text and images, and nothing else. */
const editable = (message) =>
  message?.role === "user" && parts(message.content).every((p) => p.type === "text" || p.type === "image");

/** Messages split into those that are carried along and what stands in the composer. */
export function split(messages = []) {
  const last = messages.at(-1);
  if (!editable(last)) return { earlier: messages, text: "", images: [] };
  const content = parts(last.content);
  const text = content.filter((p) => p.type === "text").map((p) => p.text).join("\n");
  return { earlier: messages.slice(0, -1), text, images: content.filter((p) => p.type === "image") };
}
