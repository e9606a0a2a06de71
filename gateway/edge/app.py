"""The gateway's front door: one ASGI callable for everything a model client sends.

Outside Django's handler on purpose (an async view costs ten times as much); it
reads values from the snapshot and never touches the ORM.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
import uuid
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.events import Failed
from gateway.dialects import DIALECTS
from gateway.dialects.base import Exchange, Verb
from gateway.edge import body as request_body
from gateway.edge import (
    cache_wishes,
    endpoints,
    forwarding,
    ollama_listing,
    operations,
    responses,
)
from gateway.edge.admit import admit, find_route
from gateway.edge.google_listing import google_model, google_page
from gateway.edge.listing import models_page, one_model
from gateway.relay import cache, keeping
from gateway.relay import runtime as relay_runtime
from gateway.relay.call import Call, Client, Send
from gateway.relay.count import count
from gateway.relay.pipeline import UpstreamRefused
from gateway.relay.reply import stopped, stream_headers
from gateway.relay.runtime import Runtime
from gateway.relay.settle import settle
from gateway.relay.watch import Receive

log = logging.getLogger(__name__)

Scope = dict[str, Any]
# Unique without asking the kernel for randomness at each request.
_RUN = uuid.uuid4().hex[:22]
_COUNT = itertools.count(1)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._\-]{1,64}$")
# Lists of models in shapes of their own: a page, and one entry.
_LISTS = {"gemini": (google_page, google_model)}
_JSON = (b"content-type", b"application/json")
_VERBS: dict[str, Verb] = {
    "generate": "generate",
    "count_tokens": "count_tokens",
    "embed": "embed",
    "forward": "forward",
}
# The most of a body that asks for one model's facts.
_SMALL = 64 * 1024


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request."""
    started = time.perf_counter()
    runtime = await relay_runtime.ensure()
    path = scope["path"]
    if path.startswith(("/health", "/metrics")):
        await operations.answer(runtime, scope, Client(send))
        return
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
    endpoint = endpoints.find(path)
    client = Client(send)
    if endpoint is not None and endpoint.action in _VERBS:
        call = new_call(runtime, scope, headers, endpoint, started)
        await serve(runtime, call, client, scope, receive)
        return
    if endpoint is not None and endpoint.action == "response":
        await responses.answer(runtime, endpoint, client, scope, receive, request_id(headers))
        return
    await _other(runtime, endpoint, client, scope, headers, receive)


def new_call(
    runtime: Runtime,
    scope: Scope,
    headers: dict[str, str],
    endpoint: endpoints.Endpoint,
    started: float,
) -> Call:
    """What is known of a request before its body is read."""
    call = Call(
        request_id=request_id(headers),
        endpoint=endpoint.name,
        verb=_VERBS[endpoint.action],
        dialect=DIALECTS[endpoint.dialect],
        snapshot=runtime.snapshot,
        headers=headers,
        started=started,
    )
    call.query = scope.get("query_string", b"")
    if call.dialect.model_in_path:
        call.model, call.stream = endpoint.model, endpoint.stream
        call.framing = "array" if endpoint.stream and b"alt=sse" not in call.query else "sse"
    call.client_ip = (scope.get("client") or ("",))[0]
    if endpoint.action == "forward":
        forwarding.begin(call, scope["path"], scope["method"])
    return call


def request_id(headers: dict[str, str]) -> str:
    """The client's own id if it is harmless, else a fresh one."""
    given = headers.get("x-request-id", "")
    if given and _REQUEST_ID.match(given):
        return given
    return f"req_{_RUN}{next(_COUNT):010x}"


