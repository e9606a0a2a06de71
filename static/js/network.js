// htmx requests: a progress line while they run, and a message with Retry when they fail.
import { _ } from "./gettext.js";
import { toast } from "./toast.js";

const SLOW_MS = 150;
// Error responses that are swapped into the page: forms with their errors.
const FORM_ERROR_STATUSES = new Set([409, 422]);
const pending = new Map();
let failureToast = null;
let failedPolls = 0;

// A failed poll is reported once, and only after two failures in a row: no user action started it.
const isUserRequest = ({ sourceEvent: event }) => event instanceof UIEvent || ["submit", "change", "input"].includes(event?.type);
const busyElement = (source) => source?.closest?.("[data-row]") ?? source;

function showProgressLine(visible) {
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

function onRequestStart(ctx) {
  if (!isUserRequest(ctx)) return;
  const timer = setTimeout(() => showProgressLine(true), SLOW_MS);
  pending.set(ctx, timer);
  busyElement(ctx.sourceElement)?.setAttribute?.("aria-busy", "true");
}

function onRequestEnd(ctx) {
  if (!pending.has(ctx)) return;
  clearTimeout(pending.get(ctx));
  pending.delete(ctx);
  busyElement(ctx.sourceElement)?.removeAttribute?.("aria-busy");
  if (!pending.size) showProgressLine(false);
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
  if (status === 503) return _("The gateway or its database is not available. Try again in a moment.");
  return _("The server returned an error (HTTP {status}).", { status });
}

function showFailure(ctx, status) {
  const isUser = isUserRequest(ctx);
  if (!isUser && ++failedPolls < 2) return;
  if (failureToast?.isConnected) {
    if (!isUser) return;
    failureToast.remove();
  }
  const text = isUser ? statusText(status) : _("Live updates have stopped: the server does not answer.");
  const run = () => (isUser ? retry(ctx) : location.reload());
  failureToast = toast(text, "error", { action: { label: isUser ? _("Retry") : _("Reload"), run } });
}

document.addEventListener("htmx:before:request", (event) => onRequestStart(event.detail.ctx));
document.addEventListener("htmx:finally:request", (event) => onRequestEnd(event.detail.ctx));
document.addEventListener("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  const { status, headers } = ctx.response;
  if (status < 400 || FORM_ERROR_STATUSES.has(status) || headers.get("HX-Redirect")) {
    failedPolls = 0;
    return;
  }
  event.preventDefault();
  showFailure(ctx, status);
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx) showFailure(event.detail.ctx, 0);
});
