"""Access of every address for model clients with each kind of credential."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, get_args

from gateway.edge import endpoints
from gateway.edge.admission import key_digest
from gateway.edge.bedrock_paths import is_bedrock
from gateway.edge.endpoints import ENDPOINTS, find_endpoint
from gateway.edge.path_aliases import resolve_path
from gateway.edge.responses_websocket import serve_websocket
from gateway.providers.passthrough_catalog import OPERATIONS
from gateway.routing.snapshot import ApiKey, Snapshot
from tests.each import each
from tests.relay.harness import KEY, PEPPER, Gateway, Reply, gateway, provider, route, snapshot
from tests.relay.websocket import Connection

EXPIRED, LIMITED = "sk-dgm-expired", "sk-dgm-limited"
_OPERATIONS = {
    (f"/v1/{operation.path.replace('{id}', 'id_1')}", operation.method): operation
    for operation in OPERATIONS
}
# Those of the tables, and one of each kind whose name or model is in the path.
ADDRESSES = (
    *(
        ((f"/{path}" if path.startswith(("api/", "v2/")) else f"/v1/{path}"), endpoint.methods[0])
        for path, endpoint in ENDPOINTS.items()
    ),
    *_OPERATIONS,
    ("/openai/deployments/dear/chat/completions", "POST"),
    ("/v1beta/models", "GET"),
    ("/v1beta/models/dear", "GET"),
    ("/v1beta/models/dear:generateContent", "POST"),
    ("/v1beta/models/dear:streamGenerateContent", "POST"),
    ("/v1beta/models/dear:countTokens", "POST"),
    ("/v1beta/models/dear:embedContent", "POST"),
    ("/v1beta/models/dear:batchEmbedContents", "POST"),
    ("/v1beta/models/dear:predict", "POST"),
    ("/foundation-models", "GET"),
    ("/foundation-models/dear", "GET"),
    ("/model/dear/converse", "POST"),
    ("/model/dear/converse-stream", "POST"),
    ("/model/dear/count-tokens", "POST"),
    ("/v1/models/dear", "GET"),
    ("/v1/responses/resp_1", "GET"),
    ("/v1/responses/resp_1", "DELETE"),
    ("/v1/responses/resp_1/input_items", "GET"),
    ("/v1/responses/resp_1/cancel", "POST"),
)
# Responses that do not depend on the caller: connection tests, and how to use the Realtime API.
PUBLIC_ACTIONS = {"connection_test", "telemetry", "realtime"}
# With a key that may use only `cheap`: lists without `dear`, and paths that need no model.
WITHOUT_MODEL = {
    *("/v1/models", "/v1beta/models", "/foundation-models", "/api/tags", "/api/ps", "/api/version"),
    *("/v1/traces", "/v1/traces/ingest"),
}
INVALID_CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {"authorization": ""},
    "empty": {"authorization": "Bearer "},
    "unknown": {"authorization": "Bearer sk-dgm-unknown"},
    "SQL": {"authorization": "Bearer ' OR 1=1 --"},
    "digest of a key": {"authorization": f"Bearer {key_digest(KEY, PEPPER).hex()}"},
    "expired": {"authorization": f"Bearer {EXPIRED}"},
    "another scheme": {"authorization": f"Basic {KEY}"},
    "unknown before a valid one": {"x-dragoman-key": "x", "authorization": f"Bearer {KEY}"},
}


def registry() -> Snapshot:
    """Routes `cheap` and `dear`; a key for both, an expired one, and one for `cheap`."""
    values: dict[str, dict[str, Any]] = {
        KEY: {},
        EXPIRED: {"expires_at": time.time() - 1},
        LIMITED: {"routes": ("cheap",)},
    }
    keys = [
        ApiKey(id=n, prefix="p", name=token, digest=key_digest(token, PEPPER), **values[token])
        for n, token in enumerate(values, start=1)
    ]
    routes = (route("cheap", provider("a")), route("dear", provider("a"), model="gpt-5"))
    return snapshot(*routes, keys={key.digest: key for key in keys})


def is_public(path: str) -> bool:
    endpoint = find_endpoint(path)
    return endpoint is not None and endpoint.action in PUBLIC_ACTIONS


async def call(live: Gateway, path: str, method: str, headers: dict[str, str]) -> Reply:
    """Send a request for the model `dear` in the form that the address requires."""
    body: Any = {"model": "dear"}
    operation = _OPERATIONS.get((path, method))
    if operation is not None:
        if operation.dialect == "anthropic_messages":
            headers = {**headers, "anthropic-version": "2023-06-01"}
        if operation.batch_model_path:
            body = {"requests": [{"custom_id": "1", "params": body}]}
        elif operation.body_type == "form":
            headers = {**headers, "content-type": "multipart/form-data; boundary=b"}
            body = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\ndear\r\n--b--\r\n'
    return await live.post(path, body, method=method, headers=headers)


async def open_websocket(live: Gateway, path: str, headers: dict[str, str]) -> int:
    """Return the status of a WebSocket handshake; 101 if it is accepted."""
    statuses = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            statuses.append(101)
        elif message["type"] == "websocket.http.response.start":
            statuses.append(message["status"])

    messages = [{"type": "websocket.disconnect", "code": 1000}, {"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else await asyncio.Future()

    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"model=dear",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
        "extensions": {"websocket.http.response": {}},
        "client": ("127.0.0.1", 1),
    }
    await serve_websocket(live.lazy_runtime, scope, receive, send)
    return statuses[0]


def test_the_addresses_are_complete() -> None:
    found = [find_endpoint(resolve_path(path)[0]) for path, _method in ADDRESSES]
    assert {endpoint.action for endpoint in found if endpoint} == set(get_args(endpoints.Action))
    assert None not in found


@each("name", INVALID_CREDENTIALS)
async def test_no_address_accepts_an_invalid_credential(tmp_path: Path, name: str) -> None:
    headers = INVALID_CREDENTIALS[name]
    async with gateway(tmp_path, registry()) as live:
        problems = [
            (method, path, reply.status)
            for path, method in ADDRESSES
            if not is_public(path)
            and (reply := await call(live, path, method, headers)).status
            != (403 if is_bedrock(path) else 401)
        ]
        assert problems == []
        for path in ("/v1/responses", "/v1/realtime"):
            assert await open_websocket(live, path, headers) == 401, path
        assert live.upstreams.requests == []


async def test_no_address_serves_a_model_that_the_key_may_not_use(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {LIMITED}"}
    problems = []
    async with gateway(tmp_path, registry()) as live:
        for path, method in ADDRESSES:
            reply = await call(live, path, method, headers)
            is_listed = path in WITHOUT_MODEL or is_public(path)
            if b'"dear"' in reply.body if is_listed else reply.status not in {403, 404}:
                problems.append((method, path, reply.status, reply.body))
        assert problems == []
        assert await open_websocket(live, "/v1/realtime", headers) == 403
        connection = Connection(live, LIMITED)
        event = await connection.ask('{"type": "response.create", "input": "x", "model": "dear"}')
        await connection.disconnect()
        assert event["status"] == 403
        assert live.upstreams.requests == []
