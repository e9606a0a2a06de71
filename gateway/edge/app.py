"""The data plane of the gateway: one ASGI application for all requests of model clients.

It does not use Django's handler (an async view costs ten times as much): it
reads values from the snapshot and never touches the ORM.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import uuid
from functools import partial
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.events import Failed
from gateway.canon.json_values import decode_or_none
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext, Verb
from gateway.edge import (
    admission,
    cache_control,
    endpoints,
    messages_envelope,
    ollama_listing,
    operations,
    passthrough,
    path_aliases,
    prompts,
    responses,
    traces,
)
from gateway.edge.admission import authenticate, find_route
from gateway.edge.bedrock_listing import bedrock_model_entry, bedrock_models_page
from gateway.edge.cohere_listing import cohere_model_entry, cohere_models_page
from gateway.edge.google_listing import google_model_entry, google_models_page
from gateway.edge.listing import model_entry, models_page
from gateway.edge.mistral_listing import mistral_model_entry, mistral_models_page
from gateway.edge.refusals import realtime_refusal
from gateway.framing.headers import JSON_HEADER
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange, Receive, Send, stop_error
from gateway.relay.exchange.trace import sample_trace
from gateway.relay.run import litellm_fields, response_cache, response_state
from gateway.relay.run.client_run import run_with_features
from gateway.relay.run.count_tokens import answer_token_count
from gateway.relay.run.form_guardrails import guard_form
from gateway.relay.run.guardrails import guard_request
from gateway.relay.run.pipeline import UpstreamRefused, run
from gateway.relay.run.reply import stream_headers
from gateway.relay.run.settle import CLIENT_GONE, serve_call, settle
from gateway.relay.runtime import LazyRuntime, Runtime
from gateway.routing import other_models

Scope = dict[str, Any]
# Unique without a system call for randomness per request.
_RUN_ID = uuid.uuid4().hex[:22]
_REQUEST_NUMBERS = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
# Dialects with their own format of model lists, and Mistral's: a page, and one entry.
_MODEL_LISTS = {
    "mistral": (mistral_models_page, mistral_model_entry),
    "gemini": (google_models_page, google_model_entry),
    "bedrock_converse": (bedrock_models_page, bedrock_model_entry),
    "cohere": (cohere_models_page, cohere_model_entry),
}
_VERBS: dict[str, Verb] = {
    "generate": "generate",
    "count_tokens": "count_tokens",
    "embed": "embed",
    "passthrough": "passthrough",
}
# A larger body is not checked here, because the check is one call; its provider validates it.
MAX_CHECKED_BYTES = 4 * 1024 * 1024
# User agents of clients that fail on a part of a tool call, because they require a function's
# name in each event of a stream: Mistral's SDKs, the older one for TypeScript, xAI's provider of
# the AI SDK. Its provider for Mistral reads the usage only in the form of Mistral's last event.
# Mistral's clients read reasoning only in chunks of the content, which older versions reject.
# With Mistral's SDKs, Pydantic AI also requires all calls in one event
# (https://github.com/mistralai/client-python/blob/main/src/mistralai/client/models/functioncall.py,
# https://github.com/vercel/ai/blob/main/packages/xai/src/xai-chat-language-model.ts).
_WHOLE_CALL_CLIENTS = re.compile(
    r"(?P<thinking_chunks>^mistral-client-\w+/(?:[2-9]|\d\d)|\bai-sdk[/-]mistral/(?:[3-9]|\d\d))"
    r"|^mistral-client-|@mistralai/mistralai|\bai-sdk[/-](?:mistral|xai)/"
)
# In embeddings, Mistral's SDKs require an id, which OpenAI's responses do not have.
_WHOLE_CALL_DIALECTS = frozenset({"openai_chat", "openai_embeddings"})
# Digits in the length of a body that counts toward the memory of large bodies.
_LARGE_DIGITS = 7
# Maximum body size of Ollama's `/api/show`.
_MAX_SHOW_BYTES = 64 * 1024


class ModelApi:
    """The ASGI application for requests of model clients."""

    def __init__(self, runtime: LazyRuntime) -> None:
        self._lazy_runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        start_time = time.perf_counter()
        runtime = self._lazy_runtime.current
        if runtime is None or runtime.loop is not asyncio.get_running_loop():
            runtime = await self._lazy_runtime.get()
        client_path: str = scope["path"]
        path, path_model = path_aliases.resolve_path(client_path)
        if path != client_path:
            query = path_aliases.drop_api_version(scope.get("query_string", b""))
            scope = {**scope, "path": path, "query_string": query}
        if path.startswith(("/health", "/metrics")):
            await operations.answer_operations(runtime, scope, Client(send))
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        endpoint = endpoints.find_endpoint(path)
        is_passthrough = endpoint is not None and endpoint.action == "passthrough"
        if is_passthrough and endpoints.is_google_files_call(path, headers):
            endpoint = None
        client = Client(send)
        if endpoint is not None and endpoint.action in _VERBS:
            call = new_call(runtime, scope, headers, endpoint, start_time)
            if path_model:
                call.exchange.path_model = path_model
            if client_path.startswith("/api/v1/chat/") and call.exchange.framing == "sse":
                call.exchange.framing = "api_v1"
            elif call.exchange.framing == "invoke":
                client = Client(messages_envelope.InvokeStream(send, start_time).send)
            await serve(runtime, call, client, scope, receive)
        elif endpoint is not None and endpoint.action == "response":
            await responses.answer_response(
                runtime, endpoint, client, scope, receive, echoed_id(headers)
            )
        elif endpoint is not None and endpoint.action == "traces":
            await traces.answer_traces(
                runtime, endpoint, client, scope, receive, headers, echoed_id(headers)
            )
        else:
            if endpoint is None:  # the error names the path that the client sent
                scope = {**scope, "path": client_path}
            await _serve_simple_endpoint(runtime, endpoint, client, scope, headers, receive)


def new_call(
    runtime: Runtime,
    scope: Scope,
    headers: dict[str, str],
    endpoint: endpoints.Endpoint,
    started: float,
) -> Call:
    """Create the call from the request line and headers, before its body is read."""
    exchange = Exchange(
        request_id=new_request_id(),
        endpoint=endpoint.name,
        verb=_VERBS.get(endpoint.action, "passthrough"),
        dialect=DIALECTS[endpoint.dialect],
        snapshot=runtime.snapshot,
        headers=headers,
        started=started,
    )
    exchange.max_items = runtime.config.max_request_items
    if "x-request-id" in headers:
        exchange.client_request_id = client_request_id(headers)
        exchange.echoed_id = exchange.client_request_id or exchange.id
    exchange.query = scope.get("query_string", b"")
    if exchange.dialect.model_in_path:
        exchange.model, exchange.stream = endpoint.model, endpoint.stream
        if exchange.dialect.framing == "sse":
            exchange.framing = (
                "array" if endpoint.stream and b"alt=sse" not in exchange.query else "sse"
            )
    elif endpoint.model:
        exchange.path_model, exchange.stream = endpoint.model, endpoint.stream
        exchange.framing = "invoke"
    elif endpoint.dialect in _WHOLE_CALL_DIALECTS and (
        client_name := _WHOLE_CALL_CLIENTS.search(headers.get("user-agent", ""))
    ):
        exchange.framing = client_name.lastgroup or "whole_calls"  # type: ignore[assignment]
    exchange.client_ip = (scope.get("client") or ("",))[0]
    if runtime.telemetry is not None:
        exchange.trace, exchange.unsampled_traceparent = sample_trace(headers, runtime.telemetry)
    if endpoint.action == "passthrough":
        passthrough.begin_call(exchange, scope["path"], scope["method"])
    return Call(exchange)


def new_request_id() -> str:
    """A new id, unique in the log: clients cannot choose the id of a row."""
    return f"req_{_RUN_ID}{next(_REQUEST_NUMBERS):010x}"


def client_request_id(headers: dict[str, str]) -> str:
    """The id that the client sent (`x-request-id`), if it is safe to use; else empty."""
    header_id = headers.get("x-request-id", "")
    return header_id if header_id and _REQUEST_ID.fullmatch(header_id) else ""


def echoed_id(headers: dict[str, str]) -> str:
    """The request id to return to a client whose request has no row in the log."""
    return client_request_id(headers) or new_request_id()


async def serve(
    runtime: Runtime, call: Call, client: Client, scope: Scope, receive: Receive
) -> None:
    """Admit one call and serve it; every failure is sent to the client."""
    exchange, config = call.exchange, runtime.config
    if len(exchange.headers.get("content-length", "")) >= _LARGE_DIGITS:
        exchange.large_body_bytes = admission.declared_body_bytes(exchange.headers)
    if runtime.metrics.requests_in_flight >= config.max_requests or (
        exchange.large_body_bytes
        and not admission.has_memory_for(runtime, exchange.large_body_bytes)
    ):
        await _reject_over_limit(runtime, call, client)
        return
    runtime.metrics.requests_in_flight += 1
    runtime.metrics.large_body_bytes += exchange.large_body_bytes
    deadlines = Deadlines(runtime.deadline_ticker)
    try:
        work = _admit_and_run(runtime, call, client, scope, receive, deadlines)
        fail = partial(_report_failure, runtime, call, client)
        await serve_call(runtime, call, client, deadlines, work, fail)
    finally:
        runtime.metrics.requests_in_flight -= 1
        runtime.metrics.large_body_bytes -= call.exchange.large_body_bytes
        if call.exchange.passthrough_state is not None:
            passthrough.release_spool(call.exchange)


async def _admit_and_run(
    runtime: Runtime,
    call: Call,
    client: Client,
    scope: Scope,
    receive: Receive,
    deadlines: Deadlines,
) -> None:
    exchange = call.exchange
    deadlines.set_timeout(runtime.config.body_timeout_s, "body")
    try:
        if exchange.passthrough_state is not None:
            await passthrough.accept_call(runtime, exchange, scope, receive, deadlines)
        else:
            await _accept_call(runtime, exchange, scope, receive)
    except admission.ClientGone:
        raise GatewayError(CLIENT_GONE) from None
    route = exchange.route
    assert route is not None
    # A `False` of the key or the route overrides the global setting.
    of_key, of_route = exchange.key.log_bodies if exchange.key else None, route.log_bodies
    recorder = call.recorder
    recorder.enabled = (
        of_key is not False
        and of_route is not False
        and bool(of_key or of_route or exchange.snapshot.log_bodies)
    )
    recorder.limit, recorder.masks = runtime.config.log_body_bytes, exchange.snapshot.masks
    recorder.started, recorder.client_request = exchange.started, exchange.body
    if not (
        litellm_fields.FIELDS.isdisjoint(exchange.fields)
        and litellm_fields.HEADERS.isdisjoint(exchange.headers)
    ):
        litellm_fields.apply(exchange)
    if exchange.snapshot.uses_guardrails:
        await guard_request(runtime, call)
        if exchange.passthrough_state is not None:
            await guard_form(runtime, call)
    if exchange.passthrough_state is None:
        size = len(exchange.body)
        if size < offload.SCANNED_BYTES:
            exchange.dialect.check_passthrough(exchange.body)
        elif size <= MAX_CHECKED_BYTES:
            await offload.run(size, exchange.dialect.check_passthrough, exchange.body)
        if exchange.dialect.plan_request is not None and exchange.verb == "generate":
            exchange.plan = await offload.run(size, exchange.dialect.plan_request, exchange.fields)
    deadlines.listen_for_disconnect(receive)
    if exchange.dialect.parse_continuation is not None:
        await response_state.load_state(runtime, call)
        if exchange.store_policy is not None and exchange.store_policy.background:
            await responses.start_background_response(runtime, call, client)
            return
    requested_caching = None
    if route.cache is not None or cache_control.FIELD in exchange.fields:
        requested_caching = cache_control.read(exchange)
    exchange.freeze()
    if exchange.verb == "count_tokens":
        await answer_token_count(runtime, call, client)
        return
    is_simple = exchange.plan is None and exchange.native_continuation is None and not route.shadow
    run_call = run if is_simple else run_with_features
    if requested_caching is not None:
        await response_cache.serve_with_cache(
            runtime, call, client, deadlines, requested_caching, run_call
        )
        return
    await run_call(runtime, call, client, deadlines)


async def _reject_over_limit(runtime: Runtime, call: Call, client: Client) -> None:
    """Reject a request over a limit of the process; it is counted, but not logged."""
    runtime.metrics.count_shed()
    error = Error(kind="overloaded", message=admission.OVERLOADED_MESSAGE, retry_after_s=1)
    status, headers, content = _render_error(call, GatewayError(error))
    await client.reply(status, headers, content)


async def _accept_call(
    runtime: Runtime, exchange: Exchange, scope: Scope, receive: Receive
) -> None:
    """Check method, key, body, model and route before any target is tried."""
    if scope["method"] != "POST":
        message = f"{scope['method']} is not allowed here; use POST"
        raise GatewayError(Error(kind="method_not_allowed", message=message))
    config = runtime.config
    exchange.key = authenticate(runtime, exchange.snapshot, scope["headers"], exchange.query)
    count = partial(admission.count_large_body, runtime, exchange)
    exchange.body = await admission.read_body(
        receive, exchange.headers, config.max_body_bytes, count
    )
    size = len(exchange.body)
    exchange.fields = (
        admission.decode_object(exchange.body)
        if size < offload.LARGE_BYTES
        else await admission.decode_body(exchange.body)
    )
    if exchange.framing == "invoke" or messages_envelope.VERSION in exchange.fields:
        messages_envelope.unwrap(exchange)
    if not exchange.dialect.model_in_path:
        exchange.model = admission.field_value(exchange.fields, "model", str, default="")
        exchange.stream = admission.field_value(
            exchange.fields, "stream", bool, default=exchange.dialect.streams_by_default
        )
    if exchange.path_model:
        exchange.model = exchange.path_model
        exchange.fields["model"] = msgspec.Raw(msgspec.json.encode(exchange.model))
        exchange.body = msgspec.json.encode(exchange.fields)
    if (
        prompts.FIELD in exchange.fields
        or exchange.dialect.prompt_format.reference_field in exchange.fields
    ):
        await offload.run_scan(size, prompts.insert_prompt, exchange)
    if not exchange.model:
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    exchange.route = find_route(exchange.snapshot, exchange.key, exchange.model)
    if not other_models.FIELDS.isdisjoint(exchange.fields) and other_models.is_limited(
        exchange.key
    ):
        await offload.run(
            size, other_models.refuse_other_models, exchange.snapshot, exchange.key, exchange.fields
        )


async def _report_failure(
    runtime: Runtime, call: Call, client: Client, failure: GatewayError
) -> None:
    if failure.error is CLIENT_GONE:
        _record_disconnect(runtime, call, client)
    else:
        await _reply_error(runtime, call, client, failure)


async def _reply_error(runtime: Runtime, call: Call, client: Client, failure: GatewayError) -> None:
    """Send the error to the client in its dialect, and log it."""
    exchange = call.exchange
    if call.detached:  # it continues without the client
        return
    error = call.error = failure.error
    if client.started:  # a gateway fault: the stream is cut off, never ended normally
        call.outcome = "cut"
        return
    status, headers, content = _render_error(call, failure, is_stream=client.pinged)
    client.status, client.headers = status, headers
    call.recorder.record_client(content)
    call.outcome = "error"
    settle(runtime, call, client)
    if error.kind == "method_not_allowed":
        allowed_methods = (
            exchange.passthrough_state.allowed_methods
            if exchange.passthrough_state is not None
            else "POST"
        )
        headers = [*headers, (b"allow", allowed_methods.encode())]
    if client.pinged:
        await client.head(status, headers)
        await client.end(content)
        return
    await client.reply(status, headers, content)


def _render_error(
    call: Call, failure: GatewayError, *, is_stream: bool = False
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The error in the client's dialect; `is_stream`: as an event of a stream that was pinged."""
    exchange = call.exchange
    dialect_client = exchange.dialect.client
    render_error = dialect_client.render_error
    if exchange.framing == "api_v1" and dialect_client.render_api_v1_error is not None:
        render_error = dialect_client.render_api_v1_error
    elif exchange.framing == "invoke":
        render_error = messages_envelope.render_invoke_error
    rendered_error = render_error(failure.error, exchange.echoed_id)
    headers = [
        JSON_HEADER,
        *_encode_headers({**rendered_error.headers, **_request_id_headers(call)}),
    ]
    headers += call.limit_headers
    if isinstance(failure, UpstreamRefused):
        headers += failure.headers
    if (
        not is_stream
        and isinstance(failure, UpstreamRefused)
        and _can_pass_upstream_error(call, failure, rendered_error.body)
    ):
        return failure.status, headers, failure.body
    if is_stream or (rendered_error.status == 200 and exchange.stream):
        context = ResponseContext(
            id=exchange.id.removeprefix("req_"),
            created=int(exchange.started_at),
            model=exchange.model,
            framing=exchange.framing,
        )
        content = exchange.dialect.client.stream_renderer(context).feed(Failed(failure.error))
        return 200, [*stream_headers(call), *headers[1:]], content
    return rendered_error.status, headers, msgspec.json.encode(rendered_error.body)


