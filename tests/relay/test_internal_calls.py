"""Calls made inside the process behave like client calls without a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.canon.events import BlockStart, Delta, End, Event
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.run.playground_calls import run_playground_call
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse


class RecordingListener:
    """A listener that records all callbacks of a call."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.seen: list[Event] = []
        self.bytes = b""
        self.records: list[LogRecord] = []

    def on_attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def on_events(self, events: list[Event]) -> None:
        self.seen += events

    def on_bytes(self, data: bytes) -> None:
        self.bytes += data

    def on_settled(self, record: LogRecord) -> None:
        self.records.append(record)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.seen if isinstance(event, Delta))


def body(**more: Any) -> bytes:
    request_json = {"model": "r", "messages": [{"role": "user", "content": "hi"}], **more}
    return json.dumps(request_json).encode()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_listener_receives_the_response_and_the_log_entry(
    tmp_path: Path, stream: bool
) -> None:
    responses = {
        True: sse(chunk("hel"), chunk("lo"), chunk(finish="stop"), DONE),
        False: completion("hello"),
    }
    listener = RecordingListener()
    async with gateway(
        tmp_path, snapshot(route("r", provider("one"))), one=lambda _: responses[stream]
    ) as live:
        record = await run_playground_call(
            live.runtime,
            dialect="openai_chat",
            body=body(stream=stream),
            caller="playground",
            session="s1",
            listener=listener,
        )
        logged = await live.record()
    assert listener.text == "hello"
    assert isinstance(listener.seen[-1], End)
    assert b"hello" in listener.bytes or b"hel" in listener.bytes
    assert (record.status, record.key_prefix, record.session) == (200, "playground", "s1")
    assert [attempt.error_kind for attempt in listener.attempts] == [None]
    assert isinstance(logged, LogRecord)
    assert logged.route == "r"


async def test_a_listener_receives_the_calls_of_a_passthrough_response(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    listener = RecordingListener()
    async with gateway(
        tmp_path, snapshot(route("r", provider("one"))), one=lambda _: completion(choices=[choice])
    ) as live:
        await run_playground_call(
            live.runtime, dialect="openai_chat", body=body(), caller="playground", listener=listener
        )
    started = [event for event in listener.seen if isinstance(event, BlockStart)]
    assert [event.name for event in started if event.kind == "tool_call"] == ["f"]


async def test_another_dialect_is_translated(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with gateway(
        tmp_path,
        snapshot(route("r", provider("one"))),
        one=lambda _: sse(chunk("hey"), chunk(finish="stop"), DONE),
    ) as live:
        record = await run_playground_call(
            live.runtime,
            dialect="anthropic_messages",
            body=body(max_tokens=9, stream=True),
            caller="p",
            listener=listener,
        )
    assert b"event: message_start" in listener.bytes
    assert record.client_dialect == "anthropic_messages"


async def test_a_listener_receives_each_failed_attempt(tmp_path: Path) -> None:
    responses = {
        "one": lambda _: httpx.Response(500, json={"error": {"message": "down"}}),
        "two": lambda _: completion("hello"),
    }
    listener = RecordingListener()
    routed = route("r", provider("one"), provider("two"))
    async with gateway(tmp_path, snapshot(routed), **responses) as live:
        record = await run_playground_call(
            live.runtime, dialect="openai_chat", body=body(), caller="p", listener=listener
        )
    assert [attempt.provider for attempt in listener.attempts] == ["one", "two"]
    assert listener.attempts[0].error_kind == "upstream_error"
    assert record.status == 200


@pytest.mark.parametrize(
    ("request_json", "status", "expected"),
    [
        (b"{}", 400, "model"),
        (b"nonsense", 400, "not valid"),
        (body(model="nobody"), 404, "nobody"),
        (body(messages="x"), 400, "messages"),
    ],
)
async def test_an_invalid_request_is_logged_too(
    tmp_path: Path, request_json: bytes, status: int, expected: str
) -> None:
    async with gateway(
        tmp_path,
        snapshot(route("r", provider("one", "anthropic_messages"))),
        one=lambda _: completion(),
    ) as live:
        record = await run_playground_call(
            live.runtime, dialect="openai_chat", body=request_json, caller="p"
        )
        assert live.upstreams.requests == []
    assert record.status == status
    assert expected in record.error


async def test_cancelling_closes_the_upstream(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with gateway(
        tmp_path,
        snapshot(route("r", provider("one"))),
        one=lambda _: sse(chunk("hel"), 30.0, chunk("lo")),
    ) as live:
        task = asyncio.create_task(
            run_playground_call(
                live.runtime,
                dialect="openai_chat",
                body=body(stream=True),
                caller="p",
                listener=listener,
            )
        )
        while not listener.text:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert live.upstreams.closed == ["one"]
        assert [record.outcome for record in listener.records] == ["client_closed"]
        assert (await live.record()).id == listener.records[0].id
