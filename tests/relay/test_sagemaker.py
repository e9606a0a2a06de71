"""Amazon SageMaker: signed endpoint calls, streams, and errors of its container."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.framing.eventstream import encode
from gateway.framing.payload_parts import Decoder
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Secret
from gateway.routing.snapshot import Provider
from tests.fakes.bedrock import KEY_ID, SECRET, SESSION, signature_refusal
from tests.fakes.server import RecordedRequest
from tests.relay.harness import (
    DONE,
    Gateway,
    PacedBody,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
)

HOST = "runtime.sagemaker.eu-central-1.amazonaws.com"
UNARY, STREAM = "/endpoints/tgi-1/invocations", "/endpoints/tgi-1/invocations-response-stream"
REQUEST = {"model": "r", "messages": [{"role": "user", "content": "hi"}]}
KIND = {
    "content-type": "application/vnd.amazon.eventstream",
    "x-amzn-sagemaker-content-type": "text/event-stream",
    "x-amzn-invoked-production-variant": "AllTraffic",
}


def sagemaker(**changes: Any) -> Provider:
    row = PRESETS["sagemaker"]
    return provider(
        "aws",
        row.dialect,
        preset=row.name,
        base_url=f"https://{HOST}",
        auth=row.auth,
        credential=Secret(f"{KEY_ID}:{SECRET}:{SESSION}"),
        paths=row.paths,
        edits=row.edits,
        **changes,
    )


class StrictSageMaker:
    """A runtime that checks signature, scope and path, and wraps the container's stream."""

    def __init__(self) -> None:
        self.wire = [chunk("hel"), chunk("lo", "stop"), DONE]
        self.more = b""
        self.kind = KIND
        self.error: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request_body = RecordedRequest(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode(),
            headers=dict(request.headers),
            raw=request.content,
        )
        authorization = request_body.headers["authorization"]
        refusal = signature_refusal(request_body, authorization, "sagemaker")
        if refusal is not None or "/eu-central-1/sagemaker/aws4_request" not in authorization:
            return httpx.Response(403, json={"Message": "wrong signature"})
        body = json.loads(request.content)
        if request_body.path != (STREAM if body.get("stream") else UNARY):
            error_body = {"Message": "Endpoint of account 123456789012 not found."}
            return httpx.Response(
                400, json=error_body, headers={"x-amzn-errortype": "ValidationError"}
            )
        if self.error is not None:
            error = self.error
            return httpx.Response(error.status_code, content=error.content, headers=error.headers)
        if not body.get("stream"):
            return completion()
        data = b"".join(self.wire)
        # The parts are of any size: an event of the container may be in several of them.
        parts = [
            encode(data[start : start + 70], "PayloadPart") for start in range(0, len(data), 70)
        ]
        wire = b"".join(parts) + self.more
        pieces = [wire[start : start + 100] for start in range(0, len(wire), 100)]
        return httpx.Response(200, headers=self.kind, stream=PacedBody(*pieces))


@asynccontextmanager
async def endpoint(
    tmp_path: Path, **changes: Any
) -> AsyncIterator[tuple[Gateway, StrictSageMaker]]:
    fake = StrictSageMaker()
    registry = snapshot(route("r", sagemaker(**changes), model="tgi-1"))
    async with gateway(tmp_path, registry, **{HOST: fake}) as opened:
        yield opened, fake


@pytest.mark.parametrize("passthrough", [True, False])
async def test_an_endpoint_answers_and_streams(tmp_path: Path, passthrough: bool) -> None:
    async with endpoint(tmp_path, passthrough=passthrough) as (gw, _):
        response = await gw.post("/v1/chat/completions", REQUEST)
        assert response.status == 200, response.json()
        assert response.json()["choices"][0]["message"]["content"] == "hello"
        streamed = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
        record = await gw.record()
        assert [request.url.path for request in gw.upstreams.requests] == [UNARY, STREAM]
        assert json.loads(gw.upstreams.requests[1].content)["stream"] is True
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [line[6:] for line in streamed.body.split(b"\n\n") if line.startswith(b"data: ")]
    assert events.pop() == b"[DONE]"
    texts = [c["delta"].get("content") or "" for e in events for c in json.loads(e)["choices"]]
    assert "".join(texts) == "hello"
    assert record.outcome == "ok"