def _request_id_headers(call: Call) -> dict[str, str]:
    exchange = call.exchange
    ids = {"x-request-id": exchange.echoed_id}
    return {**ids, "x-dragoman-request-id": exchange.id} if exchange.client_request_id else ids


def _can_pass_upstream_error(call: Call, failure: UpstreamRefused, rendered: Any) -> bool:
    """Whether the upstream's error body goes to the client: same dialect and form, no secret.

    `rendered` is the gateway's own body for the error.
    """
    error = failure.error
    if not call.attempt.passthrough or error.kind in {"upstream_auth", "quota"}:
        return False
    if not failure.clean:
        return False
    # Agents compact their conversation on the dialect's own error only; many servers have another.
    markers = call.exchange.dialect.client.context_length_markers
    if error.kind == "context_length" and markers and not any(m in failure.body for m in markers):
        return False
    if error.message.encode() not in failure.body:
        return False
    body = decode_or_none(failure.body)
    if call.exchange.passthrough_state is not None:  # each provider has a form of its own
        return isinstance(body, dict)
    field = "error" if "error" in rendered else "message"
    if not isinstance(body, dict) or type(body.get(field)) is not type(rendered.get(field)):
        return False
    # OpenRouter's clients require a number; most providers with the Chat API send a text.
    has_number = isinstance(rendered[field], dict) and isinstance(rendered[field].get("code"), int)
    return not has_number or isinstance(body[field].get("code"), int)


