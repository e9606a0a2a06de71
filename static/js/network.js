// Requests of parts of a page: a progress line while they last, and a message with Retry when they fail.
import { _ } from "./gettext.js";
import { toast } from "./toast.js";

const SLOW_MS = 150;
// Answers that belong into the page although they are refusals: forms with their errors.
const SWAPPED = new Set([409, 422]);
const pending = new Map();
let failed = null;
let unanswered = 0;

// Polls are nobody's action: they say so once, and only if they fail twice.
const byPerson = ({ sourceEvent: event }) => event instanceof UIEvent || ["submit", "change", "input"].includes(event?.type);
const busyPart = (source) => source?.closest?.("[data-row]") ?? source;

function line(visible) {
  let bar = document.getElementById("progress-line");
  if (!bar && !visible) return;
  if (!bar) {
    bar = document.createElement("div");
    bar.id = "progress-line";
    bar.setAttribute("aria-hidden", "true");
    document.body.append(bar);
  }
  bar.hidden = !visible;
}

function began(ctx) {
  if (!byPerson(ctx)) return;
  const timer = setTimeout(() => line(true), SLOW_MS);
  pending.set(ctx, timer);
  busyPart(ctx.sourceElement)?.setAttribute?.("aria-busy", "true");
}

function ended(ctx) {
  if (!pending.has(ctx)) return;
  clearTimeout(pending.get(ctx));
  pending.delete(ctx);
  busyPart(ctx.sourceElement)?.removeAttribute?.("aria-busy");
  if (!pending.size) line(false);
}

function retry({ sourceElement: source, sourceEvent: event }) {
  if (!source?.isConnected) return location.reload();
  if (event?.type === "submit") return source.requestSubmit(event.submitter?.isConnected ? event.submitter : undefined);
  if (event?.type === "click") return source.click();
  window.htmx.trigger(source, event?.type ?? "click");
}

function statusText(status) {
  if (!status) return _("The server cannot be reached. Check that it is running.");
  if (status === 403) return _("You do not have permission to do this.");
  if (status === 404) return _("This item no longer exists.");
  return _("The server returned an error (HTTP {status}).", { status });
}

function fail(ctx, status) {
  const person = byPerson(ctx);
  if (!person && ++unanswered < 2) return;
  if (failed?.isConnected) {
    if (!person) return;
    failed.remove();
  }
  const text = person ? statusText(status) : _("Live updates have stopped: the server does not answer.");
  const run = () => (person ? retry(ctx) : location.reload());
  failed = toast(text, "error", { action: { label: person ? _("Retry") : _("Reload"), run } });
}

document.addEventListener("htmx:before:request", (event) => began(event.detail.ctx));
document.addEventListener("htmx:finally:request", (event) => ended(event.detail.ctx));
document.addEventListener("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  const { status, headers } = ctx.response;
  if (status < 400 || SWAPPED.has(status) || headers.get("HX-Redirect")) {
    unanswered = 0;
    return;
  }
  event.preventDefault();
  fail(ctx, status);
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx) fail(event.detail.ctx, 0);
});
