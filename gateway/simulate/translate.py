"""Translation without a call: the upstream request or client response for an example.

Uses the functions of live traffic; ids and times are fixed, so the result is deterministic.
Nothing is sent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon import model_names
from gateway.canon.adaptation import adaptation_rows
from gateway.canon.errors import invalid
from gateway.canon.events import End
from gateway.canon.response import unknown_finish
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, ResponseContext, Verb
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Frame
from gateway.providers.auth import build_auth_headers
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import resolve_preset
from gateway.providers.profile import Preset, Secret
from gateway.providers.redact import scrub
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.run import embeddings
from gateway.relay.translate.choices import split_choices
from gateway.relay.translate.prepare import prepare
from gateway.routing.snapshot import Provider, Route, Snapshot, Target, model_of
from gateway.simulate.inputs import NO_INPUTS, SimulationInputs, apply_inputs, multiple_calls_note

REQUEST_ID = "req_dgm"
RESPONSE_ID = "1"
CREATED = 1_700_000_000
# Placeholder for the client's name of the model, which an example does not have.
VISIBLE_MODEL = {"anthropic_messages": "gw-x"}
OTHER_VISIBLE_MODEL = "up"
# The inputs of an embeddings request; no other request of these clients has them.
_EMBED_FIELDS = frozenset({"input", "inputs", "texts"})


def request(
    source: str,
    target: str,
    body: dict[str, Any],
    headers: dict[str, str],
    model: str,
    stored: dict[str, Any] | None = None,
    inputs: SimulationInputs = NO_INPUTS,
) -> dict[str, Any]:
    """Return the upstream request: body, path, url, headers, report and live traffic's additions.

    A dialect's name may end in a verb: `anthropic_count_tokens`. `stored` are earlier
    responses by id, for a request that continues one.
    `source` and `target` are dialects or presets; a dialect is used as named, even if the
    provider also serves the model in another one. `model` and `stream` are read from the body,
    even for dialects that have them in the path. Raises GatewayError for unknown names and
    for a request that cannot be translated.
    """
    preset = _find_preset(without_verb(target), "to")
    source_name = without_verb(source)
    client = _preset_dialect(_find_preset(source_name, "from"))
    verb: Verb = "generate" if source_name == source else "count_tokens"
    if client.embed_client is not None and not _EMBED_FIELDS.isdisjoint(body):
        verb = "embed"
    exchange = Exchange(
        request_id=REQUEST_ID,
        endpoint="translate",
        verb=verb,
        dialect=client,
        snapshot=Snapshot(version=0),
        headers={name.lower(): value for name, value in headers.items()},
        started=0.0,
    )
    exchange.body = msgspec.json.encode(body)
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    exchange.earlier_responses = stored
    stream_field = body.get("stream")
    exchange.model = str(body.get("model", ""))
    exchange.stream = stream_field is True or (stream_field is None and client.streams_by_default)
    if client.model_in_path:
        exchange.fields = {k: v for k, v in exchange.fields.items() if k not in {"model", "stream"}}
    provider = _placeholder_provider(preset)
    name = model or exchange.model
    if name and (fault := model_names.find_name_fault(name)) is not None:
        raise invalid(f"model is not a valid model name: {fault}", "model")
    upstream = model_of(provider, name)
    if target in DIALECTS and verb == "generate":
        traits = msgspec.structs.replace(
            upstream.traits, responses=False, built_in_tools_in_responses=False
        )
        upstream = msgspec.structs.replace(upstream, traits=traits)
    route_target = Target(id=0, model=upstream)
    route = Route(id=0, name=exchange.model, targets=(route_target,))
    call = Call(exchange)
    live_additions = (
        apply_inputs(call, route, route_target, inputs) if exchange.verb != "embed" else ()
    )
    if exchange.verb == "embed":
        prepared_request = embeddings.prepare(call, route, route_target)
    else:
        choices = split_choices(call, route_target)
        live_additions = (*live_additions, *multiple_calls_note(call, choices))
        prepared_request = prepare(call, route, route_target, choices[0] if choices else None)
    auth_headers = {
        n.decode(): v.decode() for n, v in build_auth_headers(provider.auth, provider.credential)
    }
    url = provider.base_url + prepared_request.path
    if provider.query:
        separator = "&" if "?" in url else "?"
        url += separator + "&".join(f"{n}={v}" for n, v in provider.query)
    return {
        "body": msgspec.json.decode(prepared_request.content),
        "path": prepared_request.path,
        "url": url,
        "headers": {**auth_headers, **prepared_request.headers},
        "report": adaptation_rows(prepared_request.report),
        "passthrough": prepared_request.rendered_request is None,
        "runtime_inputs": [msgspec.to_builtins(addition) for addition in live_additions],
    }


def stream(
    source: str, target: str, frames: list[Any], model: str, *, include_usage: bool = True
) -> dict[str, Any]:
    """Return the client's events for an upstream's frames.

    A frame is an object (data-only SSE), `{"event", "data"}` (named SSE), or a string
    such as `[DONE]`; the string `EOF` stands for the end of the connection.
    """
    preset = _find_preset(source, "from")
    upstream, client = _preset_dialect(preset), _preset_dialect(_find_preset(target, "to"))
    parser = upstream.provider.stream_parser(_stream_traits(preset, model), None)
    context = ResponseContext(
        id=RESPONSE_ID,
        created=CREATED,
        model=VISIBLE_MODEL.get(client.name, OTHER_VISIBLE_MODEL),
        include_usage=include_usage,
    )
    renderer = client.client.stream_renderer(context)
    events = []
    for item in frames:
        if item == "EOF":
            break
        events += parser.feed(_encode_frame(item))
    events += parser.close()
    stream_bytes = b"".join(renderer.feed(event) for event in events)
    finishes = [event.finish for event in events if isinstance(event, End)]
    unknown = [adaptation for finish in finishes for adaptation in unknown_finish(finish)]
    decoder = STREAM_FORMATS[client.framing].new_decoder()
    rendered_frames = [*decoder.feed(stream_bytes), *decoder.close()]
    return {
        "events": [_event_value(frame) for frame in rendered_frames],
        "report": adaptation_rows([*renderer.report, *unknown]),
    }


def error(
    source: str, target: str, status: int, headers: dict[str, str], body: Any
) -> dict[str, Any]:
    """Return the client's error for an upstream's: status, headers, body."""
    upstream, client = (
        _preset_dialect(_find_preset(source, "from")),
        _preset_dialect(_find_preset(target, "to")),
    )
    content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    lower_headers = {name.lower(): value for name, value in headers.items()}
    refusal = upstream.provider.parse_error(status, lower_headers, content)
    refusal = msgspec.structs.replace(refusal, message=scrub(refusal.message))
    reply = client.client.render_error(refusal, REQUEST_ID)
    reply_headers = {"x-request-id": REQUEST_ID, **reply.headers}
    return {"status": reply.status, "headers": reply_headers, "body": reply.body}


def _stream_traits(preset: Preset, model: str) -> Traits:
    """Return the preset's traits for a model; an empty name takes the one in the stream."""
    return msgspec.structs.replace(traits_for(preset.name, model), model=model)


