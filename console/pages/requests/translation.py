"""The Translation tab: both sides of a request or an answer, traced and aligned."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.dialects import as_read
from console.pages.requests.words import dialect_name, missing, size
from console.tracing import Trace, compared, trace
from console.tracing_lines import aligned, lines, visible
from console.tracing_notes import notes
from console.tracing_ways import Way
from gateway import store
from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.dialects.base import Verb
from gateway.edge.endpoints import find
from gateway.models import RequestLog
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import resolve
from gateway.relay.entry import Bodies
from gateway.routing.snapshot import model_of

KINDS = ("moved", "converted", "added", "dropped")
# A body this long is shown as it is: its lines would be too many to read.
MOST_BYTES = 1_500_000
_VERBS: dict[str, Verb] = {"count_tokens": "count_tokens", "embed": "embed"}


def way_of(row: RequestLog, bodies: Bodies | None) -> Way | None:
    """The translators of a request, by today's registry; None for dialects not spoken here."""
    if row.client_dialect not in DIALECTS or row.upstream_dialect not in DIALECTS:
        return None
    snapshot = store.load_snapshot()
    route = snapshot.route(row.route) or snapshot.route(row.requested_model)
    target = next((t for t in route.targets if t.id == row.target_id), None) if route else None
    provider = snapshot.providers.get(row.provider)
    model = snapshot.models.get(f"{row.provider}/{row.model}")
    if model is None and provider is not None:
        model = model_of(provider, row.model)
    preset = resolve(row.provider)
    traits = model.traits if model else traits_for(preset.name if preset else "", row.model)
    if route is not None and route.default_max_output is not None:
        traits = msgspec.structs.replace(traits, default_max_output=route.default_max_output)
    edits = (
        (*model.provider.edits, *model.edits) if model else tuple(preset.edits if preset else ())
    )
    return Way(
        client=row.client_dialect,
        upstream=row.upstream_dialect,
        traits=traits,
        edits=(*edits, *(target.edits if target else ())),
        headers=bodies.client_headers if bodies else {},
        request_id=row.request_id,
        created=int(row.started_at.timestamp()),
        model=row.requested_model,
        reasoning_field=route.reasoning_field if route else "reasoning_content",
        verb=verb_of(row),
        endpoint=row.endpoint,
    )


def verb_of(row: RequestLog) -> Verb:
    """What was called, by the name of the path."""
    endpoint = find(row.endpoint)
    return _VERBS.get(endpoint.action, "generate") if endpoint is not None else "generate"


def framings(row: RequestLog, bodies: Bodies) -> tuple[str, str]:
    """How the streams of the upstream and of the client are cut."""
    upstream, client = DIALECTS.get(row.upstream_dialect), DIALECTS.get(row.client_dialect)
    shown = client.framing if client else "sse"
    # Google's clients get an array where they did not ask for events.
    if shown == "sse" and "json" in bodies.response_headers.get("content-type", ""):
        shown = "array"
    return (upstream.framing if upstream else "sse"), shown


def decoded(data: bytes | None) -> Any:
    """A stored body's JSON; None for one that is none, or was cut."""
    if data is None or len(data) > MOST_BYTES:
        return None
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def asked_of(row: RequestLog, bodies: Bodies) -> Any:
    """The client's JSON as its dialect reads it, with what stood in the path; None if unknown."""
    body = decoded(bodies.client_request)
    if body is None or row.passthrough or row.client_dialect not in DIALECTS:
        return body
    return as_read(row.client_dialect, body, row.requested_model, stream=row.stream)


def request_sides(row: RequestLog, bodies: Bodies) -> dict[str, Any]:
    """Client sent, upstream got."""
    sent, got = asked_of(row, bodies), decoded(bodies.upstream_request)
    labels = {
        "left_title": _("Client sent"),
        "left_note": f"{dialect_name(row.client_dialect)} · {size(bodies.client_request)}",
        "right_title": _("Upstream got"),
        "right_note": f"{dialect_name(row.upstream_dialect)} · {size(bodies.upstream_request)}",
    }
    if bodies.upstream_request is None:
        return {**labels, "left_only": sent, "missing": missing("upstream_request", row)}
    if sent is None or got is None:
        return {**labels, "unreadable": _unreadable(bodies, "request")}
    found, told = _request_trace(row, bodies, sent, got)
    adaptations = row.adaptations
    return {**labels, **_sides(found, sent, got, adaptations), "told": told}


