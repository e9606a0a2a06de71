"""Responses over a WebSocket: the real SDK, and raw frames as Codex sends them."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.response_nodes import CHAT, MESSAGES, OWN, ResponseNodes, response_nodes
from tests.e2e.stack import Daphne, Gateway
from tests.fakes import Call, ScriptedResponse
from tests.waits import WAIT_TIMEOUT_S, wait_until

pytestmark = pytest.mark.e2e

ALL = pytest.mark.parametrize(
    "model", [OWN, CHAT, MESSAGES], ids=["on_responses", "on_chat", "on_messages"]
)
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}
EXEC: Any = {
    "type": "function",
    "name": "exec_command",
    "description": "Run a command",
    "strict": False,
    "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
}


@pytest.fixture(scope="module", params=[Gateway, Daphne], ids=["up", "daphne"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResponseNodes]:
    with response_nodes(tmp_path_factory.mktemp("sockets"), request.param) as nodes:
        yield nodes


@contextmanager
def open_websocket(gateway: Gateway, **more: Any) -> Iterator[ClientConnection]:
    """Open a connection with Codex's headers."""
    headers = {
        "authorization": f"Bearer {gateway.key}",
        "openai-beta": "responses_websockets=2026-02-06",
        "originator": "codex_exec",
        "session-id": "session-of-a-socket",
        **more.pop("headers", {}),
    }
    url = gateway.url.replace("http", "ws") + more.pop("path", "/v1/responses")
    with connect(url, additional_headers=headers, compression=None, **more) as connection:
        yield connection