def _encode_frame(item: Any) -> Frame:
    if isinstance(item, str):
        return Frame("", item.encode())
    if isinstance(item, dict) and set(item) == {"event", "data"}:
        return Frame(str(item["event"]), msgspec.json.encode(item["data"]))
    return Frame("", msgspec.json.encode(item))


def _event_value(frame: Frame) -> Any:
    try:
        data = msgspec.json.decode(frame.data)
    except msgspec.MsgspecError:
        data = frame.data.decode()
    return {"event": frame.event, "data": data} if frame.event else data


def without_verb(name: str) -> str:
    """Return the name of the dialect or preset without a suffix for token counting."""
    return name.removesuffix("_count_tokens").removesuffix("_input_tokens")


def _find_preset(name: str, param: str) -> Preset:
    preset = resolve_preset(name)
    if preset is None:
        raise invalid(f"{param}: `{name[:100]}` is neither a dialect nor a provider preset", param)
    return preset


def _preset_dialect(preset: Preset) -> Dialect:
    return DIALECTS[preset.dialect]


def _placeholder_provider(preset: Preset) -> Provider:
    """Return a provider of the preset with placeholders for its credential and account."""
    key = (preset.env[0] if preset.env else "KEY").replace("_API", "")
    return Provider(
        id=0,
        name=preset.name,
        preset=preset.name,
        dialect=preset.dialect,
        base_url=preset.base_url or preset.url_example,
        auth=preset.auth,
        credential=Secret(key),
        headers=preset.headers,
        query=preset.query,
        edits=preset.edits,
        paths=preset.paths,
        model_in_path=preset.model_in_path,
        body=preset.body,
        passthrough=preset.passthrough,
    )