async def test_a_claude_client_gets_the_stream_translated(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (gw, _):
        error_body = await gw.post("/v1/messages", {**REQUEST, "max_tokens": 9, "stream": True})
    assert error_body.status == 200
    assert b'"text":"hel"' in error_body.body.replace(b": ", b":")
    assert b"event: message_stop" in error_body.body


async def test_a_failure_within_the_stream_is_reported(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (gw, fake):
        fake.wire = [chunk("hel"), chunk("lo")[:20]]
        error_body = {"Message": "took too long", "ErrorCode": "ModelInvocationTimeExceeded"}
        fake.more = encode(json.dumps(error_body).encode(), "ModelStreamError", exception=True)
        streamed = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
        record = await gw.record()
    assert b"took too long" in streamed.body
    assert b"[DONE]" not in streamed.body
    assert record.outcome != "ok"


async def test_a_corrupt_stream_is_an_error(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (gw, fake):
        fake.wire = []
        fake.more = b"\0" * 64
        error_body = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
    assert error_body.status == 502
    assert "corrupt" in error_body.json()["error"]["message"]


async def test_the_response_of_a_non_streaming_container_is_streamed(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (gw, fake):
        fake.kind = {**KIND, "x-amzn-sagemaker-content-type": "application/json"}
        fake.wire = [completion().content]
        error_body = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
    assert error_body.status == 200
    assert b"hello" in error_body.body
    assert error_body.body.rstrip().endswith(b"[DONE]")


@pytest.mark.parametrize("passthrough", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (
            httpx.Response(
                424,
                json={
                    "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
                    "LogStreamArn": "arn:aws:logs:eu-central-1:123456789012:log-group",
                    "Message": 'Received client error (400) from primary with message "..."',
                    "OriginalMessage": '{"error":{"message":"maximum context length is 8"}}',
                    "OriginalStatusCode": 400,
                },
            ),
            400,
            "context_length_exceeded",
            "maximum context length is 8",
        ),
        (
            httpx.Response(
                400,
                json={"message": "Rate exceeded"},
                headers={"x-amzn-errortype": "ThrottlingException:http://internal/"},
            ),
            429,
            "rate_limit_exceeded",
            "Rate exceeded",
        ),
        (
            httpx.Response(
                400,
                json={"Message": "no such variant"},
                headers={"x-amzn-errortype": "ValidationError"},
            ),
            400,
            None,
            "no such variant",
        ),
    ],
    ids=["container", "throttled", "validation"],
)
async def test_errors_are_those_of_the_container(
    tmp_path: Path,
    error: httpx.Response,
    status: int,
    code: str | None,
    message: str,
    passthrough: bool,
) -> None:
    async with endpoint(tmp_path, passthrough=passthrough) as (gw, fake):
        fake.error = error
        claude = await gw.post("/v1/messages", {**REQUEST, "max_tokens": 9})
        error_body = await gw.post("/v1/chat/completions", REQUEST)
    assert message in claude.json()["error"]["message"]
    assert message in error_body.json()["error"]["message"]
    assert (error_body.status, error_body.json()["error"]["code"]) == (status, code)
    assert "arn:aws" not in error_body.body.decode()


def test_parts_are_unwrapped_in_any_split() -> None:
    wire = encode(b"data: a", "PayloadPart") + encode(b"bc\n\n", "PayloadPart")
    for size in (1, 7, len(wire)):
        decoder = Decoder()
        pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
        assert b"".join(map(decoder.feed, pieces)) == b"data: abc\n\n"
