"""Calls that are passed on as they are: pictures, sound, files, batches, rerank.

Targets, limits, retries and the log are the pipeline's, as for any call. What changes on
the way is the model's name, and the ids of things that a provider keeps for a client
(`relay.handles`). A file is neither decoded nor logged; what its call used is read from
the answer (`relay.measure`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS, rerank
from gateway.dialects.base import Rendered
from gateway.framing import multipart
from gateway.framing.multipart import Part
from gateway.providers import edits as profile_edits
from gateway.providers import offers
from gateway.providers.offers import Operation
from gateway.relay import handles
from gateway.relay.call import Call
from gateway.relay.forwarded import Forwarded
from gateway.relay.handles import Handle
from gateway.relay.http1 import Content
from gateway.relay.measure import Measured
from gateway.relay.prepare import Prepared, name_version, passed_headers, refuse_losses
from gateway.relay.spool import Pieces
from gateway.relay.watch import Watch
from gateway.routing.snapshot import Provider, Route, Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# The dialects whose errors have one shape.
_OPENAI = frozenset({"openai_chat", "openai_responses", "openai_completions", "openai_embeddings"})
# Preset -> its shape of a rerank; all others have Jina's.
_SHAPES = {"cohere": "cohere", "voyage": "voyage"}
_OURS = re.compile(rb"[A-Za-z]{1,20}[-_]dgm~[A-Za-z0-9_-]{20,600}")


def state_of(call: Call) -> tuple[Forwarded, Operation]:
    """The forwarded call's state and operation."""
    assert call.forwarded is not None
    assert call.forwarded.operation is not None
    return call.forwarded, call.forwarded.operation


def path_of(provider: Provider, family: str) -> str | None:
    """The path of a family at a provider; None where it does not serve it."""
    return offers.path_of(provider.preset, provider.paths, family)


def prepare(call: Call, route: Route, target: Target) -> Prepared:
    """What to send. Raises GatewayError where the target has no such call."""
    state, operation = state_of(call)
    provider = target.model.provider
    base = path_of(provider, operation.family)
    if base is None:
        message = f"the provider {provider.name} has no {operation.family}"
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    content, report = _content(call, target)
    path = base.replace("{model}", quote(target.model.name, safe="/"))
    state.sent_bytes = len(content)
    path += operation.rest.replace("{id}", quote(state.id, safe=""))
    if state.query:
        path = f"{path}?{urlencode(state.query)}"
    spoken = rerank.DIALECT if operation.family == "rerank" else DIALECTS[provider.dialect]
    alike = spoken.name == call.dialect.name or {spoken.name, call.dialect.name} <= _OPENAI
    if state.shape:
        alike = state.shape == _shape(provider)
    headers = passed_headers(call.headers)
    name_version(headers, call, target)
    prepared = Prepared(
        dialect=spoken,
        content=content,
        path=path,
        headers=headers,
        # A refusal is told in the client's words where the provider has others.
        rendered=None if alike and not report else Rendered(body={}),
        report=tuple(report),
    )
    if route.strict:
        refuse_losses(prepared.report)
    return prepared


def _content(call: Call, target: Target) -> tuple[bytes, list[Adaptation]]:
    state, operation = state_of(call)
    name = target.model.name
    if state.form is not None:
        state.shown = call.body
        return b"", []  # `body_of` has it
    if not call.body:
        return b"", []
    fields, report = dict(call.fields), list[Adaptation]()
    if operation.model and "model" in fields:
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
    if operation.family == "rerank":
        fields, report = rerank.request_out(fields, _shape(target.model.provider))
    if target.edits:
        fields, more = profile_edits.apply_raw(target.edits, fields)
        report += more
    state.shown = msgspec.json.encode(fields)
    return state.shown, report


def _shape(provider: Provider) -> str:
    return _SHAPES.get(provider.preset, "jina")


def _named(part: Part, model: str) -> Part:
    if part.name != "model" or part.filename is not None:
        return part
    return msgspec.structs.replace(part, data=model.encode())


