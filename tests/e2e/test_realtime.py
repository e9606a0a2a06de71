"""OpenAI's Realtime API through the gateway: the real SDK, and raw frames as a browser's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.stack import Daphne, Gateway, litellm_config
from tests.fakes.realtime import AUDIO, KEY, USAGE, StrictRealtime
from tests.waits import WAIT_TIMEOUT_S, wait_until

pytestmark = [
    pytest.mark.e2e,
    # websockets 17.1 wants `connect` used in a way that the SDK has not learned yet.
    pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning"),
]
# Text 4 and 16, cached 0.40, audio 32 and 64 US dollars per million tokens.
COST = Decimal(300 * 4 + 500 * 32 + 100 * 16 + 200 * 64) / 1_000_000 + Decimal("0.00008")
ENDS = {"response.done", "error"}


@dataclass
class GatewayStack:
    """The gateway and its provider."""

    gateway: Gateway
    upstream: StrictRealtime

    def client(self, key: str = "") -> openai.AsyncOpenAI:
        base = f"{self.gateway.url}/v1"
        return openai.AsyncOpenAI(base_url=base, api_key=key or self.gateway.key, max_retries=0)

    def row(self, session: str) -> dict[str, Any]:
        """Return the log row of a session."""
        log_rows: list[dict[str, Any]] = []

        def logged() -> bool:
            log_rows[:] = self.gateway.api("/api/requests", session=session, limit=10)["items"]
            return bool(log_rows)

        wait_until(logged)
        (row,) = log_rows
        return dict(self.gateway.api(f"/api/requests/{row['request_id']}"))


def rows(upstream: StrictRealtime) -> list[dict[str, Any]]:
    def row(public: str, model: str, key: str = KEY) -> dict[str, Any]:
        params = {"model": model, "api_base": f"{upstream.url}/v1", "api_key": key}
        return {"model_name": public, "litellm_params": {**params, "max_retries": 0}}

    return [
        row("gpt-realtime", "openai/gpt-realtime"),
        row("voice", "openai/gpt-realtime-mini"),
        row("unknown-upstream", "openai/gpt-nothing"),
        row("wrong-credential", "openai/gpt-realtime", "sk-wrong"),
        row("claude", "anthropic/claude-sonnet-4-5"),
    ]


DAPHNE = pytest.param(Daphne, marks=pytest.mark.wide(every=4))


@pytest.fixture(scope="module", params=[Gateway, DAPHNE], ids=["up", "daphne"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    with StrictRealtime() as upstream:
        directory = tmp_path_factory.mktemp("realtime")
        gateway = request.param(directory, litellm_config(rows(upstream))).start()
        try:
            yield GatewayStack(gateway, upstream)
        finally:
            gateway.stop()


def open_websocket(
    stack: GatewayStack, model: str = "gpt-realtime", *, key: str = "", **more: Any
) -> ClientConnection:
    """Open a connection without the SDK."""
    url = f"{stack.gateway.url.replace('http', 'ws')}/v1/realtime?model={model}"
    headers = {"authorization": f"Bearer {key or stack.gateway.key}", **more.pop("headers", {})}
    return connect(url, additional_headers=headers, compression=None, **more)


def send_text(socket: ClientConnection, text: str) -> list[dict[str, Any]]:
    """Send a text and return the events of the response."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    socket.send(json.dumps({"type": "response.create"}))
    return response_events(socket)


def response_events(socket: ClientConnection) -> list[dict[str, Any]]:
    events = [json.loads(socket.recv(timeout=WAIT_TIMEOUT_S))]
    while events[-1]["type"] not in ENDS:
        events.append(json.loads(socket.recv(timeout=WAIT_TIMEOUT_S)))
    return events


async def test_the_sdk_has_a_text_conversation(stack: GatewayStack) -> None:
    client = stack.client()
    headers = {"session-id": "realtime-text"}
    async with client.realtime.connect(model="voice", extra_headers=headers) as connection:
        await connection.session.update(session={"type": "realtime", "model": "voice"})
        text = ""
        for _ in range(2):
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Say hello"}],
                }
            )
            await connection.response.create()
            async for event in connection:
                assert event.type != "error", event
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type == "response.done":
                    break
    assert text == "Hello from Realtime." * 2
    session = stack.upstream.sessions[-1]
    assert session.query["model"] == ["gpt-realtime-mini"]
    assert session.headers["authorization"] == f"Bearer {KEY}"
    assert stack.gateway.key not in str(session.headers)
    row = stack.row("realtime-text")
    assert (row["endpoint"], row["status"], row["outcome"]) == ("/v1/realtime", 101, "ok")
    assert row["input_tokens"] == 2 * 800
    assert row["cache_read_tokens"] == 2 * 200
    assert row["output_tokens"] == 2 * 300
    assert Decimal(row["cost_usd"]) > 0


