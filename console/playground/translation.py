"""One answer of a run, as a client of another dialect would have asked for it and got it.

Nothing is sent: the request goes through the relay's own `prepare` towards the target
that answered, and the stored answer through the dialect's own renderer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from console.dialects import path_of
from console.playground import wire
from console.playground.columns import Case, Column
from console.playground.takes import Called, Take
from gateway.canon.adaptation import as_report
from gateway.canon.arguments import parsed
from gateway.canon.errors import Error, GatewayError
from gateway.canon.fold import unfold
from gateway.canon.request import Part, Reasoning, Refusal, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, Exchange
from gateway.framing.kinds import CUTS
from gateway.relay.call import Call
from gateway.relay.prepare import prepare
from gateway.relay.translate import ANSWER_ID, CREATED, REQUEST_ID
from gateway.routing.snapshot import Route, Snapshot, Target

Json = dict[str, Any]


def translated(
    snapshot: Snapshot, dialect: str, column: Column, case: Case, take: Take | None
) -> Json:
    """Both sides of request and answer in a dialect. Raises GatewayError."""
    client = DIALECTS[dialect]
    body, notes = wire.rendered(dialect, wire.request(column, case, stream=True))
    route, target = _target(snapshot, column.model, take)
    call = _call(client, snapshot, body, column.model)
    prepared = prepare(call, msgspec.structs.replace(route, strict=False), target)
    told: Json = {
        "dialect": dialect,
        "client_request": body,
        "client_path": path_of(dialect, column.model, stream=True),
        "settings_lost": notes,
        "upstream_dialect": prepared.dialect.name,
        "target": target.model.label,
        "upstream_path": prepared.path,
        "upstream_request": msgspec.json.decode(prepared.content),
        "passthrough": prepared.rendered is None,
        "adaptations": as_report(prepared.report),
    }
    return told | _answer(client, column.model, take)


def _target(snapshot: Snapshot, model: str, take: Take | None) -> tuple[Route, Target]:
    """The target that answered, if the route still has it, else the first."""
    route = snapshot.route(model)
    if route is None or not route.targets:
        message = f"the model `{model[:200]}` does not exist any more"
        raise GatewayError(Error(kind="not_found", message=message, param="model"))
    tries = take.attempts if take else []
    answered = {a["target"] for a in tries if not a.get("error_kind") and not a.get("skipped")}
    first = min(route.targets, key=lambda target: target.order)
    return route, next((t for t in route.targets if t.model.label in answered), first)


def _call(client: Dialect, snapshot: Snapshot, body: Json, model: str) -> Call:
    call = Call(
        request_id=REQUEST_ID,
        endpoint="translate",
        verb="generate",
        dialect=client,
        snapshot=snapshot,
        headers={},
        started=0.0,
    )
    call.body = msgspec.json.encode(body)
    call.fields = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    call.model, call.stream = model, True
    return call


def _answer(client: Dialect, model: str, take: Take | None) -> Json:
    """The stored answer whole and as a stream; nothing where there is none."""
    if take is None or take.end is None or take.end["status"] != "ok":
        return {"response": None, "response_adaptations": [], "stream": []}
    response = _response(take)
    exchange = Exchange(id=ANSWER_ID, created=CREATED, model=model, include_usage=True)
    whole, report = client.client.render_response(response, exchange)
    renderer = client.client.stream_renderer(exchange)
    out = b"".join(renderer.feed(event) for event in unfold(response))
    decoder = CUTS[client.framing].decoder()
    frames = [*decoder.feed(out), *decoder.close()]
    return {
        "response": whole,
        "response_adaptations": as_report(report),
        "stream": [{"event": f.event, "data": f.data.decode()} for f in frames],
    }


def _response(take: Take) -> Response:
    """The canonical answer of a stored one; of a tool loop its last round's calls too."""
    end: Json = take.end or {}
    parts: list[Part] = []
    if take.reasoning:
        parts.append(Reasoning(text=take.reasoning))
    if take.text:
        parts.append(Text(text=take.text))
    if take.refusal:
        parts.append(Refusal(text=take.refusal))
    parts += [_call_part(call) for call in take.calls if call.result is None]
    usage = Usage(input=end.get("input"), output=end.get("output"), reasoning=end.get("reasoning"))
    finish: Any = end.get("finish") or "stop"
    return Response(parts=tuple(parts), finish=Finish(reason=finish), usage=usage)


def _call_part(call: Called) -> ToolCall:
    arguments, raw = parsed(call.arguments)
    return ToolCall(id=call.id, name=call.name, arguments=arguments, raw=raw)
