"""A stream whose connection breaks or hangs after the whole response is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from gateway.routing.snapshot import Timeouts
from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

BROKEN = httpx.ReadError("the upstream closed the connection")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("end", [BROKEN, 3600], ids=["broken", "hanging"])
@pytest.mark.parametrize(
    ("path", "last"), [("/v1/messages", b"message_stop"), ("/api/chat", b"stop")]
)
async def test_a_complete_response_ends_normally(
    tmp_path: Path, path: str, last: bytes, end: Any
) -> None:
    parts = [chunk("a"), chunk(finish="stop", usage=USAGE), end]
    row, body = await _relayed(tmp_path, path, parts)
    assert row.outcome == "ok"
    assert last in body
    assert b"error" not in body
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")


async def test_an_event_cut_off_after_the_finish_is_not_passed_on(tmp_path: Path) -> None:
    cut_off = chunk(usage=USAGE)[:40]
    row, body = await _relayed(tmp_path, CHAT, [chunk("a"), chunk(finish="stop"), cut_off, BROKEN])
    assert row.outcome == "ok"
    assert body.endswith(b"}\n\n")
    assert b"error" not in body


@pytest.mark.parametrize("end", [BROKEN, 3600], ids=["broken", "hanging"])
async def test_an_incomplete_response_ends_with_an_error(tmp_path: Path, end: Any) -> None:
    row, body = await _relayed(tmp_path, CHAT, [chunk("a", usage=USAGE), end])
    assert row.outcome == "cut"
    assert b'"error"' in body
    assert DONE not in body


async def _relayed(
    tmp_path: Path, path: str, parts: list[Any], *, stream: bool = True
) -> tuple[Any, bytes]:
    """Return the log record and the client's bytes of an upstream's stream."""
    maker = replace(provider("a"), timeouts=Timeouts(idle_s=0.3))
    body = {"model": "m", "messages": MESSAGES}
    async with gateway(tmp_path, snapshot(route("m", maker)), a=lambda _: sse(*parts)) as live:
        reply = await live.post(path, body | {"stream": stream, "max_tokens": 9})
        return await live.record(), reply.body


LAST = chunk(finish="stop", usage=USAGE).rstrip()


@pytest.mark.parametrize(
    "end",
    [[LAST], [LAST, BROKEN], [LAST[:40], LAST[40:]], [LAST + b"\n\n" + chunk()[:20], BROKEN]],
    ids=["no-blank-line", "broken", "two-parts", "cut-off-after-the-finish"],
)
async def test_a_collected_stream_is_complete_without_its_last_bytes(
    tmp_path: Path, end: list[Any]
) -> None:
    row, body = await _relayed(tmp_path, CHAT, [chunk("a"), *end], stream=False)
    assert row.outcome == "ok"
    choice = json.loads(body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a", "stop")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")


@pytest.mark.parametrize("cut_off", [[LAST[:-1]], [LAST[:-1], BROKEN], [BROKEN], []])
async def test_a_collected_stream_that_is_cut_off_is_an_error(
    tmp_path: Path, cut_off: list[Any]
) -> None:
    row, body = await _relayed(tmp_path, CHAT, [chunk("a"), *cut_off], stream=False)
    assert row.outcome == "error"
    assert "choices" not in json.loads(body)


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"], ids=["passed", "translated"])
@pytest.mark.parametrize(
    "end",
    [[LAST], [LAST, BROKEN], [LAST, 3600], [LAST + b"\n\n" + chunk()[:20]]],
    ids=["no-blank-line", "broken", "hanging", "cut-off-after-the-finish"],
)
async def test_a_streamed_response_is_complete_without_its_last_bytes(
    tmp_path: Path, path: str, end: list[Any]
) -> None:
    row, body = await _relayed(tmp_path, path, [chunk("a"), *end])
    assert row.outcome == "ok"
    assert body.endswith(b"}\n\n")  # clients drop an event without the blank line
    assert b'"stop"' in body or b"message_stop" in body
    assert b"error" not in body
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"], ids=["passed", "translated"])
@pytest.mark.parametrize("cut_off", [[LAST[:-1]], [LAST[:-1], BROKEN], [BROKEN], []])
async def test_a_streamed_response_that_is_cut_off_is_an_error(
    tmp_path: Path, path: str, cut_off: list[Any]
) -> None:
    row, body = await _relayed(tmp_path, path, [chunk("a"), *cut_off])
    assert row.outcome == "cut"
    assert b"error" in body
    assert b'"stop"' not in body


ERROR = b'data: {"error": {"message": "boom", "type": "server_error", "code": 500}}\n\n'
GEMINI_LAST = (
    b'data: {"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, '
    b'"finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 7, '
    b'"candidatesTokenCount": 3}}\r\n\r\n'
)


@pytest.mark.parametrize("later", [ERROR + DONE, b"data: <html>\n\n"], ids=["error", "html"])
@pytest.mark.parametrize("pause", [[0.02], []], ids=["later-read", "same-read"])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages"], ids=["passed", "translated"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_an_error_after_the_whole_response_is_not_passed_on(
    tmp_path: Path, path: str, pause: list[Any], later: bytes, stream: bool
) -> None:
    last = chunk(finish="stop", usage=USAGE)
    parts = [chunk("a"), last, 0.02, later] if pause else [chunk("a") + last + later]
    row, body = await _relayed(tmp_path, path, parts, stream=stream)
    assert row.outcome == "ok"
    assert b'"stop"' in body or b"end_turn" in body
    assert b"boom" not in body
    assert b"html" not in body
    assert b"error" not in body
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")


@pytest.mark.parametrize("pause", [True, False], ids=["later-read", "same-read"])
async def test_an_error_after_a_whole_gemini_response_is_not_passed_on(
    tmp_path: Path, pause: bool
) -> None:
    parts = [GEMINI_LAST, 0.02, ERROR] if pause else [GEMINI_LAST + ERROR]
    registry = snapshot(route("m", provider("a", "gemini"), model="gemini-2.5-flash"))
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        reply = await live.post(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        )
        row = await live.record()
    assert reply.body == GEMINI_LAST
    assert (row.outcome, row.output_tokens) == ("ok", 3)


async def test_an_error_after_a_reason_that_is_an_error_is_passed_on(tmp_path: Path) -> None:
    row, body = await _relayed(tmp_path, CHAT, [chunk("a"), chunk(finish="error"), 0.02, ERROR])
    assert row.outcome == "cut"
    assert b"boom" in body


def _chat_choice(index: int, **fields: Any) -> bytes:
    return chunk(choices=[{"index": index, "delta": {"content": "a"}, **fields}])


def _completion_choice(index: int, **fields: Any) -> bytes:
    return chunk(choices=[{"index": index, "text": "a", **fields}])


def _candidate(index: int, **fields: Any) -> bytes:
    candidate = {"index": index, "content": {"role": "model", "parts": [{"text": "a"}]}, **fields}
    return b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n"


CHOICE_FORMATS = pytest.mark.parametrize(
    ("dialect", "path", "part", "finish"),
    [
        ("openai_chat", CHAT, _chat_choice, {"finish_reason": "stop"}),
        ("openai_completions", "/v1/completions", _completion_choice, {"finish_reason": "stop"}),
        (
            "gemini",
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            _candidate,
            {"finishReason": "STOP"},
        ),
    ],
    ids=["chat", "completions", "gemini"],
)


async def _passed_choices(
    tmp_path: Path, dialect: str, path: str, count: int, parts: list[Any]
) -> tuple[Any, bytes]:
    """Return the log record and the client's bytes of a stream of several choices."""
    preset = "gemini" if dialect == "gemini" else "openai"
    maker = replace(provider("a", dialect, preset=preset), timeouts=Timeouts(idle_s=0.3))
    registry = snapshot(route("m", maker, model="gemini-2.5-flash"))
    body = {"model": "m", "stream": True, "n": count}
    body |= {"prompt": "hi"} if dialect == "openai_completions" else {"messages": MESSAGES}
    if dialect == "gemini":
        contents = [{"role": "user", "parts": [{"text": "hi"}]}]
        body = {"contents": contents, "generationConfig": {"candidateCount": count}}
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        reply = await live.post(path, body)
        row = await live.record()
    assert row.passthrough
    return row, reply.body