def _encode_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(k.encode("ascii"), v.encode("ascii", "replace")) for k, v in headers.items()]


def _record_disconnect(runtime: Runtime, call: Call, client: Client) -> None:
    """Log a call whose client disconnected, with what was sent until then."""
    if call.detached:
        return
    call.outcome = "client_closed"
    if not client.started:
        client.status = 499
    call.error = call.error or CLIENT_GONE
    settle(runtime, call, client)


async def _serve_simple_endpoint(
    runtime: Runtime,
    endpoint: endpoints.Endpoint | None,
    client: Client,
    scope: Scope,
    headers: dict[str, str],
    receive: Receive,
) -> None:
    """The small endpoints: model lists, connection tests, unknown paths."""
    dialect = DIALECTS[endpoints.dialect_of(scope["path"], headers)]
    request_id = echoed_id(headers)
    error_headers: dict[str, str] = {}
    try:
        if endpoint is not None and endpoint.action == "metadata":
            status, content = (
                200,
                await _ollama_metadata(runtime, endpoint, scope, headers, receive),
            )
        else:
            status, content = _simple_content(runtime, endpoint, scope, headers)
    except admission.ClientGone:
        return
    except GatewayError as failure:
        reply = dialect.client.render_error(failure.error, request_id)
        status, content, error_headers = reply.status, reply.body, reply.headers
    reply_headers = [JSON_HEADER, *_encode_headers({**error_headers, "x-request-id": request_id})]
    payload = msgspec.json.encode(content)
    if scope["method"] == "HEAD":
        await client.head(status, [*reply_headers, (b"content-length", b"%d" % len(payload))])
        await client.end()
        return
    await client.reply(status, reply_headers, payload)


