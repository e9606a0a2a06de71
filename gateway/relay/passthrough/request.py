"""Requests of passthrough endpoints: images, audio, files, batches, rerank.

Targets, limits, retries and the log work as in any other call. The request changes only in
the model's name, and in the ids of resources that a provider stores for a client
(`resource_ids`). Files are neither decoded nor logged; usage is read from
the response (`exchange.passthrough`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from gateway.canon import model_names
from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS, rerank
from gateway.dialects.base import RenderedRequest
from gateway.framing import multipart
from gateway.framing.multipart import Part
from gateway.providers import edits as profile_edits
from gateway.providers import passthrough_catalog
from gateway.providers.passthrough_catalog import Operation
from gateway.relay.exchange.call import Call, Deadlines, Exchange
from gateway.relay.exchange.passthrough import PassthroughState, PassthroughUsage
from gateway.relay.exchange.spool import SpooledBody
from gateway.relay.passthrough import resource_ids
from gateway.relay.passthrough.resource_ids import ResourceId
from gateway.relay.translate.prepare import (
    PreparedRequest,
    add_anthropic_version,
    passed_headers,
    refuse_losses,
)
from gateway.relay.upstream.http1 import Content
from gateway.routing.snapshot import Provider, Route, Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# The `purpose` of an uploaded batch file: OpenAI's value and Together's.
BATCH_PURPOSES = frozenset({"batch", "batch-api"})
# Dialects with the same error format.
_OPENAI_DIALECTS = frozenset(
    {"openai_chat", "openai_responses", "openai_completions", "openai_embeddings"}
)
# Preset -> its rerank format; all others use Jina's.
_RERANK_FORMATS = {"cohere": "cohere", "voyage": "voyage"}


def state_of(exchange: Exchange) -> tuple[PassthroughState, Operation]:
    """The state and operation of a passthrough call."""
    assert exchange.passthrough_state is not None
    assert exchange.passthrough_state.operation is not None
    return exchange.passthrough_state, exchange.passthrough_state.operation


def provider_path(provider: Provider, family: str) -> str | None:
    """The path of a family at a provider; None if it does not support it."""
    return passthrough_catalog.family_path(provider.preset, provider.paths, family)


def prepare(call: Call, route: Route, target: Target) -> PreparedRequest:
    """The upstream request. Raises GatewayError if the target does not support the operation."""
    exchange = call.exchange
    state, operation = state_of(exchange)
    provider = target.model.provider
    path_template = provider_path(provider, operation.family)
    if path_template is None:
        message = f"the provider {provider.name} does not support {operation.family}"
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    content, report = _request_content(exchange, target)
    path = model_names.expand_path_template(path_template, target.model.name)
    state.sent_bytes = len(content)
    path += operation.path_suffix.replace("{id}", quote(state.resource_id, safe=""))
    provider_params = {name.casefold() for name, _ in provider.query}
    if query := [
        (name, value) for name, value in state.query if name.casefold() not in provider_params
    ]:
        path = f"{path}?{urlencode(query)}"
    dialect = rerank.DIALECT if operation.family == "rerank" else DIALECTS[provider.dialect]
    is_same_format = (
        dialect.name == exchange.dialect.name
        or {dialect.name, exchange.dialect.name} <= _OPENAI_DIALECTS
    )
    if state.rerank_format:
        is_same_format = state.rerank_format == _rerank_format(provider)
    headers = passed_headers(exchange)
    add_anthropic_version(headers, exchange, target)
    prepared_request = PreparedRequest(
        dialect=dialect,
        content=content,
        path=path,
        headers=headers,
        # Errors are translated if the provider's error format differs from the client's.
        rendered_request=None if is_same_format and not report else RenderedRequest(body={}),
        report=tuple(report),
    )
    if route.strict:
        refuse_losses(prepared_request.report)
    return prepared_request


def _request_content(exchange: Exchange, target: Target) -> tuple[bytes, list[Adaptation]]:
    state, operation = state_of(exchange)
    upstream_model = target.model.name
    if state.form is not None:
        state.logged_body = exchange.body
        return b"", []  # `request_body` builds it
    if not exchange.body:
        return b"", []
    fields, report = dict(exchange.fields), list[Adaptation]()
    if operation.model and "model" in fields:
        fields["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    if operation.family == "rerank":
        fields, report = rerank.render_request_fields(fields, _rerank_format(target.model.provider))
    if target.edits:
        fields, edit_adaptations = profile_edits.apply_raw(target.edits, fields)
        report += edit_adaptations
    state.logged_body = msgspec.json.encode(fields)
    return state.logged_body, report


def _rerank_format(provider: Provider) -> str:
    return _RERANK_FORMATS.get(provider.preset, "jina")


def _with_model(part: Part, model: str) -> Part:
    if part.name != "model" or part.filename is not None:
        return part
    return msgspec.structs.replace(part, data=model.encode())


def request_body(
    runtime: Runtime,
    exchange: Exchange,
    target: Target,
    prepared_request: PreparedRequest,
    deadlines: Deadlines,
) -> Content:
    """The body to send, with the provider's own ids in it. Raises GatewayError.

    A form that is not in memory is read while it is sent; each chunk resets the deadlines.
    """
    state = exchange.passthrough_state
    if state is None or state.form is None:
        return to_provider_ids(runtime, exchange, target, prepared_request.content)
    names_model = state_of(exchange)[1].model
    parts = [_with_model(part, target.model.name) if names_model else part for part in state.form]
    upstream_parts = [
        part
        if part.filename is not None or part.stored_range is not None
        else msgspec.structs.replace(
            part, data=to_provider_ids(runtime, exchange, target, bytes(part.data))
        )
        for part in parts
    ]
    chunks = multipart.encode(upstream_parts, state.boundary)
    if len(chunks) == 1 and isinstance(chunks[0], bytes):
        state.sent_bytes = len(chunks[0])
        return chunks[0]
    assert state.spool is not None
    body = SpooledBody(chunks, state.spool, deadlines.reset)
    state.sent_bytes = body.size
    return body


def http_method(exchange: Exchange) -> str:
    """The HTTP method of a call."""
    if exchange.passthrough_state is None or exchange.passthrough_state.operation is None:
        return "POST"
    return exchange.passthrough_state.operation.method


def request_headers(exchange: Exchange, headers: httpx.Headers) -> httpx.Headers:
    """The headers with the content type of the body; a new value if they change."""
    state = exchange.passthrough_state
    if state is None or (state.form is None and exchange.body):
        return headers
    client_headers = [
        (k, v) for k, v in headers.raw if k.lower() not in {b"content-type", b"accept"}
    ]
    client_headers.append((b"accept", b"*/*"))
    if state.form is not None:
        content_type = f'multipart/form-data; boundary="{state.boundary}"'
        client_headers.append((b"content-type", content_type.encode("ascii")))
    return httpx.Headers(client_headers)


# --- resource ids -------------------------------------------------------------------------

_ID_FIELDS = ("id", "input_file_id", "output_file_id", "error_file_id", "first_id", "last_id")


def resolve_owned_id(
    runtime: Runtime, exchange: Exchange, gateway_id: str, param: str
) -> ResourceId:
    """Decode a gateway id. Raises GatewayError (404) if the API key does not own it."""
    resource = resource_ids.decode_id(gateway_id, runtime.config.pepper)
    state = exchange.passthrough_state
    owner = state.owner_key_id if state is not None else _owner_key_id(exchange)
    if resource is None or (owner is not None and resource.owner != owner):
        message = f"there is no `{gateway_id[:100]}` here, or it belongs to another API key"
        raise GatewayError(Error(kind="not_found", message=message, param=param))
    return resource


def _owner_key_id(exchange: Exchange) -> int | None:
    return exchange.key.id if exchange.key is not None and exchange.key.id else None


def to_provider_ids(runtime: Runtime, exchange: Exchange, target: Target, content: bytes) -> bytes:
    """Replace gateway ids in a request body by the provider's ids. Raises GatewayError."""
    provider_name = target.model.provider.name

    def provider_id(gateway_id: bytes) -> bytes:
        text = gateway_id.decode("ascii")
        if resource_ids.decode_id(text, runtime.config.pepper) is None:
            return gateway_id
        resource = resolve_owned_id(runtime, exchange, text, "file_id")
        if resource.provider != provider_name:
            raise invalid(
                f"`{text[:40]}...` is stored at {resource.provider}, but this request goes to "
                f"{provider_name}; upload the file there with `?provider={provider_name}`",
                "file_id",
            )
        return resource_ids.to_provider_id(text, resource, runtime.config.pepper).encode()

    if content.find(resource_ids.ID_MARKER_END) < 0:
        return content
    return resource_ids.replace_ids(content, provider_id)