def message(text: str, model: str, **more: Any) -> dict[str, Any]:
    """Return a turn in Codex's format."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {
        "type": "response.create",
        "model": model,
        "input": [item],
        "tools": [EXEC],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "thread-1",
        "client_metadata": {"x-codex-installation-id": "1"},
        **more,
    }


def send_turn(socket: ClientConnection, body: Any) -> list[dict[str, Any]]:
    """Send a turn and return its events."""
    socket.send(body if isinstance(body, str) else json.dumps(body))
    return turn_events(socket)


def turn_events(socket: ClientConnection) -> list[dict[str, Any]]:
    """Return the next events up to the last one of a turn."""
    events = [next_event(socket)]
    while events[-1]["type"] not in ENDS:
        events.append(next_event(socket))
    return events


def next_event(socket: ClientConnection) -> dict[str, Any]:
    """Return the next event."""
    event: dict[str, Any] = json.loads(socket.recv(timeout=WAIT_TIMEOUT_S))
    return event


def request_with_text(site: ResponseNodes, text: str) -> Any:
    """Return the newest upstream request with this text; None if there is none."""
    servers = (site.openai, site.deepseek, site.anthropic)
    recorded_requests = [s for server in servers for s in server.requests if text.encode() in s.raw]
    return max(recorded_requests, key=lambda recorded: recorded.at, default=None)


def upstream_saw_disconnect(site: ResponseNodes, text: str) -> bool:
    """Return whether the provider of this text saw its client disconnect early."""
    wait_until(
        lambda: (
            (recorded_request := request_with_text(site, text))
            and (recorded_request.left_at is not None or recorded_request.finished)
        )
    )
    return request_with_text(site, text).left_at is not None


# websockets 17.1 wants `connect` used in a way that the SDK has not learned yet.
SDK = pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")


@SDK
@ALL
def test_the_sdk_continues_a_conversation(site: ResponseNodes, model: str) -> None:
    previous: Any = None
    with (
        site.client(alone=False) as client,
        client.responses.connect() as connection,
    ):
        for turn in range(3):
            text = f"socket turn {turn} on {model}"
            connection.response.create(
                model=model, input=text, store=False, previous_response_id=previous
            )
            for event in connection:
                assert event.type != "error", event
                if event.type == "response.completed":
                    previous = event.response.id
                    assert event.response.output_text == "Hello from the strict upstream."
                    break
    upstream_body = request_with_text(site, f"socket turn 2 on {model}").raw
    assert f"socket turn 0 on {model}".encode() in upstream_body


@ALL
def test_a_tool_loop_as_codex_runs_it(site: ResponseNodes, model: str) -> None:
    text = f"List the files, {model}"
    response = ScriptedResponse(
        reasoning="I look first",
        calls=(Call("exec_command", {"cmd": "ls"}, "toolu_ws"),),
        then=ScriptedResponse(text="Found: {results}"),
    )
    for server in (site.openai, site.deepseek, site.anthropic):
        server.script.on(text, response)
    thinking = {"reasoning": {"effort": "high", "summary": "auto"}}
    with open_websocket(site.gateway) as socket:
        ready = send_turn(socket, message(text, model, generate=False, **thinking))
        assert [event["type"] for event in ready] == ["response.created", "response.completed"]
        assert ready[-1]["response"]["output"] == []
        prepared = ready[-1]["response"]["id"]
        first = send_turn(
            socket,
            message("", model, **thinking) | {"input": [], "previous_response_id": prepared},
        )
        numbers = [event["sequence_number"] for event in first]
        assert numbers == list(range(len(first)))
        (call,) = [i for i in first[-1]["response"]["output"] if i["type"] == "function_call"]
        result = {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": "README.md",
        }
        more = {"input": [result], "previous_response_id": first[-1]["response"]["id"]}
        second = send_turn(socket, message("", model, **thinking) | more)
    output_text = second[-1]["response"]["output"][-1]["content"][0]["text"]
    assert output_text == "Found: README.md"


def test_in_memory_responses_end_with_the_connection(site: ResponseNodes) -> None:
    with open_websocket(site.gateway) as socket:
        previous_response_id = send_turn(socket, message("only here", MESSAGES))[-1]["response"][
            "id"
        ]
        send_turn(
            socket, message("still here", MESSAGES, previous_response_id=previous_response_id)
        )
    with open_websocket(site.gateway) as socket:
        (event,) = send_turn(
            socket, message("and now?", MESSAGES, previous_response_id=previous_response_id)
        )
        assert (event["type"], event["status"]) == ("error", 400)
        assert event["error"]["code"] == "previous_response_not_found"
        assert event["error"]["param"] == "previous_response_id"
        assert (
            send_turn(socket, message("a new story", MESSAGES))[-1]["type"] == "response.completed"
        )


@ALL
def test_a_stored_response_is_continued_on_another_connection(
    site: ResponseNodes, model: str
) -> None:
    with open_websocket(site.gateway) as socket:
        response = send_turn(socket, message(f"stored on {model}", model, store=True))[-1][
            "response"
        ]
    with site.client() as client:
        assert client.responses.retrieve(response["id"]).status == "completed"
    with open_websocket(site.gateway) as socket:
        second = message("from elsewhere", model, previous_response_id=response["id"])
        assert send_turn(socket, second)[-1]["type"] == "response.completed"


def test_streams_of_one_socket_run_concurrently_and_each_in_order(site: ResponseNodes) -> None:
    overtaken = threading.Event()
    site.anthropic.script.on("Take long", ScriptedResponse(text="slow", once=overtaken))
    with open_websocket(site.gateway) as socket:
        slow_turn = message("Take long", MESSAGES, stream_id="slow")
        after = message("after the slow one", MESSAGES, stream_id="slow")
        quick = message("quick one", MESSAGES, stream_id="quick")
        for body in (slow_turn, after, quick):
            socket.send(json.dumps(body))
        ended: list[str] = []
        while len(ended) < 3:
            event = next_event(socket)
            assert event["stream_id"] in {"slow", "quick"}
            if event["type"] == "response.completed":
                text = event["response"]["output"][0]["content"][0]["text"]
                ended.append(f"{event['stream_id']}: {text}")
                overtaken.set()
        hello = "Hello from the strict upstream."
        assert ended == [f"quick: {hello}", "slow: slow", f"slow: {hello}"]


BAD: dict[str, tuple[Any, str | None]] = {
    "no_json": ("{", None),
    "no_object": ("[1]", None),
    "no_type": ({"model": MESSAGES, "input": "x"}, "type"),
    "steer": ({"type": "response.steer", "input": "x"}, "type"),
    "background": (message("x", MESSAGES, background=True), "background"),
    "model_missing": ({"type": "response.create", "input": "x"}, "model"),
    "model_unknown": (message("x", "nobody"), "model"),
    "field_of_a_wrong_type": (message("x", MESSAGES, temperature="hot"), "temperature"),
    "generate": (message("x", MESSAGES, generate="no"), "generate"),
    "prepared_without_model": ({"type": "response.create", "generate": False}, "model"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_an_invalid_message_gets_an_error_and_the_connection_stays(
    site: ResponseNodes, kind: str
) -> None:
    body, param = BAD[kind]
    with open_websocket(site.gateway) as socket:
        (event,) = send_turn(socket, body)
        assert event["type"] == "error"
        assert event["status"] in {400, 404}
        assert event["error"].get("param") == param
        assert event["error"]["message"]
        assert send_turn(socket, message("fine", MESSAGES))[-1]["type"] == "response.completed"


def test_an_acknowledgment_needs_no_response(site: ResponseNodes) -> None:
    with open_websocket(site.gateway) as socket:
        socket.send(json.dumps({"type": "response.processed", "response_id": "resp_1"}))
        assert send_turn(socket, message("fine", MESSAGES))[-1]["type"] == "response.completed"


def test_too_many_concurrent_requests_get_an_error(site: ResponseNodes) -> None:
    was_refused = threading.Event()
    site.anthropic.script.on("Wait for it", ScriptedResponse(text="late", once=was_refused))
    with open_websocket(site.gateway) as socket:
        for _ in range(17):
            socket.send(json.dumps(message("Wait for it", MESSAGES)))
        event = next_event(socket)
        was_refused.set()
        assert (event["type"], event["status"]) == ("error", 429)


def test_a_frame_that_is_too_large_closes_the_connection(site: ResponseNodes) -> None:
    with open_websocket(site.gateway) as socket:
        with pytest.raises(ConnectionClosed):
            socket.send("x" * (33 * 1024 * 1024))
            socket.recv(timeout=WAIT_TIMEOUT_S)
        # Daphne does not read the rest of it, so the reason may be lost with a reset.
        is_daphne = isinstance(site.gateway, Daphne)
        assert socket.close_code in ({1009, 4009, 1006} if is_daphne else {1009})
    with open_websocket(site.gateway) as socket:
        assert (
            send_turn(socket, message("small again", MESSAGES))[-1]["type"] == "response.completed"
        )


def test_disconnecting_closes_the_upstream_request(site: ResponseNodes) -> None:
    site.anthropic.script.on(
        "Talk over the socket", ScriptedResponse(text="word " * 400, pace_s=0.02)
    )
    with open_websocket(site.gateway) as socket:
        socket.send(json.dumps(message("Talk over the socket", MESSAGES)))
        next_event(socket)
    assert upstream_saw_disconnect(site, "Talk over the socket")


def test_a_provider_that_breaks_ends_the_turn_not_the_connection(site: ResponseNodes) -> None:
    site.anthropic.script.on("Break on the socket", ScriptedResponse(text="x" * 60, breaks="cut"))
    with open_websocket(site.gateway) as socket:
        assert (
            send_turn(socket, message("Break on the socket", MESSAGES))[-1]["type"]
            == "response.failed"
        )
        assert send_turn(socket, message("fine", MESSAGES))[-1]["type"] == "response.completed"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"], ids=["foreign", "sandbox"])
def test_a_page_of_another_site_is_refused(site: ResponseNodes, origin: str) -> None:
    with (
        pytest.raises(InvalidStatus) as error,
        open_websocket(site.gateway, headers={"origin": origin}),
    ):
        pass
    assert error.value.response.status_code == 403


@pytest.mark.parametrize(
    ("invalid_value", "status", "message"),
    [
        ({"headers": {"authorization": "Bearer sk-wrong"}}, 401, "API key"),
        ({"path": "/v1/chat/completions"}, 404, "/v1/responses and /v1/realtime have one"),
    ],
    ids=["wrong_key", "another_path"],
)
def test_a_refused_connection_has_its_reason(
    site: ResponseNodes, invalid_value: dict[str, Any], status: int, message: str
) -> None:
    """Daphne's refused handshakes have no body, so the reason is the only event."""
    try:
        with open_websocket(site.gateway, **invalid_value) as socket:
            event = next_event(socket)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=WAIT_TIMEOUT_S)
            assert socket.close_code == 4008
    except InvalidStatus as refused:
        event = json.loads(refused.response.body or b"{}")
        event |= {"type": "error", "status": refused.response.status_code}
    assert (event["type"], event["status"]) == ("error", status)
    assert message in event["error"]["message"]