async def _ollama_metadata(
    runtime: Runtime,
    endpoint: endpoints.Endpoint,
    scope: Scope,
    headers: dict[str, str],
    receive: Receive,
) -> dict[str, Any]:
    """Metadata that Ollama's clients request before they chat. Raises GatewayError."""
    _require_method(endpoint, scope)
    key = authenticate(runtime, runtime.snapshot, scope["headers"], scope.get("query_string", b""))
    body = b""
    if scope["method"] == "POST":
        try:
            async with asyncio.timeout(runtime.config.body_timeout_s):
                body = await admission.read_body(receive, headers, _MAX_SHOW_BYTES)
        except TimeoutError:
            raise GatewayError(stop_error("body")) from None
    return ollama_listing.answer_metadata(endpoint.arg, runtime.snapshot, key, body)


def _require_method(endpoint: endpoints.Endpoint, scope: Scope) -> None:
    """Raises GatewayError (405) for a method that the endpoint does not support."""
    if scope["method"] not in endpoint.methods:
        if endpoint.name == "/v1beta/models/{id}" and ":" in endpoint.arg:
            method = endpoint.arg.rpartition(":")[2][:100]
            message = f"Gemini models have no method {method} here; see /docs for the list"
            raise GatewayError(Error(kind="not_found", message=message, code="unknown_url"))
        message = f"{scope['method']} is not allowed here; use {' or '.join(endpoint.methods)}"
        raise GatewayError(Error(kind="method_not_allowed", message=message))


