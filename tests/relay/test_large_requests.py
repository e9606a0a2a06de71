"""Large requests: too large ones are refused by name, and others do not block the loop."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.relay.event_loop import offload
from tests.relay.harness import completion, gateway, provider, route, snapshot

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TURN = {"role": "user", "content": "hello"}


def claude(_: Any) -> Any:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c"}
    content = [{"type": "text", "text": "hello"}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    return completion_of({**message, "content": content, "stop_reason": "end_turn", "usage": usage})


def completion_of(body: Any) -> Any:
    import httpx

    return httpx.Response(200, json=body)


def calls(count: int) -> list[dict[str, Any]]:
    functions = [
        {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for i in range(count)
    ]
    results = [{"role": "tool", "tool_call_id": f"c{i}", "content": "x"} for i in range(count)]
    return [TURN, {"role": "assistant", "tool_calls": functions}, *results]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([TURN] * 20_001, "messages"),
        (calls(10_001), "messages"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}] * 20_001}], "messages"),
    ],
)
async def test_too_many_items_are_refused_by_the_fields_name(
    tmp_path: Path, messages: list[Any], field: str
) -> None:
    registry = snapshot(route("m", provider("a", dialect="anthropic_messages")))
    async with gateway(tmp_path, registry, a=claude) as live:
        response = await live.post(CHAT, {"model": "m", "messages": messages})
        assert response.status == 400
        error = response.json()["error"]
        assert error["param"] == field
        assert "20000" in error["message"]


async def test_passthrough_requests_with_many_items_are_not_parsed(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, snapshot(route("m", provider("a"))), a=lambda _: completion()
    ) as live:
        body = {"model": "m", "messages": [TURN] * 20_001}
        assert (await live.post(CHAT, body)).status == 200


async def test_a_field_of_very_many_values_is_refused(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("a", dialect="anthropic_messages")))
    async with gateway(tmp_path, registry, a=claude) as live:
        body = {
            "model": "m",
            "messages": [TURN],
            "metadata": {"x": [[]] * (offload.MAX_VALUES + 1)},
        }
        response = await live.post(CHAT, body)
        assert response.status == 400
        assert "values of JSON" in response.json()["error"]["message"]


async def test_very_many_outermost_fields_are_refused(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, snapshot(route("m", provider("a"))), a=lambda _: completion()
    ) as live:
        fields = {f"field_{n}": n for n in range(offload.MAX_FIELDS + 1)}
        response = await live.post(CHAT, {"model": "m", "messages": [TURN], **fields})
        assert response.status == 400
        assert "fields" in response.json()["error"]["message"]


async def test_others_are_served_while_a_large_request_is_translated(tmp_path: Path) -> None:
    """The loop keeps running: it sleeps for a millisecond repeatedly."""
    registry = snapshot(route("m", provider("a", dialect="anthropic_messages")))
    async with gateway(tmp_path, registry, a=claude) as live:
        large = {"model": "m", "messages": calls(9_000)}
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        counting = asyncio.create_task(turn())
        start = time.process_time()
        assert (await live.post(CHAT, large)).status == 200
        cpu_s = time.process_time() - start
        counting.cancel()
        # In one piece it would be a handful.
        assert turns > 10 + cpu_s * 20


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=60),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=30,
)


@given(body=st.dictionaries(st.text(max_size=5), values, max_size=5), spaced=st.booleans())
def test_sliced_json_equals_unsliced_json(body: dict[str, Any], spaced: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHUNK_BYTES", "SLICE_BYTES", "_MIN_COUNTED_BYTES", "LARGE_BYTES"):
            patch.setattr(offload, name, 16)
        for escaped in (True, False):
            data = json.dumps(body, ensure_ascii=escaped, indent=1 if spaced else None).encode()
            assert offload.decode(data) == body
            offload.check_utf8(data)
        assert offload.encode(body, 100) == msgspec.json.encode(body)


@pytest.mark.parametrize("bad", [b"\xff", b"caf\xc3", b"\xed\xa0\x80"])
def test_invalid_utf8_is_detected_in_any_chunk(bad: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offload, "CHUNK_BYTES", 4)
        with pytest.raises(UnicodeDecodeError):
            offload.check_utf8("éé".encode() + b"abc" + bad)


@given(
    data=st.text('ab",', max_size=40).map(str.encode),
    pattern=st.text('ab",', min_size=1, max_size=4).map(str.encode),
)
def test_a_chunked_search_equals_a_search_of_the_text(data: bytes, pattern: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offload, "SCANNED_BYTES", 0)
        patch.setattr(offload, "CHUNK_BYTES", 3)
        assert offload.contains(data, (b"missing", pattern)) == (pattern in data)
        if len(pattern) == 1 or pattern[0] != pattern[1]:
            pattern = pattern[:2]
            assert offload.count(data, pattern, len(data)) == data.count(pattern)


@given(fields=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)))
def test_encode_fields_equals_encoding_the_object(fields: dict[str, Any]) -> None:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    assert offload.encode_fields(raw) == msgspec.json.encode(raw)


def test_commas_in_strings_are_not_counted_as_items() -> None:
    text = ',\\",' * (offload.MAX_VALUES // 2)
    body = b'{"messages": [{"role": "user", "content": "' + text.encode() + b'"}]}'
    assert len(offload.decode(body)["messages"]) == 1
    with pytest.raises(GatewayError):
        offload.decode(b'{"x": [' + b"1," * offload.MAX_VALUES + b"1]}")