def _request_trace(
    row: RequestLog, bodies: Bodies, sent: dict[str, Any], got: dict[str, Any]
) -> tuple[Trace, str]:
    """The marks, and a sentence where they may not be of that very translation."""
    if row.passthrough:
        return compared(sent, got), _("Passed through: both sides speak the same dialect.")
    way = way_of(row, bodies)
    if way is None:
        return Trace({}, {}, complete=False), _(
            "This gateway no longer speaks one of the dialects."
        )
    try:
        found = trace(sent, way.request, visible(sent), {("model",): ("model",)})
    except GatewayError as error:
        told = _("Marks are missing: today's settings refuse this request (%(why)s).")
        return Trace({}, {}, complete=False), told % {"why": error.error.message}
    again = way.request(sent)
    if "model" in got:
        again["model"] = got["model"]
    if again != got:
        return found, _(
            "Settings or tables have changed since: the marks come from translating it again "
            "today, and may differ from that day's in places."
        )
    return found, "" if found.complete else _("A large body: not every value was followed.")


def response_sides(row: RequestLog, bodies: Bodies) -> dict[str, Any]:
    """Upstream answered, client got, of an answer that was not streamed."""
    client = bodies.upstream_response if bodies.same_response else bodies.client_response
    answered, shown = decoded(bodies.upstream_response), decoded(client)
    labels = {
        "left_title": _("Upstream answered"),
        "left_note": f"{dialect_name(row.upstream_dialect)} · {size(bodies.upstream_response)}",
        "right_title": _("Client got"),
        "right_note": f"{dialect_name(row.client_dialect)} · {size(client)}",
    }
    if not bodies.upstream_response:
        return {
            **labels,
            "left_only": None,
            "right_only": shown,
            "missing": missing("upstream_response", row),
        }
    if row.stream and (answered is None or shown is None):
        return {**labels, "streamed": True}
    if answered is None or shown is None:
        return {**labels, "unreadable": _unreadable(bodies, "response")}
    found, told = _response_trace(row, bodies, answered, shown)
    return {**labels, **_sides(found, answered, shown, []), "told": told}


def _response_trace(
    row: RequestLog, bodies: Bodies, answered: dict[str, Any], shown: dict[str, Any]
) -> tuple[Trace, str]:
    if bodies.same_response:
        return compared(answered, shown), _("Passed through as it came.")
    way, asked = way_of(row, bodies), asked_of(row, bodies)
    if way is None or asked is None:
        return Trace({}, {}, complete=False), ""
    try:
        return trace(answered, way.response(asked), visible(answered)), ""
    except (GatewayError, ValueError, TypeError, KeyError, AttributeError):
        # A refusal: its words went through the errors' translation, which is short enough.
        return Trace({}, {}, complete=False), _("An error: it was put into the client's words.")


def _sides(found: Trace, left: Any, right: Any, adaptations: list[Any]) -> dict[str, Any]:
    kept = [row for row in adaptations if isinstance(row, dict)]
    told = notes(found, kept, left, right)
    counts: Counter[str] = Counter()
    for note in told:
        counts[note.kind] += note.times
    return {
        "rows": aligned(lines(left, found.source), lines(right, found.target), found),
        "notes": told,
        "counts": [(kind, counts[kind]) for kind in KINDS if counts[kind]],
        "complete": found.complete,
    }


def _unreadable(bodies: Bodies, which: str) -> str:
    cut = [name for name in bodies.truncated if name.endswith(which)]
    if cut:
        return _("Too large to be stored whole, so the two sides can not be compared.")
    return _("Not JSON, so the two sides can not be compared.")
