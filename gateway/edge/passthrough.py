"""Accepts passthrough requests: finds the operation, reads the form, selects the provider.

A body with a model is routed like any other request for that model. Without a model, the
provider is, in this order: the one in a resource id issued by the gateway, the one that the
client names (`x-dragoman-provider` or `?provider=`), the only one that serves the call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS, rerank
from gateway.dialects.base import Dialect
from gateway.edge import admission, batch_file, upload
from gateway.edge.admission import authenticate, find_route
from gateway.framing import multipart
from gateway.framing.multipart import MalformedForm, Part
from gateway.providers import passthrough_catalog
from gateway.providers.passthrough_catalog import Operation
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Deadlines, Exchange, Receive, stop_error
from gateway.relay.exchange.passthrough import PassthroughState
from gateway.relay.passthrough import resource_ids
from gateway.relay.passthrough.batch_guardrails import find_guardrails
from gateway.relay.passthrough.request import provider_path, resolve_owned_id, state_of
from gateway.relay.runtime import Runtime
from gateway.routing.other_models import refuse_other_models
from gateway.routing.snapshot import Provider, Route, Target, may_use, model_of

# Maximum duration of an upload that makes progress.
MAX_UPLOAD_S = 900.0
PROVIDER_HEADER = "x-dragoman-provider"
# Query parameters for the gateway, not sent upstream.
_GATEWAY_PARAMS = frozenset({"provider", "key"})
# Query parameters that contain a resource id issued by the gateway.
_CURSOR_PARAMS = frozenset({"after", "before", "after_id", "before_id"})
# The page size for lists of which only the key's own items are returned.
_MAX_PAGE_SIZE = {
    "files": "10000",
    "batches": "100",
    "anthropic/files": "1000",
    "anthropic/batches": "1000",
}
_DIALECTS: dict[str, Dialect] = {**DIALECTS, rerank.NAME: rerank.DIALECT}
_PATH = re.compile(r"^/(?:anthropic(?=/))?/?(?:(?P<version>v[12])/)?(?P<rest>.*?)/?$", re.DOTALL)


def has_operation(path: str) -> bool:
    """Whether any operation exists at a path; `path` may be anything, also no path."""
    if not path.startswith("/"):
        return False
    operation_path = _split_version(path)[1]
    return any(
        passthrough_catalog.match_path(operation.path, operation_path) is not None
        for operation in passthrough_catalog.OPERATIONS
    )


def _split_version(path: str) -> tuple[str, str]:
    match = _PATH.match(path)
    assert match is not None
    return match["version"] or "v1", match["rest"]


def begin_call(exchange: Exchange, path: str, method: str) -> None:
    """Set the operation of a new call; none if the path does not allow the method."""
    version, operation_path = _split_version(path)
    is_anthropic = "anthropic-version" in exchange.headers or path.startswith("/anthropic/")
    dialect = "anthropic_messages" if is_anthropic else "openai_chat"
    operation, resource_id, allowed_methods = passthrough_catalog.find_operation(
        method, operation_path, dialect
    )
    exchange.passthrough_state = PassthroughState(operation, allowed_methods, version)
    exchange.passthrough_state.resource_id = resource_id
    if operation is None:
        return
    exchange.dialect = _DIALECTS[operation.dialect]
    exchange.free_of_charge = operation.free_of_charge
    label = f"/{version}/{operation.path}"
    exchange.endpoint = label if operation.model else f"{method} {label}"


async def accept_call(
    runtime: Runtime,
    exchange: Exchange,
    scope: Mapping[str, Any],
    receive: Receive,
    deadlines: Deadlines,
) -> None:
    """Check a call before any target is tried. Raises GatewayError, ClientGone."""
    assert exchange.passthrough_state is not None
    if exchange.passthrough_state.operation is None:
        allowed_methods = exchange.passthrough_state.allowed_methods
        message = f"{scope['method']} is not allowed here; use {allowed_methods}"
        raise GatewayError(Error(kind="method_not_allowed", message=message))
    state, operation = state_of(exchange)
    exchange.key = authenticate(runtime, exchange.snapshot, scope["headers"], exchange.query)
    state.owner_key_id = exchange.key.id if exchange.key is not None and exchange.key.id else None
    if operation.body_type != "none":
        await _read_body(runtime, exchange, receive, deadlines)
        size = len(exchange.body)
        await offload.run(
            size, refuse_other_models, exchange.snapshot, exchange.key, exchange.fields
        )
    if operation.family == "rerank":
        state.rerank_format = rerank.format_of(exchange.fields, state.version)
    query = dict(parse_qsl(exchange.query.decode("latin-1")))
    provider_name = exchange.headers.get(PROVIDER_HEADER) or query.get("provider", "")
    if operation.model and exchange.model:
        exchange.route = route_for_model(exchange, operation)
    elif operation.batch_model_path:
        exchange.route = await offload.run(
            len(exchange.body), _route_for_models, exchange, operation
        )
    else:
        batch_part = batch_file.find_batch_part(exchange)
        if batch_part is not None and not provider_name:
            provider_name = await batch_file.infer_provider(exchange, batch_part)
        provider = _resolve_provider(runtime, exchange, provider_name)
        exchange.route = _route_to_provider(exchange, provider, operation)
        await batch_file.check_input_file(runtime, exchange, provider)
        names = await find_guardrails(runtime, exchange, provider.name)
        if batch_part is not None:
            names = await batch_file.rename_models(runtime, exchange, batch_part, provider)
        if names:
            exchange.route = msgspec.structs.replace(exchange.route, guardrails=names)
    _set_query(runtime, exchange, query)


# --- the body -----------------------------------------------------------------------------


async def _read_body(
    runtime: Runtime, exchange: Exchange, receive: Receive, deadlines: Deadlines
) -> None:
    state, operation = state_of(exchange)
    content_type = exchange.headers.get("content-type", "")
    is_form = content_type.lower().lstrip().startswith("multipart/")
    if is_form and operation.body_type == "json":
        raise invalid(f"{exchange.endpoint} requires a JSON body, not a form")
    if not is_form and operation.body_type == "form":
        raise invalid(f"{exchange.endpoint} requires a form (multipart/form-data), not JSON")
    config = runtime.config

    deadline = time.monotonic() + MAX_UPLOAD_S

    async def receive_before_deadline() -> dict[str, Any]:
        message = await receive()
        if time.monotonic() > deadline:
            raise GatewayError(stop_error("body"))
        deadlines.reset()  # a large upload may take long, as long as it makes progress
        return message

    if not is_form:
        count = partial(admission.count_large_body, runtime, exchange)
        exchange.body = await admission.read_body(
            receive, exchange.headers, config.max_body_bytes, count
        )
        if exchange.body or operation.path_suffix == "":
            exchange.fields = await admission.decode_body(exchange.body)
        exchange.model = admission.field_value(exchange.fields, "model", str, default="")
        exchange.stream = bool(
            admission.field_value(exchange.fields, "stream", bool, default=False)
        )
        if exchange.path_model:
            exchange.model = exchange.path_model
            exchange.fields["model"] = msgspec.Raw(msgspec.json.encode(exchange.model))
            exchange.body = msgspec.json.encode(exchange.fields)
        return
    boundary = multipart.parse_boundary(content_type)
    if boundary is None:
        raise invalid("the content type of the form has no boundary", "content-type")
    limit, declared_length = config.max_upload_bytes, exchange.headers.get("content-length", "")
    size = min(int(declared_length), limit) if declared_length.isdigit() else limit
    state.spool = runtime.spools.open(size, state.owner_key_id)
    chunks = admission.read_chunks(receive_before_deadline, exchange.headers, limit)
    state.form = await upload.read_form(chunks, boundary, state.spool)
    if exchange.path_model:
        without_model = [part for part in state.form if part.name != "model"]
        state.form = [*without_model, Part(name="model", data=exchange.path_model.encode())]
    state.boundary = boundary
    try:
        _load_form_fields(exchange, state.form)
    except MalformedForm as error:
        raise upload.malformed_form(error) from None


def release_spool(exchange: Exchange) -> None:
    """Close the spool that `accept_call` opened for a form."""
    if exchange.passthrough_state is not None and exchange.passthrough_state.spool is not None:
        exchange.passthrough_state.spool.close()


def _load_form_fields(exchange: Exchange, form: list[Part]) -> None:
    """Store the fields as a JSON body for routing, limits and the log; of files only the size."""
    form_fields: dict[str, Any] = {}
    admission.check_case({part.name: None for part in form})
    for part in form:
        if part.filename is None and part.name in {"model", "stream"} and part.name in form_fields:
            raise invalid(f"{part.name} appears twice", part.name)
        value: Any
        if part.filename is not None or part.stored_range is not None:
            value = {
                "filename": part.filename,
                "content_type": part.content_type,
                "bytes": part.size,
            }
        else:
            value = part.text
        if part.name in form_fields:
            previous_value = form_fields[part.name]
            form_fields[part.name] = [
                *(previous_value if isinstance(previous_value, list) else [previous_value]),
                value,
            ]
        else:
            form_fields[part.name] = value
    model = form_fields.get("model", "")
    if not isinstance(model, str):
        raise invalid("model must be a plain field of the form", "model")
    exchange.model = model
    exchange.stream = form_fields.get("stream") in {"true", "True", "1"}
    exchange.body = msgspec.json.encode(form_fields)
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])


# --- the provider -------------------------------------------------------------------------


def route_for_model(exchange: Exchange, operation: Operation) -> Route:
    """The route of the model with the targets that have the operation. Raises GatewayError."""
    route = find_route(exchange.snapshot, exchange.key, exchange.model)
    targets = tuple(t for t in route.targets if provider_path(t.model.provider, operation.family))
    if not targets:
        provider_names = (
            ", ".join(dict.fromkeys(t.model.provider.name for t in route.targets)) or "nobody"
        )
        message = (
            f"the model `{exchange.model[:200]}` is served by {provider_names}, which does not "
            f"support {operation.family}; {_provider_hint(exchange, operation.family)}"
        )
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    return msgspec.structs.replace(route, targets=targets)


def _route_for_models(exchange: Exchange, operation: Operation) -> Route:
    """The route of a batch, whose models must share a provider; rewrites their names to its own."""
    list_field, params_field = operation.batch_model_path
    try:
        requests = msgspec.json.decode(exchange.fields.get(list_field, b"null"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"{list_field} cannot be parsed: {error}", list_field) from None
    if not isinstance(requests, list) or not requests:
        raise invalid(f"{list_field} is required and must be a list", list_field)
    first_target: Target | None = None
    provider_models: dict[str, str] = {}
    guardrails: set[str] = set()
    for index, request in enumerate(requests):
        prefix = f"{list_field}[{index}].{params_field}."
        param = f"{prefix}model"
        params = request.get(params_field) if isinstance(request, dict) else None
        model = params.get("model") if isinstance(params, dict) else None
        if not isinstance(model, str) or not isinstance(params, dict):
            raise invalid(f"{param} is required: the name of a route or `provider/model`", param)
        admission.check_case(params)
        refuse_other_models(exchange.snapshot, exchange.key, params, prefix)
        if model not in provider_models:
            exchange.model = exchange.model or model
            guardrails.update(find_route(exchange.snapshot, exchange.key, model, param).guardrails)
            target = _resolve_target(exchange, operation, model, first_target, param)
            first_target = first_target or target
            provider_models[model] = target.model.name
        params["model"] = provider_models[model]
    assert first_target is not None
    exchange.fields[list_field] = msgspec.Raw(msgspec.json.encode(requests))
    return Route(
        id=0,
        name=exchange.model,
        targets=(first_target,),
        retries=0,
        guardrails=tuple(sorted(guardrails)),
    )


def _resolve_target(
    exchange: Exchange, operation: Operation, model: str, first_target: Target | None, param: str
) -> Target:
    route = find_route(exchange.snapshot, exchange.key, model, param)
    targets = [t for t in route.targets if provider_path(t.model.provider, operation.family)]
    if first_target is not None:
        provider_name = first_target.model.provider.name
        targets = [t for t in targets if t.model.provider.name == provider_name]
        if not targets:
            raise invalid(
                f"{param}: `{model[:200]}` is not served by {provider_name}, which serves the "
                "first model of the batch",
                param,
            )
    if not targets:
        message = f"{param}: `{model[:200]}` has no target whose provider supports this endpoint"
        raise invalid(f"{message}; {_provider_hint(exchange, operation.family)}", param)
    return targets[0]


def _resolve_provider(runtime: Runtime, exchange: Exchange, provider_name: str) -> Provider:
    """The provider of a call that names no model. Raises GatewayError."""
    state, operation = state_of(exchange)
    resource_id, param = state.resource_id, "id"
    if "input_file_id" in exchange.fields:
        param = "input_file_id"
        resource_id = admission.field_value(exchange.fields, param, str, default=None)
        if resource_id is None:
            raise invalid("input_file_id must be a string", param)
    if resource_id and (
        state.owner_key_id is not None or resource_ids.decode_id(resource_id, runtime.config.pepper)
    ):
        handle = resolve_owned_id(runtime, exchange, resource_id, param)
        provider_name, resource_id = handle.provider, handle.id
    elif resource_id and not resource_ids.PROVIDER_ID.fullmatch(resource_id):
        raise GatewayError(Error(kind="not_found", message="there is no such ID", param=param))
    if param == "id":
        state.resource_id = resource_id
    else:
        exchange.fields["input_file_id"] = msgspec.Raw(msgspec.json.encode(resource_id))
    return (
        _provider_by_name(exchange, operation, provider_name)
        if provider_name
        else _only_provider(runtime, exchange, operation)
    )


def _provider_by_name(exchange: Exchange, operation: Operation, provider_name: str) -> Provider:
    provider = exchange.snapshot.providers.get(provider_name)
    if provider is None:
        hint = _provider_hint(exchange, operation.family)
        message = f"there is no provider `{provider_name[:80]}`; {hint}"
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    if provider_path(provider, operation.family) is None:
        message = (
            f"the provider {provider_name} does not support {operation.family}; "
            f"{_provider_hint(exchange, operation.family)}"
        )
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    return provider


def _only_provider(runtime: Runtime, exchange: Exchange, operation: Operation) -> Provider:
    providers = _providers_with(exchange, operation.family)
    if len(providers) == 1:
        return providers[0]
    default_name = runtime.config.default_provider
    for provider in providers:
        if provider.name == default_name:
            return provider
    if not providers:
        message = (
            f"no configured provider supports {operation.family}; "
            f"{_provider_hint(exchange, operation.family)}"
        )
        raise GatewayError(Error(kind="not_found", message=message, param="provider"))
    names = ", ".join(provider.name for provider in providers)
    hint = " or give a `model`" if operation.model else ""
    message = (
        f"several providers support {operation.family}: {names}; name one with `?provider=NAME`, "
        f"the header `{PROVIDER_HEADER}` or the setting DRAGOMAN_DEFAULT_PROVIDER{hint}"
    )
    if resource_id := state_of(exchange)[0].resource_id:
        message = f"the gateway has no `{resource_id[:100]}`; for the ID of a provider: {message}"
        raise GatewayError(Error(kind="not_found", message=message, param="id"))
    raise invalid(message, "provider")


def _providers_with(exchange: Exchange, family: str) -> list[Provider]:
    providers = sorted(exchange.snapshot.providers.values(), key=lambda p: p.name)
    return [provider for provider in providers if provider_path(provider, family) is not None]


def _provider_hint(exchange: Exchange, family: str) -> str:
    """A hint for a refusal: the configured providers with this family, or vendors that have it."""
    names = [provider.name for provider in _providers_with(exchange, family)]
    if names:
        return f"these configured providers support it: {', '.join(names)}"
    vendors = [
        name for name, paths in passthrough_catalog.PASSTHROUGH_PATHS.items() if family in paths
    ]
    return f"add a provider that supports it ({', '.join(vendors[:8])})"


def _route_to_provider(exchange: Exchange, provider: Provider, operation: Operation) -> Route:
    """A route to one provider without a model; a restricted key needs permission for its name."""
    operation_name = operation.family.rpartition("/")[2]
    target = Target(id=0, model=model_of(provider, operation_name))
    route = Route(id=0, name=f"{provider.name}/{operation_name}", targets=(target,), retries=0)
    if exchange.key is not None and not may_use(exchange.key, route):
        message = (
            f"this API key may not use {operation_name} of {provider.name}; allow it `{route.name}`"
        )
        raise GatewayError(Error(kind="not_allowed", message=message))
    return route


def _set_query(runtime: Runtime, exchange: Exchange, query: dict[str, str]) -> None:
    """Set the query to send upstream, with the provider's own ids as cursors."""
    state, operation = state_of(exchange)
    params = {name: value for name, value in query.items() if name not in _GATEWAY_PARAMS}
    for name in _CURSOR_PARAMS & params.keys():
        if state.owner_key_id is not None or resource_ids.decode_id(
            params[name], runtime.config.pepper
        ):
            params[name] = resolve_owned_id(runtime, exchange, params[name], name).id
    listing = operation.has_resource_ids and operation.method == "GET" and not operation.path_suffix
    if listing and state.owner_key_id is not None:
        # Items of other keys are filtered out of the response, so request the largest page.
        params["limit"] = _MAX_PAGE_SIZE[operation.family]
    state.query = tuple(params.items())