async def serve(
    runtime: Runtime, call: Call, client: Client, scope: Scope, receive: Receive
) -> None:
    """Admit one call and answer it; each of its failures is told to the client."""
    runtime.metrics.in_flight(1)
    watch = runtime.watches.open()
    try:
        watch.expect(runtime.config.body_timeout_s, "body")
        if call.forwarded is not None:
            await forwarding.admit_call(runtime, call, scope, receive, watch)
            _start_recorder(runtime, call)
        else:
            await _admit(runtime, call, scope, receive)
        watch.clear()
        watch.listen(receive)
        if call.dialect.resume is not None:
            await keeping.begin(runtime, call)
            if call.keeping is not None and call.keeping.background:
                await responses.detach(runtime, call, client)
                return
        wishes = cache_wishes.read(call)
        if call.verb == "count_tokens":
            await count(runtime, call, client, watch)
        elif wishes is not None:
            await cache.answer(runtime, call, client, watch, wishes, responses.run)
        else:
            await responses.run(runtime, call, client, watch)
    except GatewayError as failure:
        await _fail(runtime, call, client, failure)
    except request_body.ClientGone:
        _left(runtime, call, client)
    except asyncio.CancelledError:
        reason = watch.absorb()
        if reason is None or reason == "client_gone":
            _left(runtime, call, client)
        if reason is None:
            raise
        if reason != "client_gone" and not client.started:
            await _fail(runtime, call, client, GatewayError(stopped(reason)))
    except Exception:
        log.exception("a request failed inside the gateway", extra={"request_id": call.id})
        error = Error(kind="upstream_error", message="the gateway failed; see its log")
        await _fail(runtime, call, client, GatewayError(error))
    finally:
        runtime.metrics.in_flight(-1)
        forwarding.release(call)
        watch.close()
        if not call.settled and not call.detached:
            settle(runtime, call, client)


async def _admit(runtime: Runtime, call: Call, scope: Scope, receive: Receive) -> None:
    """Method, key, body, model, route: all that is refused before any target is tried."""
    if scope["method"] != "POST":
        message = f"{scope['method']} is not allowed here; use POST"
        raise GatewayError(Error(kind="method_not_allowed", message=message))
    config = runtime.config
    call.key = admit(runtime, call.snapshot, scope["headers"], call.query)
    call.body = await request_body.read(receive, call.headers, config.max_body_bytes)
    call.fields = request_body.decode(call.body)
    if not call.dialect.model_in_path:
        call.model = request_body.field(call.fields, "model", str, default="")
        call.stream = request_body.field(call.fields, "stream", bool, default=call.dialect.streams)
    if not call.model:
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    call.route = find_route(call.snapshot, call.key, call.model)
    _start_recorder(runtime, call)
    call.dialect.check(call.body)


def _start_recorder(runtime: Runtime, call: Call) -> None:
    recorder = call.recorder
    switches = (
        call.key.log_bodies if call.key else None,
        call.route.log_bodies if call.route else None,
        call.snapshot.log_bodies,
    )
    # A `no` of the key or the route holds, whatever the wider switch says.
    recorder.on = False not in switches[:2] and (True in switches[:2] or bool(switches[2]))
    recorder.limit = runtime.config.log_body_bytes
    recorder.masks = call.snapshot.masks
    recorder.started = call.started
    recorder.client_request = call.body


async def _fail(runtime: Runtime, call: Call, client: Client, failure: GatewayError) -> None:
    """Tell the client in its dialect, and the log."""
    if call.detached:  # it goes on without the client
        return
    error = call.error = failure.error
    if client.started:  # only a fault of ours can end here: the stream is cut, never ended well
        call.outcome = "cut"
        return
    status, headers, content = _error_bytes(call, failure)
    client.status, client.headers = status, headers
    call.recorder.client(content)
    call.outcome = "error"
    settle(runtime, call, client)
    if error.kind == "method_not_allowed":
        allowed = call.forwarded.allowed if call.forwarded is not None else "POST"
        headers = [*headers, (b"allow", allowed.encode())]
    await client.reply(status, headers, content)


def _error_bytes(call: Call, failure: GatewayError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    rendered = call.dialect.client.render_error(failure.error, call.id)
    headers = [_JSON, *_encoded({"x-request-id": call.id, **rendered.headers})]
    headers += call.limit_headers
    if isinstance(failure, UpstreamRefused) and _speaks_for_itself(call, failure):
        return failure.status, headers, failure.body
    if rendered.status == 200 and call.stream:  # told as an answer, so in the form of one
        exchange = Exchange(
            id=call.id.removeprefix("req_"),
            created=int(call.started_at),
            model=call.model,
            framing=call.framing,
        )
        told = call.dialect.client.stream_renderer(exchange).feed(Failed(failure.error))
        return 200, [*stream_headers(call), *headers[1:]], told
    return rendered.status, headers, msgspec.json.encode(rendered.body)


def _speaks_for_itself(call: Call, failure: UpstreamRefused) -> bool:
    """Whether the upstream's own words go to the client: same dialect, JSON, no secret."""
    if not call.passthrough or failure.error.kind in {"upstream_auth", "quota"}:
        return False
    return failure.body.lstrip()[:1] == b"{" and failure.error.message.encode() in failure.body


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(k.encode("ascii"), v.encode("ascii", "replace")) for k, v in headers.items()]


