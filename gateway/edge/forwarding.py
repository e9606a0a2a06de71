"""Lets in what is passed on as it is: finds the operation, reads the form, picks the provider.

A body that names a model goes where any request for it goes. Without one the provider is,
in this order: the one that an id of ours names, the one that the client names (`?provider=`
or `x-dragoman-provider`), the only one that serves the call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS, rerank
from gateway.dialects.base import Dialect
from gateway.edge import batch_file, upload
from gateway.edge import body as request_body
from gateway.edge.admit import admit, find_route, may_use
from gateway.framing import multipart
from gateway.framing.multipart import Malformed, Part
from gateway.providers import offers
from gateway.providers.offers import Operation
from gateway.relay import handles
from gateway.relay.call import Call
from gateway.relay.forward import owned, path_of, state_of
from gateway.relay.forwarded import Forwarded
from gateway.relay.reply import stopped
from gateway.relay.runtime import Runtime
from gateway.relay.watch import Receive, Watch
from gateway.routing.snapshot import Provider, Route, Target, model_of

# How long a form may take to arrive, as long as something of it comes.
UPLOAD_S = 900.0
PROVIDER_HEADER = "x-dragoman-provider"
# Parameters that are the gateway's and not the upstream's.
_OWN = frozenset({"provider", "key"})
# Parameters that hold an id of ours.
_CURSORS = frozenset({"after", "before", "after_id", "before_id"})
# How much is asked for where only a key's own part of a list is shown.
_MOST = {"files": "10000", "batches": "100", "anthropic/files": "1000", "anthropic/batches": "1000"}
_DIALECTS: dict[str, Dialect] = {**DIALECTS, rerank.NAME: rerank.DIALECT}
_PATH = re.compile(r"^/(?:anthropic(?=/))?/?(?:(?P<version>v[12])/)?(?P<rest>.*?)/?$", re.DOTALL)


def found(path: str) -> bool:
    """Whether there is any operation at a path."""
    rest = _rest(path)[1]
    return any(offers.match(one.path, rest) is not None for one in offers.OPERATIONS)


def _rest(path: str) -> tuple[str, str]:
    match = _PATH.match(path)
    assert match is not None
    return match["version"] or "v1", match["rest"]


def begin(call: Call, path: str, method: str) -> None:
    """Make a fresh call one of an operation, or of none if the method is not allowed."""
    version, rest = _rest(path)
    asks = "anthropic-version" in call.headers or path.startswith("/anthropic/")
    dialect = "anthropic_messages" if asks else "openai_chat"
    operation, id_, allowed = offers.find(method, rest, dialect)
    call.forwarded = Forwarded(operation, allowed, version)
    call.forwarded.id = id_
    if operation is None:
        return
    call.dialect = _DIALECTS[operation.dialect]
    label = f"/{version}/{operation.path}"
    call.endpoint = label if operation.model else f"{method} {label}"


async def admit_call(
    runtime: Runtime, call: Call, scope: Mapping[str, Any], receive: Receive, watch: Watch
) -> None:
    """All that is refused before any target is tried. Raises GatewayError, ClientGone."""
    assert call.forwarded is not None
    if call.forwarded.operation is None:
        message = f"{scope['method']} is not allowed here; use {call.forwarded.allowed}"
        raise GatewayError(Error(kind="method_not_allowed", message=message))
    state, operation = state_of(call)
    call.key = admit(runtime, call.snapshot, scope["headers"], call.query)
    state.owner = call.key.id if call.key is not None and call.key.id else None
    if operation.takes != "none":
        await _read(runtime, call, receive, watch)
    if operation.family == "rerank":
        state.shape = rerank.shape_of(call.fields, state.version)
    query = dict(parse_qsl(call.query.decode("latin-1")))
    named = call.headers.get(PROVIDER_HEADER) or query.get("provider", "")
    if operation.model and call.model:
        call.route = _of_model(call, operation)
    elif operation.models_at:
        call.route = _of_models(call, operation)
    else:
        lines = batch_file.of_call(call)
        if lines is not None and not named:
            named = await batch_file.provider_of(call, lines)
        provider = _provider(runtime, call, named)
        call.route = _alone(call, provider, operation)
        if lines is not None:
            await batch_file.rename(runtime, call, lines, provider)
    _query(runtime, call, query)


# --- the body -----------------------------------------------------------------------------


async def _read(runtime: Runtime, call: Call, receive: Receive, watch: Watch) -> None:
    state, operation = state_of(call)
    kind = call.headers.get("content-type", "")
    form = kind.lower().lstrip().startswith("multipart/")
    if form and operation.takes == "json":
        raise invalid(f"{call.endpoint} takes a JSON body, not a form")
    if not form and operation.takes == "form":
        raise invalid(f"{call.endpoint} takes a form (multipart/form-data), not JSON")
    config = runtime.config

    ends = time.monotonic() + UPLOAD_S

    async def patient() -> dict[str, Any]:
        message = await receive()
        if time.monotonic() > ends:
            raise GatewayError(stopped("body"))
        watch.touch()  # what is large may take its time, as long as something comes
        return message

    if not form:
        call.body = await request_body.read(receive, call.headers, config.max_body_bytes)
        if call.body or operation.rest == "":
            call.fields = request_body.decode(call.body)
        call.model = request_body.field(call.fields, "model", str, default="")
        call.stream = bool(request_body.field(call.fields, "stream", bool, default=False))
        return
    boundary = multipart.boundary_of(kind)
    if boundary is None:
        raise invalid("the content type of the form names no boundary", "content-type")
    limit, declared = config.max_upload_bytes, call.headers.get("content-length", "")
    size = min(int(declared), limit) if declared.isdigit() else limit
    state.spool = runtime.spools.open(size)
    body = request_body.pieces(patient, call.headers, limit)
    state.form = await upload.read(body, boundary, state.spool)
    state.boundary = boundary
    try:
        _read_form(call, state.form)
    except Malformed as error:
        raise upload.refused(error) from None


def release(call: Call) -> None:
    """Give back what `admit_call` took for the form."""
    if call.forwarded is not None and call.forwarded.spool is not None:
        call.forwarded.spool.close()


def _read_form(call: Call, form: list[Part]) -> None:
    """The plain fields, as a body to route, limit and log by: of files the length alone."""
    shown: dict[str, Any] = {}
    for part in form:
        if part.filename is None and part.name in {"model", "stream"} and part.name in shown:
            raise invalid(f"{part.name} is given twice", part.name)
        value: Any
        if part.filename is not None or part.kept is not None:
            value = {"filename": part.filename, "content_type": part.kind, "bytes": part.size}
        else:
            value = part.text
        if part.name in shown:
            before = shown[part.name]
            shown[part.name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            shown[part.name] = value
    model = shown.get("model", "")
    if not isinstance(model, str):
        raise invalid("model must be a plain field of the form", "model")
    call.model = model
    call.stream = shown.get("stream") in {"true", "True", "1"}
    call.body = msgspec.json.encode(shown)
    call.fields = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])


# --- who answers --------------------------------------------------------------------------


def _of_model(call: Call, operation: Operation) -> Route:
    route = find_route(call.snapshot, call.key, call.model)
    able = tuple(t for t in route.targets if path_of(t.model.provider, operation.family))
    if not able:
        at = ", ".join(dict.fromkeys(t.model.provider.name for t in route.targets)) or "nobody"
        message = (
            f"the model `{call.model[:200]}` is at {at}, which has no {operation.family}; "
            f"{_offering(call, operation.family)}"
        )
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    return msgspec.structs.replace(route, targets=able)


def _of_models(call: Call, operation: Operation) -> Route:
    """The provider of the models in a batch, which must be one; each gets its name there."""
    outer, inner = operation.models_at
    items = msgspec.json.decode(call.fields.get(outer, b"null"))
    if not isinstance(items, list) or not items:
        raise invalid(f"{outer} is required: give a list", outer)
    chosen: Target | None = None
    names: dict[str, str] = {}
    for place, item in enumerate(items):
        at = f"{outer}[{place}].{inner}.model"
        params = item.get(inner) if isinstance(item, dict) else None
        model = params.get("model") if isinstance(params, dict) else None
        if not isinstance(model, str) or not isinstance(params, dict):
            raise invalid(f"{at} is required: the name of a route or `provider/model`", at)
        if model not in names:
            call.model = call.model or model
            target = _target(call, operation, model, chosen, at)
            chosen = chosen or target
            names[model] = target.model.name
        params["model"] = names[model]
    assert chosen is not None
    call.fields[outer] = msgspec.Raw(msgspec.json.encode(items))
    return Route(id=0, name=call.model, targets=(chosen,), retries=0)


def _target(call: Call, operation: Operation, model: str, chosen: Target | None, at: str) -> Target:
    route = find_route(call.snapshot, call.key, model)
    able = [t for t in route.targets if path_of(t.model.provider, operation.family)]
    if chosen is not None:
        here = chosen.model.provider.name
        able = [t for t in able if t.model.provider.name == here]
        if not able:
            raise invalid(
                f"{at}: `{model[:200]}` is not at {here}, where the first of the batch is", at
            )
    if not able:
        why = f"{at}: `{model[:200]}` is at no provider with this call"
        raise invalid(f"{why}; {_offering(call, operation.family)}", at)
    return able[0]


def _provider(runtime: Runtime, call: Call, named: str) -> Provider:
    """The provider of a call that names no model. Raises GatewayError."""
    state, operation = state_of(call)
    text, param = state.id, "id"
    if raw := call.fields.get("input_file_id"):
        text, param = msgspec.json.decode(raw), "input_file_id"
        if not isinstance(text, str):
            raise invalid("input_file_id must be a string", param)
    if text and (state.owner is not None or handles.unwrapped(text, runtime.config.pepper)):
        handle = owned(runtime, call, text, param)
        named, text = handle.provider, handle.id
    elif text and not handles.FOREIGN.fullmatch(text):
        raise GatewayError(Error(kind="not_found", message="there is no such id", param=param))
    if param == "id":
        state.id = text
    else:
        call.fields["input_file_id"] = msgspec.Raw(msgspec.json.encode(text))
    return _named(call, operation, named) if named else _only(call, operation)


def _named(call: Call, operation: Operation, named: str) -> Provider:
    provider = call.snapshot.providers.get(named)
    if provider is None:
        message = f"there is no provider `{named[:80]}`; {_offering(call, operation.family)}"
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    if path_of(provider, operation.family) is None:
        message = (
            f"the provider {named} has no {operation.family}; {_offering(call, operation.family)}"
        )
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    return provider


def _only(call: Call, operation: Operation) -> Provider:
    able = _able(call, operation.family)
    if len(able) == 1:
        return able[0]
    if not able:
        message = f"no provider here has {operation.family}; {_offering(call, operation.family)}"
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    names = ", ".join(provider.name for provider in able)
    hint = " or give a `model`" if operation.model else ""
    raise invalid(
        f"several providers have {operation.family}: {names}; name one with `?provider=NAME` "
        f"or the header `{PROVIDER_HEADER}`{hint}",
        "provider",
    )


def _able(call: Call, family: str) -> list[Provider]:
    providers = sorted(call.snapshot.providers.values(), key=lambda p: p.name)
    return [provider for provider in providers if path_of(provider, family) is not None]


def _offering(call: Call, family: str) -> str:
    """What to do, for a refusal: the providers here that could, or those that would."""
    names = [provider.name for provider in _able(call, family)]
    if names:
        return f"these providers here have it: {', '.join(names)}"
    known = [name for name, offered in offers.OFFERS.items() if family in offered]
    return f"add a provider that has it ({', '.join(known[:8])})"


def _alone(call: Call, provider: Provider, operation: Operation) -> Route:
    """The way to one provider without a model; a key with routes needs this one among them."""
    what = operation.family.rpartition("/")[2]
    target = Target(id=0, model=model_of(provider, what))
    route = Route(id=0, name=f"{provider.name}/{what}", targets=(target,), retries=0)
    if call.key is not None and not may_use(call.key, route):
        message = f"this API key may not use {what} of {provider.name}; allow it `{route.name}`"
        raise GatewayError(Error(kind="not_allowed", message=message))
    return route


def _query(runtime: Runtime, call: Call, query: dict[str, str]) -> None:
    """The parameters to send on, with the provider's own ids as cursors."""
    state, operation = state_of(call)
    sent = {name: value for name, value in query.items() if name not in _OWN}
    for name in _CURSORS & sent.keys():
        if state.owner is not None or handles.unwrapped(sent[name], runtime.config.pepper):
            sent[name] = owned(runtime, call, sent[name], name).id
    listing = operation.ids and operation.method == "GET" and not operation.rest
    if listing and state.owner is not None:
        # Others' things are left out of the answer, so there may be few of the key's in it.
        sent["limit"] = _MOST[operation.family]
    state.query = tuple(sent.items())