def test_a_page_of_this_site_may_connect(site: ResponseNodes) -> None:
    origin = site.gateway.url
    with open_websocket(site.gateway, headers={"origin": origin}) as socket:
        assert (
            send_turn(socket, message("from a page", MESSAGES))[-1]["type"] == "response.completed"
        )


def test_a_limit_counts_each_response(site: ResponseNodes) -> None:
    key = site.new_key(limits={"requests_per_minute": 2})
    with open_websocket(site.gateway, headers={"authorization": f"Bearer {key}"}) as socket:
        for _ in range(2):
            assert (
                send_turn(socket, message("limited", MESSAGES))[-1]["type"] == "response.completed"
            )
        (event,) = send_turn(socket, message("one too many", MESSAGES))
        assert (event["type"], event["status"]) == ("error", 429)
        assert int(event["headers"]["retry-after"]) > 0
        row = site.gateway.row(event["headers"]["x-request-id"])
        assert (row["status"], row["endpoint"]) == (429, "/v1/responses")
        # The connection goes on, for what is no response too.
        ready = send_turn(socket, message("", MESSAGES, generate=False))
        assert ready[-1]["type"] == "response.completed"


def test_a_revoked_key_ends_with_its_next_message(site: ResponseNodes) -> None:
    key = site.new_key()
    with open_websocket(site.gateway, headers={"authorization": f"Bearer {key}"}) as socket:
        assert send_turn(socket, message("allowed", MESSAGES))[-1]["type"] == "response.completed"
        site.run("from gateway.models import ApiKey; ApiKey.objects.revoke()")
        events: list[dict[str, Any]] = []

        def refused() -> bool:
            events.append(send_turn(socket, message("and now?", MESSAGES))[-1])
            return events[-1]["type"] == "error"

        wait_until(refused)
        assert events[-1]["status"] == 401