def _left(runtime: Runtime, call: Call, client: Client) -> None:
    """The client is gone: the row says so, with what had passed until then."""
    if call.detached:
        return
    call.outcome = "client_closed"
    if not client.started:
        client.status = 499
    call.error = call.error or Error(kind="client_gone", message="the client left")
    settle(runtime, call, client)


async def _other(
    runtime: Runtime,
    endpoint: endpoints.Endpoint | None,
    client: Client,
    scope: Scope,
    headers: dict[str, str],
    receive: Receive,
) -> None:
    """The small endpoints: model lists, connection tests, unknown paths."""
    dialect = DIALECTS[endpoints.dialect_of(scope["path"], headers)]
    this_id = request_id(headers)
    try:
        if endpoint is not None and endpoint.action == "facts":
            status, content = 200, await _facts(runtime, endpoint, scope, headers, receive)
        else:
            status, content = _other_content(runtime, endpoint, scope, headers)
    except request_body.ClientGone:
        return
    except GatewayError as failure:
        reply = dialect.client.render_error(failure.error, this_id)
        status, content = reply.status, reply.body
    extra = [_JSON, (b"x-request-id", this_id.encode())]
    payload = msgspec.json.encode(content)
    if scope["method"] == "HEAD":
        await client.head(status, [*extra, (b"content-length", b"%d" % len(payload))])
        await client.end()
        return
    await client.reply(status, extra, payload)


async def _facts(
    runtime: Runtime,
    endpoint: endpoints.Endpoint,
    scope: Scope,
    headers: dict[str, str],
    receive: Receive,
) -> dict[str, Any]:
    """What Ollama's clients ask before they chat. Raises GatewayError."""
    _allow(endpoint, scope)
    key = admit(runtime, runtime.snapshot, scope["headers"], scope.get("query_string", b""))
    body = b""
    if scope["method"] == "POST":
        try:
            async with asyncio.timeout(runtime.config.body_timeout_s):
                body = await request_body.read(receive, headers, _SMALL)
        except TimeoutError:
            raise GatewayError(stopped("body")) from None
    return ollama_listing.answer(endpoint.arg, runtime.snapshot, key, body)


def _allow(endpoint: endpoints.Endpoint, scope: Scope) -> None:
    """Raise GatewayError (405) for a method that the endpoint does not have."""
    if scope["method"] not in endpoint.methods:
        message = f"{scope['method']} is not allowed here; use {' or '.join(endpoint.methods)}"
        raise GatewayError(Error(kind="method_not_allowed", message=message))


def _other_content(
    runtime: Runtime,
    endpoint: endpoints.Endpoint | None,
    scope: Scope,
    headers: dict[str, str],
) -> tuple[int, Any]:
    if endpoint is None:
        message = f"there is nothing at {scope['path'][:200]}; see /docs for what there is"
        raise GatewayError(Error(kind="not_found", message=message))
    _allow(endpoint, scope)
    if endpoint.action in {"hello", "sink"}:
        return 200, {"service": "dragoman"}
    snapshot = runtime.snapshot
    key = admit(runtime, snapshot, scope["headers"], scope.get("query_string", b""))
    query = scope.get("query_string", b"").decode("latin-1")
    shown = _LISTS.get(endpoints.dialect_of(scope["path"], headers))
    if shown is not None:
        page, one = shown
        found = one(snapshot, key, endpoint.arg) if endpoint.arg else page(snapshot, key, query)
        return 200, found
    anthropic = "anthropic-version" in headers
    if endpoint.action == "model":
        return 200, one_model(snapshot, key, endpoint.arg, anthropic=anthropic)
    return 200, models_page(snapshot, key, query, anthropic=anthropic)
