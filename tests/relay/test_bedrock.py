"""Bedrock clients through the relay: binary streams pass through message by message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.framing.eventstream import Decoder, encode
from gateway.relay.run import stream as relay_stream
from gateway.routing.snapshot import Provider
from tests.relay.harness import DONE, PacedBody, chunk, gateway, provider, route, snapshot, sse

REQUEST = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
PATH = "/model/m/converse-stream"


def bedrock(name: str = "aws", **changes: Any) -> Provider:
    return provider(name, "bedrock_converse", preset="bedrock", **changes)


def message(name: str, **data: Any) -> bytes:
    return encode(json.dumps(data).encode(), name)


WIRE = (
    message("messageStart", role="assistant")
    + message("contentBlockDelta", delta={"text": "he"}, contentBlockIndex=0)
    + message("contentBlockDelta", delta={"text": "llo"}, contentBlockIndex=0)
    + message("contentBlockStop", contentBlockIndex=0)
    + message("messageStop", stopReason="end_turn")
    + message("metadata", usage={"inputTokens": 7, "outputTokens": 3, "totalTokens": 10})
)


def events(*parts: bytes | float | Exception) -> httpx.Response:
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    return httpx.Response(200, headers=headers, stream=PacedBody(*parts))


async def test_a_stream_passes_through_in_complete_messages(tmp_path: Path) -> None:
    pieces = [WIRE[i : i + 50] for i in range(0, len(WIRE), 50)]
    registry = snapshot(route("m", bedrock(), model="us.amazon.nova-pro-v1:0"))
    async with gateway(tmp_path, registry, aws=lambda _: events(*pieces)) as gw:
        reply = await gw.post(PATH, REQUEST)
        record = await gw.record()
    assert reply.body == WIRE
    assert reply.headers["content-type"] == "application/vnd.amazon.eventstream"
    decoder = Decoder()
    parts = [part for part in reply.parts if part]
    assert len(parts) > 4
    for part in parts:
        assert decoder.feed(part)
        assert not decoder.pending
    (upstream_request,) = gw.upstreams.requests
    assert json.loads(upstream_request.content) == REQUEST
    assert upstream_request.url.path.endswith("/us.amazon.nova-pro-v1:0/converse-stream")
    assert record.passthrough
    assert (record.input_tokens, record.output_tokens, record.finish) == (7, 3, "stop")


async def test_a_truncated_stream_ends_with_an_exception(tmp_path: Path) -> None:
    cut = len(WIRE) // 2
    registry = snapshot(route("m", bedrock(), model="us.amazon.nova-pro-v1:0"))
    pieces = (WIRE[:cut], httpx.ReadError("gone"))
    async with gateway(tmp_path, registry, aws=lambda _: events(*pieces)) as gw:
        reply = await gw.post(PATH, REQUEST)
        record = await gw.record()
    *_, last = Decoder().feed(reply.body)
    assert last.event == "internalServerException"
    assert record.outcome == "cut"


async def test_an_idle_event_stream_gets_no_keepalive_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_stream, "PING_S", 0.02)
    parts = (chunk("he"), 0.1, chunk("llo", finish="stop"), DONE)
    registry = snapshot(route("m", provider("chat")))
    async with gateway(tmp_path, registry, chat=lambda _: sse(*parts)) as gw:
        reply = await gw.post(PATH, REQUEST)
    assert all(reply.parts[:-1])
    texts = [json.loads(frame.data) for frame in Decoder().feed(reply.body)]
    assert [t["delta"]["text"] for t in texts if "delta" in t] == ["he", "llo"]
    assert texts[-1]["usage"]["outputTokens"] > 0


async def test_a_signed_request_is_refused_with_what_to_send(tmp_path: Path) -> None:
    signature = "AWS4-HMAC-SHA256 Credential=AKIA0/20260101/eu-west-1/bedrock/aws4_request"
    registry = snapshot(route("m", provider("chat")))
    async with gateway(tmp_path, registry, chat=lambda _: sse(DONE)) as gw:
        reply = await gw.post(PATH, REQUEST, headers={"authorization": signature})
    assert reply.status == 403
    assert reply.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert "AWS_BEARER_TOKEN_BEDROCK" in reply.json()["message"]
    assert not gw.upstreams.requests


@pytest.mark.parametrize("payload", [b"{bad", b"[]", b""])
async def test_an_unreadable_message_is_replaced_by_an_exception(
    tmp_path: Path, payload: bytes
) -> None:
    """boto3 raises KeyError for a message without a JSON object."""
    registry = snapshot(route("m", bedrock(), model="us.amazon.nova-pro-v1:0"))
    start = message("messageStart", role="assistant")
    delta = message("contentBlockDelta", delta={"text": "he"}, contentBlockIndex=0)
    bad = encode(payload, "contentBlockDelta")
    pieces = (start, 0.02, delta + bad)
    async with gateway(tmp_path, registry, aws=lambda _: events(*pieces)) as gw:
        reply = await gw.post(PATH, REQUEST)
        record = await gw.record()
    assert reply.body.startswith(start + delta)
    (last,) = Decoder().feed(reply.body[len(start + delta) :])
    assert last.event == "internalServerException"
    assert record.outcome == "cut"


async def test_an_exception_of_the_service_is_passed_on(tmp_path: Path) -> None:
    registry = snapshot(route("m", bedrock(), model="us.amazon.nova-pro-v1:0"))
    start = message("messageStart", role="assistant")
    failure = encode(b'{"message": "slow down"}', "throttlingException", exception=True)
    async with gateway(tmp_path, registry, aws=lambda _: events(start, 0.02, failure)) as gw:
        reply = await gw.post(PATH, REQUEST)
    assert reply.body == start + failure