@pytest.mark.parametrize("end", [[], [BROKEN], [0.02, ERROR]], ids=["end", "broken", "error"])
@CHOICE_FORMATS
async def test_a_passed_stream_with_an_open_choice_is_not_complete(
    tmp_path: Path, dialect: str, path: str, part: Any, finish: Any, end: list[Any]
) -> None:
    """Its first choice has ended, its second one has not."""
    parts = [part(0), part(1), part(0, **finish), part(1), *end]
    row, body = await _passed_choices(tmp_path, dialect, path, 2, parts)
    assert row.outcome == "cut"
    assert b'"error"' in body


ENDS = pytest.mark.parametrize(
    "end", [[BROKEN], [3600], [0.02, ERROR]], ids=["broken", "hanging", "error"]
)


@ENDS
@CHOICE_FORMATS
async def test_a_passed_stream_without_a_requested_choice_is_not_complete(
    tmp_path: Path, dialect: str, path: str, part: Any, finish: Any, end: list[Any]
) -> None:
    """Two of its three choices have ended, the third one has not begun."""
    parts = [part(0), part(1), part(0, **finish), part(1, **finish), *end]
    row, body = await _passed_choices(tmp_path, dialect, path, 3, parts)
    assert row.outcome == "cut"
    assert b'"error"' in body
    assert (b"boom" in body) == (end[-1] == ERROR)


@ENDS
@CHOICE_FORMATS
async def test_a_passed_stream_with_all_choices_is_complete(
    tmp_path: Path, dialect: str, path: str, part: Any, finish: Any, end: list[Any]
) -> None:
    parts = [part(0), part(1), part(0, **finish), part(1, **finish), *end]
    row, body = await _passed_choices(tmp_path, dialect, path, 2, parts)
    assert row.outcome == "ok"
    assert b"error" not in body


@CHOICE_FORMATS
async def test_a_provider_may_return_fewer_choices_than_requested(
    tmp_path: Path, dialect: str, path: str, part: Any, finish: Any
) -> None:
    row, body = await _passed_choices(tmp_path, dialect, path, 2, [part(0), part(0, **finish)])
    assert row.outcome == "ok"
    assert b"error" not in body
