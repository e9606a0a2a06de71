// One run is one stream: events of all columns come through it, each with an id to resume from.
import { _, headers, baseUrl, unreachableText } from "./dom.js";

/** Parses an event stream from chunks of any size. */
class Parser {
  #buffer = "";
  #decoder = new TextDecoder();

  *feed(bytes) {
    this.#buffer += this.#decoder.decode(bytes, { stream: true }).replaceAll("\r", "");
    let end;
    let from = 0;
    while ((end = this.#buffer.indexOf("\n\n", from)) >= 0) {
      const event = parse(this.#buffer.slice(from, end));
      from = end + 2;
      if (event) yield event;
    }
    this.#buffer = this.#buffer.slice(from);
  }
}

function parse(block) {
  const fields = { type: "message", id: "", data: [] };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "event") fields.type = value;
    else if (name === "id") fields.id = value;
    else if (name === "data") fields.data.push(value);
  }
  if (!fields.data.length) return null;
  return { ...JSON.parse(fields.data.join("\n")), type: fields.type, eventId: fields.id };
}

/** Error messages of a refused request, by field. */
export class Refused extends Error {
  constructor(fields, signIn = "") {
    super(Object.values(fields).flat().join(" "));
    Object.assign(this, { fields, signIn });
  }
}

export class Run {
  /** `onEvent(event, run)` receives every event; `lost` is set after a lost connection. */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.id = "";
    this.lastEventId = "";
    this.done = false;
    this.lost = false;
  }

  /** Resolves when the stream ends for any reason; throws only if the input is refused. */
  async start(path, body) {
    await this.#read(baseUrl() + path, { method: "POST", headers: headers(), body: JSON.stringify(body) });
  }

  /** Resumes after the last received event. */
  async resume() {
    const path = `/runs/${encodeURIComponent(this.id)}/events?after=${encodeURIComponent(this.lastEventId)}`;
    await this.#read(baseUrl() + path, { headers: headers() });
  }

  async stop(column) {
    if (!this.id || this.done) return;
    await fetch(`${baseUrl()}/runs/${encodeURIComponent(this.id)}/stop`, {
      method: "POST",
      headers: headers(),
      body: JSON.stringify(column ? { col: column } : {}),
    }).catch(() => null);
  }

  async #read(url, options) {
    this.lost = false;
    try {
      const response = await fetch(url, options);
      if (!response.ok) throw await readRefusal(response);
      await this.#drain(response.body.getReader());
    } catch (error) {
      if (error instanceof Refused) throw error;
      // A run that never started cannot be continued.
      if (!this.id) throw new Refused({ "": unreachableText() });
    }
    this.lost = !this.done;
  }

  async #drain(reader) {
    const parser = new Parser();
    let lastYield = performance.now();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      for (const event of parser.feed(value)) {
        this.#handle(event);
        // Yield regularly, so that the page can draw and react to "Stop".
        if (performance.now() - lastYield > 30) {
          await new Promise((next) => setTimeout(next));
          lastYield = performance.now();
        }
      }
    }
  }

  #handle(event) {
    if (event.eventId) this.lastEventId = event.eventId;
    if (event.type === "run") this.id = event.run ?? event.id;
    if (event.type === "done") this.done = true;
    this.onEvent(event, this);
  }
}

async function readRefusal(response) {
  const data = await response.json().catch(() => ({}));
  const errors = data.errors ?? { "": _("The server returned HTTP {status}.", { status: response.status }) };
  return new Refused(errors, data.sign_in);
}