def to_gateway_ids(runtime: Runtime, exchange: Exchange, provider: str, body: Any) -> Any:
    """Replace the provider's ids in a response by gateway ids."""
    state, operation = state_of(exchange)
    owner = state.owner_key_id or 0

    def rewrite_ids(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        out = dict(item)
        for name in _ID_FIELDS:
            if isinstance(out.get(name), str) and out[name]:
                resource = ResourceId(provider, owner, out[name])
                out[name] = resource_ids.encode_id(resource, runtime.config.pepper)
        if isinstance(out.get("results_url"), str):
            # Relative, so that clients send their key only to their base URL.
            out["results_url"] = f"/v1/{operation.path.partition('/{')[0]}/{out['id']}/results"
        return out

    rewritten_body = rewrite_ids(body)
    if isinstance(rewritten_body, dict) and isinstance(rewritten_body.get("data"), list):
        rewritten_body["data"] = [rewrite_ids(item) for item in rewritten_body["data"]]
    return rewritten_body


def speech_characters(exchange: Exchange) -> PassthroughUsage | None:
    """The usage of a speech call that is priced by characters."""
    raw = exchange.fields.get("input")
    try:
        text = msgspec.json.decode(raw, type=str) if raw is not None else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = None
    return PassthroughUsage(characters=len(text)) if text is not None else None