def test_each_turn_has_its_log_row(site: ResponseNodes) -> None:
    session_name = "session-of-two-turns"
    with open_websocket(site.gateway, headers={"session-id": session_name}) as socket:
        send_turn(socket, message("row one", MESSAGES))
        send_turn(socket, message("row two", MESSAGES))
    site.gateway.wait_for_log()
    rows = site.gateway.api("/api/requests", session=session_name, limit=100)["items"]
    assert [row["endpoint"] for row in rows] == ["/v1/responses"] * 2
    assert len({row["request_id"] for row in rows}) == 2


def test_requests_in_flight_finish_at_shutdown(tmp_path: Any) -> None:
    with response_nodes(tmp_path) as site:
        ending = threading.Event()
        site.anthropic.script.on("Finish this", ScriptedResponse(text="done " * 20, once=ending))
        with open_websocket(site.gateway) as socket, open_websocket(site.gateway) as idle:
            socket.send(json.dumps(message("Finish this", MESSAGES)))
            wait_until(lambda: request_with_text(site, "Finish this"))
            stopping = threading.Thread(target=site.gateway.stop)
            stopping.start()
            with pytest.raises(ConnectionClosed):
                idle.recv(timeout=WAIT_TIMEOUT_S)
            ending.set()
            assert turn_events(socket)[-1]["type"] == "response.completed"
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=WAIT_TIMEOUT_S)
            assert [recorded.close_code for recorded in (socket, idle)] == [1012, 1012]
            stopping.join(WAIT_TIMEOUT_S)


@SDK
def test_the_async_sdk_connects_too(site: ResponseNodes) -> None:
    import asyncio

    async def talk() -> str:
        base = f"{site.gateway.url}/v1"
        async with (
            openai.AsyncOpenAI(base_url=base, api_key=site.gateway.key) as client,
            client.responses.connect() as connection,
        ):
            await connection.response.create(model=CHAT, input="async over the socket")
            async for event in connection:
                if event.type == "response.completed":
                    return str(event.response.output_text)
        return ""

    assert asyncio.run(talk()) == "Hello from the strict upstream."


def test_daphne_ends_requests_in_flight(tmp_path: Path) -> None:
    with response_nodes(tmp_path, Daphne) as site:
        site.anthropic.script.on(
            "Never finish this", ScriptedResponse(text="go " * 2000, pace_s=0.02)
        )
        with open_websocket(site.gateway) as socket:
            socket.send(json.dumps(message("Never finish this", MESSAGES)))
            assert next_event(socket)["type"] == "response.created"
            assert site.gateway.stop() in {0, -signal.SIGTERM}
            with pytest.raises(ConnectionClosed):
                while True:
                    socket.recv(timeout=WAIT_TIMEOUT_S)
        assert upstream_saw_disconnect(site, "Never finish this")
