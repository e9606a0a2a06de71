"""The Translation tab: both sides of a request or a response, traced and aligned."""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.dialects import with_path_fields
from console.pages.requests.labels import dialect_name, missing_body_reason, size_label
from console.tracing.changes import Trace, compare_bodies
from console.tracing.diff_lines import unfolded_leaves
from console.tracing.notes import ApiNames
from console.tracing.sides import compare_sides
from console.tracing.tracer import trace
from console.tracing.translation_path import TranslationPath
from gateway import store
from gateway.canon.errors import GatewayError
from gateway.canon.json_values import decode_or_none
from gateway.dialects import DIALECTS
from gateway.dialects.base import Verb
from gateway.edge.endpoints import find_endpoint
from gateway.models import RequestLog
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import resolve_preset
from gateway.relay.exchange.log_record import Bodies
from gateway.routing.snapshot import model_of

# Longer bodies are not compared, as they have too many lines to read.
MAX_BYTES = 1_500_000
_VERBS: dict[str, Verb] = {"count_tokens": "count_tokens", "embed": "embed"}


def translators_of(row: RequestLog, bodies: Bodies | None) -> TranslationPath | None:
    """Return the translators of a request by the current registry; None for unknown dialects."""
    if row.client_dialect not in DIALECTS or row.upstream_dialect not in DIALECTS:
        return None
    snapshot = store.current_snapshot()
    route = snapshot.route(row.route) or snapshot.route(row.requested_model)
    target = next((t for t in route.targets if t.id == row.target_id), None) if route else None
    provider = snapshot.providers.get(row.provider)
    model = snapshot.models.get(f"{row.provider}/{row.model}")
    if model is None and provider is not None:
        model = model_of(provider, row.model)
    preset = resolve_preset(row.provider)
    traits = model.traits if model else traits_for(preset.name if preset else "", row.model)
    if route is not None and route.default_max_output is not None:
        max_output = route.default_max_output
        traits = msgspec.structs.replace(
            traits, default_max_output=max_output, agent_max_output=max_output
        )
    edits = (
        (*model.provider.edits, *model.edits) if model else tuple(preset.edits if preset else ())
    )
    return TranslationPath(
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
    """The operation of a row; `generate` also for requests of the gateway itself."""
    path = row.endpoint.rpartition(" ")[2]
    endpoint = find_endpoint(path) if path.startswith("/") else None
    return _VERBS.get(endpoint.action, "generate") if endpoint is not None else "generate"


def framings(row: RequestLog, bodies: Bodies) -> tuple[str, str]:
    """Return the framing of the upstream's and the client's stream."""
    upstream, client = DIALECTS.get(row.upstream_dialect), DIALECTS.get(row.client_dialect)
    client_framing = client.framing if client else "sse"
    # Gemini clients get an array unless they ask for SSE.
    if client_framing == "sse" and "json" in bodies.response_headers.get("content-type", ""):
        client_framing = "array"
    return (upstream.framing if upstream else "sse"), client_framing


def decode_body(data: bytes | None) -> Any:
    """Return a stored body as an object; None if it is not one, or was truncated."""
    if data is None or len(data) > MAX_BYTES:
        return None
    body = decode_or_none(data)
    return body if isinstance(body, dict) else None


def client_request_of(row: RequestLog, bodies: Bodies) -> Any:
    """Return the client's JSON with the fields of its path; None if it cannot be read."""
    body = decode_body(bodies.client_request)
    if body is None or row.passthrough or row.client_dialect not in DIALECTS:
        return body
    return with_path_fields(row.client_dialect, body, row.requested_model, stream=row.stream)


def _side_note(dialect: str, body: bytes | None) -> str:
    """Return the dialect and the body size of one side."""
    return f"{dialect_name(dialect)} · {size_label(body)}"


def api_names(row: RequestLog) -> ApiNames:
    """Names of the two APIs of a request."""
    return ApiNames(dialect_name(row.client_dialect), dialect_name(row.upstream_dialect))


def request_sides(row: RequestLog, bodies: Bodies, *, losses_only: bool = False) -> dict[str, Any]:
    """Compare the client's request with the upstream's."""
    client_request, upstream_request = (
        client_request_of(row, bodies),
        decode_body(bodies.upstream_request),
    )
    labels = {
        "left_title": _("Client sent"),
        "left_note": _side_note(row.client_dialect, bodies.client_request),
        "right_title": _("Upstream received"),
        "right_note": _side_note(row.upstream_dialect, bodies.upstream_request),
    }
    if bodies.upstream_request is None:
        return {
            **labels,
            "left_only": client_request,
            "missing": missing_body_reason("upstream_request", row),
        }
    if client_request is None or upstream_request is None:
        return {**labels, "unreadable": _truncation_notice(bodies, "request")}
    request_trace, notice = _request_trace(row, bodies, client_request, upstream_request)
    return {
        **labels,
        **compare_sides(
            request_trace,
            client_request,
            upstream_request,
            row.adaptations,
            api_names(row),
            losses_only=losses_only,
        ),
        "notice": notice,
    }


def _request_trace(
    row: RequestLog,
    bodies: Bodies,
    client_request: dict[str, Any],
    upstream_request: dict[str, Any],
) -> tuple[Trace, str]:
    """Return the trace, and a notice if it may differ from the original translation."""
    if row.passthrough:
        return compare_bodies(client_request, upstream_request), _(
            "Passthrough: both sides use the same dialect."
        )
    translators = translators_of(row, bodies)
    if translators is None:
        return Trace({}, {}, complete=False), _("One of the dialects is no longer supported.")
    try:
        request_trace = trace(
            client_request,
            translators.translate_request,
            unfolded_leaves(client_request),
            {("model",): ("model",)},
        )
    except GatewayError as error:
        notice = _("Changes are not marked: the current settings reject this request (%(reason)s).")
        return Trace({}, {}, complete=False), notice % {"reason": error.error.message}
    retranslated = translators.translate_request(client_request)
    if "model" in upstream_request:
        retranslated["model"] = upstream_request["model"]
    if retranslated != upstream_request:
        return request_trace, _(
            "Settings have changed since. The marks come from translating the request again "
            "now and may differ from the original translation."
        )
    return request_trace, "" if request_trace.complete else _(
        "Large body: not every value is traced."
    )


def response_sides(row: RequestLog, bodies: Bodies, *, losses_only: bool = False) -> dict[str, Any]:
    """Compare the upstream's response with the client's, unless they were streamed."""
    client = bodies.upstream_response if bodies.same_response else bodies.client_response
    upstream_response, client_response = decode_body(bodies.upstream_response), decode_body(client)
    labels = {
        "left_title": _("Upstream sent"),
        "left_note": _side_note(row.upstream_dialect, bodies.upstream_response),
        "right_title": _("Client received"),
        "right_note": _side_note(row.client_dialect, client),
    }
    if not bodies.upstream_response:
        return {
            **labels,
            "left_only": None,
            "right_only": client_response,
            "missing": missing_body_reason("upstream_response", row),
        }
    if row.stream and (upstream_response is None or client_response is None):
        return {**labels, "streamed": True}
    if upstream_response is None or client_response is None:
        return {**labels, "unreadable": _truncation_notice(bodies, "response")}
    response_trace, notice = _response_trace(row, bodies, upstream_response, client_response)
    return {
        **labels,
        **compare_sides(
            response_trace, upstream_response, client_response, [], losses_only=losses_only
        ),
        "notice": notice,
    }


def _response_trace(
    row: RequestLog,
    bodies: Bodies,
    upstream_response: dict[str, Any],
    client_response: dict[str, Any],
) -> tuple[Trace, str]:
    if bodies.same_response:
        return compare_bodies(upstream_response, client_response), _("Passed through unchanged.")
    translators, client_request = translators_of(row, bodies), client_request_of(row, bodies)
    if translators is None or client_request is None:
        return Trace({}, {}, complete=False), ""
    try:
        return trace(
            upstream_response,
            translators.response_translator(client_request),
            unfolded_leaves(upstream_response),
        ), ""
    except (GatewayError, ValueError, TypeError, KeyError, AttributeError):
        # An error response: the translation of errors is not traced.
        return Trace({}, {}, complete=False), _(
            "Error response, translated to the client's format."
        )


def _truncation_notice(bodies: Bodies, side: str) -> str:
    truncated_names = [name for name in bodies.truncated if name.endswith(side)]
    if truncated_names:
        return _("The body was too large to store completely, so the sides cannot be compared.")
    return _("Not JSON, so the sides cannot be compared.")