async def test_the_sdk_gets_audio_and_the_row_has_its_price(stack: GatewayStack) -> None:
    client = stack.client()
    headers = {"session-id": "realtime-audio"}
    audio = b""
    async with client.realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
        spoken = base64.b64encode(AUDIO).decode()
        await connection.input_audio_buffer.append(audio=spoken)
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "audio please"}],
            }
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
            elif event.type == "response.done":
                assert event.response.usage is not None
                assert event.response.usage.input_tokens == USAGE["input_tokens"]
                break
    assert audio == AUDIO
    assert Decimal(stack.row("realtime-audio")["cost_usd"]) == COST


def test_a_browser_sends_its_key_as_a_subprotocol(stack: GatewayStack) -> None:
    url = f"{stack.gateway.url.replace('http', 'ws')}/v1/realtime?model=gpt-realtime"
    key = f"openai-insecure-api-key.{stack.gateway.key}"
    offered: Any = ["realtime", key, "openai-beta.realtime-v1"]
    with connect(url, subprotocols=offered, compression=None) as socket:
        assert socket.subprotocol == "realtime"
        assert send_text(socket, "hello")[-1]["type"] == "response.done"
    session = stack.upstream.sessions[-1]
    assert session.headers["openai-beta"] == "realtime=v1"
    assert "sec-websocket-protocol" not in session.headers


@pytest.mark.parametrize(
    ("model", "key", "status", "part"),
    [
        ("gpt-realtime", "sk-wrong", 401, "API key"),
        ("gpt-realtme", "", 404, "gpt-realtime"),
        ("", "", 400, "model is required"),
        ("claude", "", 400, "realtime"),
        ("unknown-upstream", "", 404, "gpt-nothing"),
        ("wrong-credential", "", 502, ""),
    ],
)
def test_a_refusal_is_returned_before_the_handshake(
    stack: GatewayStack, model: str, key: str, status: int, part: str
) -> None:
    if isinstance(stack.gateway, Daphne):
        with open_websocket(stack, model, key=key) as socket:
            (event,) = response_events(socket)
            assert part in event["error"]["message"]
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=WAIT_TIMEOUT_S)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4008
        return
    with pytest.raises(InvalidStatus) as error, open_websocket(stack, model, key=key):
        pass
    response = error.value.response
    assert response.status_code == status
    body = json.loads(bytes(response.body or b""))
    assert part in body["error"]["message"]
    assert KEY not in str(body)


def test_an_unknown_event_is_refused_by_the_provider(stack: GatewayStack) -> None:
    with open_websocket(stack) as socket:
        socket.send(json.dumps({"type": "nothing.known", "event_id": "event_7"}))
        error = response_events(socket)[-1]["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "event_7")
        assert send_text(socket, "hello")[-1]["type"] == "response.done"


def test_a_credential_in_an_error_event_is_removed(stack: GatewayStack) -> None:
    with open_websocket(stack) as socket:
        error = send_text(socket, "fail")[-1]["error"]
    assert error["code"] == "server_error"
    assert KEY not in error["message"]


def test_a_lost_upstream_connection_is_reported(stack: GatewayStack) -> None:
    with open_websocket(stack, headers={"session-id": "realtime-drop"}) as socket:
        error = send_text(socket, "drop")[-1]["error"]
        assert "upstream" in error["message"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=WAIT_TIMEOUT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in {1011, 4011}
    row = stack.row("realtime-drop")
    assert (row["outcome"], row["error_kind"]) == ("cut", "upstream_error")


def test_the_close_code_of_the_upstream_is_passed_on(stack: GatewayStack) -> None:
    with open_websocket(stack) as socket:
        send_text(socket, "end")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=WAIT_TIMEOUT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_a_client_that_disconnects_ends_the_upstream(stack: GatewayStack) -> None:
    with open_websocket(stack, headers={"session-id": "realtime-left"}) as socket:
        assert send_text(socket, "hello")[-1]["type"] == "response.done"
        socket.close(4005)
    session = stack.upstream.sessions[-1]
    wait_until(lambda: session.close_code is not None)
    assert session.close_code == 4005
    assert stack.row("realtime-left")["outcome"] == "ok"


@pytest.mark.parametrize("operation", ["client_secrets", "calls", "sessions"])
def test_credentials_of_the_provider_are_not_handed_out(
    stack: GatewayStack, operation: str
) -> None:
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    url = f"{stack.gateway.url}/v1/realtime/{operation}"
    response = httpx.post(url, headers=headers, json={}, timeout=WAIT_TIMEOUT_S)
    assert response.status_code == 404
    assert "/v1/realtime?model=" in response.json()["error"]["message"]