def _simple_content(
    runtime: Runtime,
    endpoint: endpoints.Endpoint | None,
    scope: Scope,
    headers: dict[str, str],
) -> tuple[int, Any]:
    if endpoint is None:
        message = f"there is no endpoint {scope['path'][:200]}; see /docs for the list"
        if scope["path"].startswith("//"):
            message += "; the path begins with two slashes: remove the last one of the base URL"
        raise GatewayError(Error(kind="not_found", message=message, code="unknown_url"))
    _require_method(endpoint, scope)
    if endpoint.action == "realtime":
        raise realtime_refusal(endpoint)
    if endpoint.action in {"connection_test", "telemetry"}:
        return 200, {"service": "dragoman"}
    snapshot = runtime.snapshot
    key = authenticate(runtime, snapshot, scope["headers"], scope.get("query_string", b""))
    query = scope.get("query_string", b"").decode("latin-1")
    is_mistral = headers.get("user-agent", "").startswith("mistral-client-")
    list_format = "mistral" if is_mistral else endpoints.dialect_of(scope["path"], headers)
    renderers = _MODEL_LISTS.get(list_format)
    if renderers is not None:
        render_page, render_model = renderers
        content = (
            render_model(snapshot, key, endpoint.arg)
            if endpoint.arg
            else render_page(snapshot, key, query)
        )
        return 200, content
    anthropic = "anthropic-version" in headers
    if endpoint.action == "model":
        return 200, model_entry(snapshot, key, endpoint.arg, anthropic=anthropic)
    return 200, models_page(snapshot, key, query, anthropic=anthropic)
