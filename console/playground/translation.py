"""Shows one run of a column as request and response of any client dialect.

Nothing is sent: the relay's `prepare` renders the request for the target that answered,
and the dialect's renderer converts the stored response.
"""

from __future__ import annotations

from typing import Any

import msgspec

from console.dialects import path_of, title, with_path_fields
from console.playground import client_request
from console.playground.plan import Column
from console.playground.results import ColumnResponse, ReceivedToolCall
from console.tracing.changes import Trace, compare_bodies
from console.tracing.diff_lines import unfolded_leaves
from console.tracing.notes import ApiNames
from console.tracing.sides import compare_sides
from console.tracing.tracer import trace
from console.tracing.translation_path import TranslationPath
from gateway.canon.adaptation import adaptation_rows
from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import Error, GatewayError
from gateway.canon.fold import unfold_response
from gateway.canon.request import Part, Reasoning, Refusal, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, ResponseContext
from gateway.framing.formats import STREAM_FORMATS
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.translate.prepare import prepare
from gateway.routing.snapshot import Route, Snapshot, Target
from gateway.simulate.translate import CREATED, REQUEST_ID, RESPONSE_ID

Json = dict[str, Any]


def translate_response(
    snapshot: Snapshot, dialect: str, column: Column, response: ColumnResponse | None
) -> Json:
    """Client and upstream side of request and response. Raises GatewayError."""
    client = DIALECTS[dialect]
    body, notes = client_request.render_body(
        dialect, client_request.build_request(column, stream=True)
    )
    route, target = _answering_target(snapshot, column.model, response)
    call = _create_call(client, snapshot, body, column.model)
    prepared_request = prepare(call, msgspec.structs.replace(route, strict=False), target)
    upstream_body: Json = msgspec.json.decode(prepared_request.content)
    request_part: Json = {
        "dialect": dialect,
        "client_request": body,
        "client_path": path_of(dialect, column.model, stream=True),
        "dropped_settings": notes,
        "upstream_dialect": prepared_request.dialect.name,
        "target": target.model.label,
        "upstream_path": prepared_request.path,
        "upstream_request": upstream_body,
        "passthrough": prepared_request.rendered_request is None,
        "adaptations": adaptation_rows(prepared_request.report),
    }
    request_part["sides"] = _translation_sides(request_part, route, target)
    return request_part | _stored_response(client, column.model, response)


def _translation_sides(request_part: Json, route: Route, target: Target) -> Json:
    """Both bodies with their changes, for the template of the Translation tab."""
    body, upstream_body = request_part["client_request"], request_part["upstream_request"]
    client, upstream = request_part["dialect"], request_part["upstream_dialect"]
    if request_part["passthrough"]:
        changes = compare_bodies(body, upstream_body)
    else:
        path = TranslationPath(
            client=client,
            upstream=upstream,
            traits=target.model.traits,
            edits=(*target.model.provider.edits, *target.model.edits, *target.edits),
            reasoning_field=route.reasoning_field,
        )
        changes = _trace_request(
            path, with_path_fields(client, body, target.model.name, stream=True)
        )
    return {
        **compare_sides(
            changes,
            body,
            upstream_body,
            request_part["adaptations"],
            ApiNames(title(client), title(upstream)),
        ),
        "left_title": title(client),
        "left_note": request_part["client_path"],
        "right_title": title(upstream),
        "right_note": f"{target.model.label} · {request_part['upstream_path']}",
    }


def _trace_request(path: TranslationPath, body: Json) -> Trace:
    """Changes of the request; none are marked if it cannot be translated again."""
    try:
        return trace(body, path.translate_request, unfolded_leaves(body), {("model",): ("model",)})
    except GatewayError:
        return Trace({}, {}, complete=False)


def _answering_target(
    snapshot: Snapshot, model: str, response: ColumnResponse | None
) -> tuple[Route, Target]:
    """The target that answered if the route still has it, else the first one."""
    route = snapshot.route(model)
    if route is None or not route.targets:
        message = f"the model `{model[:200]}` no longer exists"
        raise GatewayError(Error(kind="not_found", message=message, param="model"))
    attempts = response.attempts if response else []
    answered_labels = {
        a["target"] for a in attempts if not a.get("error_kind") and not a.get("skipped")
    }
    first = min(route.targets, key=lambda target: target.order)
    return route, next((t for t in route.targets if t.model.label in answered_labels), first)


def _create_call(client: Dialect, snapshot: Snapshot, body: Json, model: str) -> Call:
    exchange = Exchange(
        request_id=REQUEST_ID,
        endpoint="translate",
        verb="generate",
        dialect=client,
        snapshot=snapshot,
        headers={},
        started=0.0,
    )
    exchange.body = msgspec.json.encode(body)
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    exchange.model, exchange.stream = model, True
    return Call(exchange)


def _stored_response(client: Dialect, model: str, response: ColumnResponse | None) -> Json:
    """The stored response, complete and as a stream; empty if there is none."""
    if response is None or response.end is None or response.end["status"] != "ok":
        return {"response": None, "response_adaptations": [], "stream": []}
    canonical = _canonical_response(response)
    context = ResponseContext(id=RESPONSE_ID, created=CREATED, model=model, include_usage=True)
    complete_response, report = client.client.render_response(canonical, context)
    renderer = client.client.stream_renderer(context)
    stream_bytes = b"".join(renderer.feed(event) for event in unfold_response(canonical))
    decoder = STREAM_FORMATS[client.framing].new_decoder()
    frames = [*decoder.feed(stream_bytes), *decoder.close()]
    return {
        "response": complete_response,
        "response_adaptations": adaptation_rows(report),
        "stream": [{"event": f.event, "data": f.data.decode()} for f in frames],
    }


def _canonical_response(response: ColumnResponse) -> Response:
    """Canonical response of a stored response, with the unanswered calls of the last round."""
    end: Json = response.end or {}
    parts: list[Part] = []
    if response.reasoning:
        parts.append(Reasoning(text=response.reasoning))
    if response.text:
        parts.append(Text(text=response.text))
    if response.refusal:
        parts.append(Refusal(text=response.refusal))
    parts += [_call_part(call) for call in response.calls if call.result is None]
    usage = Usage(input=end.get("input"), output=end.get("output"), reasoning=end.get("reasoning"))
    finish: Any = end.get("finish") or "stop"
    return Response(parts=tuple(parts), finish=Finish(reason=finish), usage=usage)


def _call_part(call: ReceivedToolCall) -> ToolCall:
    arguments, raw_arguments = parse_arguments(call.arguments)
    return ToolCall(id=call.id, name=call.name, arguments=arguments, raw_arguments=raw_arguments)