def body_of(
    runtime: Runtime, call: Call, target: Target, prepared: Prepared, watch: Watch
) -> Content:
    """The body to send, with the provider's own ids in it. Raises GatewayError.

    A form that is not in memory is read while it is sent: the upstream has its time for each
    piece of it.
    """
    state = call.forwarded
    if state is None or state.form is None:
        return theirs(runtime, call, target, prepared.content)
    named = state_of(call)[1].model
    parts = [_named(part, target.model.name) if named else part for part in state.form]
    plain = [
        part
        if part.filename is not None or part.kept is not None
        else msgspec.structs.replace(part, data=theirs(runtime, call, target, bytes(part.data)))
        for part in parts
    ]
    pieces = multipart.encode(plain, state.boundary)
    if len(pieces) == 1 and isinstance(pieces[0], bytes):
        state.sent_bytes = len(pieces[0])
        return pieces[0]
    assert state.spool is not None
    body = Pieces(pieces, state.spool, watch.touch)
    state.sent_bytes = body.size
    return body


def method_of(call: Call) -> str:
    """The HTTP method of a call."""
    if call.forwarded is None or call.forwarded.operation is None:
        return "POST"
    return call.forwarded.operation.method


def headers_of(call: Call, headers: httpx.Headers) -> httpx.Headers:
    """The headers with the content type of what is sent; a fresh value where one changes."""
    state = call.forwarded
    if state is None or (state.form is None and call.body):
        return headers
    kept = [(k, v) for k, v in headers.raw if k.lower() not in {b"content-type", b"accept"}]
    kept.append((b"accept", b"*/*"))
    if state.form is not None:
        kind = f'multipart/form-data; boundary="{state.boundary}"'
        kept.append((b"content-type", kind.encode("ascii")))
    return httpx.Headers(kept)


# --- ids of things that a provider keeps --------------------------------------------------

_IDS = ("id", "input_file_id", "output_file_id", "error_file_id", "first_id", "last_id")


def owned(runtime: Runtime, call: Call, text: str, param: str) -> Handle:
    """What an id of ours stands for. Raises GatewayError (404) for one that is not the key's."""
    found = handles.unwrapped(text, runtime.config.pepper)
    state = call.forwarded
    owner = state.owner if state is not None else _owner(call)
    if found is None or (owner is not None and found.owner != owner):
        message = f"there is no `{text[:100]}` here, or it belongs to another API key"
        raise GatewayError(Error(kind="not_found", message=message, param=param))
    return found


def _owner(call: Call) -> int | None:
    return call.key.id if call.key is not None and call.key.id else None


def theirs(runtime: Runtime, call: Call, target: Target, content: bytes) -> bytes:
    """A body with the ids of ours in it as the provider knows them. Raises GatewayError."""
    if not handles.may_hold(content):
        return content
    here = target.model.provider.name

    def named(match: re.Match[bytes]) -> bytes:
        text = match[0].decode("ascii")
        if handles.unwrapped(text, runtime.config.pepper) is None:
            return match[0]
        found = owned(runtime, call, text, "file_id")
        if found.provider != here:
            raise invalid(
                f"`{text[:40]}...` is kept at {found.provider}, but this request goes to {here}; "
                f"upload the file there with `?provider={here}`",
                "file_id",
            )
        return found.id.encode()

    return _OURS.sub(named, content)


def ours(runtime: Runtime, call: Call, provider: str, body: Any) -> Any:
    """An answer with ids of ours in the place of the provider's."""
    state, operation = state_of(call)
    owner = state.owner or 0

    def one(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        out = dict(item)
        for name in _IDS:
            if isinstance(out.get(name), str) and out[name]:
                handle = Handle(provider, owner, out[name])
                out[name] = handles.wrapped(handle, runtime.config.pepper)
        if isinstance(out.get("results_url"), str):
            # Relative: clients join it to their base URL, and send their key nowhere else.
            out["results_url"] = f"/v1/{operation.path.partition('/{')[0]}/{out['id']}/results"
        return out

    shown = one(body)
    if isinstance(shown, dict) and isinstance(shown.get("data"), list):
        shown["data"] = [one(item) for item in shown["data"]]
    return shown


def spoken_characters(call: Call) -> Measured | None:
    """What a call for speech will be billed by where the price is by characters."""
    raw = call.fields.get("input")
    try:
        text = msgspec.json.decode(raw, type=str) if raw is not None else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = None
    return Measured(characters=len(text)) if text is not None else None
