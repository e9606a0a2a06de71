"""Faulty providers of other dialects on the wire, and what each kind of client receives.

`test_faults` covers the two most common dialects; this module covers Gemini, Ollama, Cohere and
Amazon, whose responses end differently, on raw sockets.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from gateway.framing.eventstream import encode
from tests.e2e.stack import BRIEF_S, LONG_S, Gateway, litellm_config
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
KEY = "sk-cloud-fault-0123456789abcdef"
PIECES = ("All ", "is ", "wéll.")
TEXT = "".join(PIECES)
HANG_S = 30.0


@dataclass(frozen=True)
class ValidResponse:
    """A dialect's valid response: whole, and as the frames of a stream."""

    whole: Json
    frames: tuple[bytes, ...]
    kind: str


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _gemini(text: str, **more: Any) -> Json:
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "index": 0, **more}], "modelVersion": "m"}


def _ollama(text: str, **more: Any) -> Json:
    message = {"role": "assistant", "content": text}
    return {"model": "m", "created_at": "t", "message": message, "done": False, **more}


def _cohere(type_: str, **content: Any) -> Json:
    return {"type": type_, "index": 0, "delta": {"message": {"content": content}}}


def _data(value: Json) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


_DONE = {"done": True, "done_reason": "stop"}
_STOP: Json = {"finishReason": "STOP"}
_BLOCKS = [{"text": TEXT}]
GOOD = {
    "gemini": ValidResponse(
        _gemini(TEXT, **_STOP),
        tuple(_data(_gemini(piece, **(_STOP if piece == PIECES[-1] else {}))) for piece in PIECES),
        "text/event-stream",
    ),
    "ollama": ValidResponse(
        _ollama(TEXT, **_DONE),
        tuple(_json(line) + b"\n" for line in [*map(_ollama, PIECES), _ollama("", **_DONE)]),
        "application/x-ndjson",
    ),
    "cohere": ValidResponse(
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
        },
        (
            _data({"type": "message-start", "id": "c"}),
            *(_data(_cohere("content-delta", text=piece)) for piece in PIECES),
            _data({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
        ),
        "text/event-stream",
    ),
    "bedrock": ValidResponse(
        {
            "output": {"message": {"role": "assistant", "content": _BLOCKS}},
            "stopReason": "end_turn",
        },
        (
            encode(_json({"role": "assistant"}), "messageStart"),
            *(
                encode(_json({"contentBlockIndex": 0, "delta": {"text": p}}), "contentBlockDelta")
                for p in PIECES
            ),
            encode(_json({"stopReason": "end_turn"}), "messageStop"),
        ),
        "application/vnd.amazon.eventstream",
    ),
}


@dataclass
class FaultyResponse:
    """A response with a fault."""

    out: ResponseWriter
    valid_response: ValidResponse
    stream: bool

    @property
    def data(self) -> bytes:
        """Return the valid bytes."""
        return (
            b"".join(self.valid_response.frames)
            if self.stream
            else _json(self.valid_response.whole)
        )

    @property
    def kind(self) -> str:
        """Return their content type."""
        return self.valid_response.kind if self.stream else "application/json"

    async def head(self, *lines: str) -> None:
        """Return the head of a valid response with these extra lines."""
        text = "\r\n".join(["HTTP/1.1 200 OK", f"content-type: {self.kind}", *lines])
        await self.out.raw(f"{text}\r\n\r\n".encode())

    async def refuse(self, status: int, **headers: str) -> None:
        """Send an error of this status that repeats the key."""
        message = f"no: {KEY}"
        reply_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.out.reply(
            status, {"error": {"message": message}, "message": message}, reply_headers
        )


CHUNKED = "transfer-encoding: chunked"


async def _interim(turn: FaultyResponse) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    await turn.out.raw(early)
    await turn.head(f"content-length: {len(turn.data)}")
    await turn.out.raw(turn.data)


async def _split_bytes(turn: FaultyResponse) -> None:
    """Split every frame, and every multi-byte character."""
    await turn.head(CHUNKED)
    for position in range(len(turn.data)):
        await turn.out.write(turn.data[position : position + 1])
    await turn.out.end()


def _truncate_body(part: float, *, clean: bool) -> Callable[[FaultyResponse], Awaitable[None]]:
    async def respond(turn: FaultyResponse) -> None:
        await turn.head(CHUNKED)
        await turn.out.write(turn.data[: int(len(turn.data) * part)])
        if clean:
            await turn.out.end()

    return respond


async def _gzip_cut(turn: FaultyResponse) -> None:
    """Send well-formed HTTP whose compressed data is incomplete."""
    packed = gzip.compress(turn.data)[:-20]
    await turn.head(f"content-length: {len(packed)}", "content-encoding: gzip")
    await turn.out.raw(packed)


async def _gzip_garbage(turn: FaultyResponse) -> None:
    await turn.head("content-length: 50", "content-encoding: gzip")
    await turn.out.raw(b"\x1f\x8b\x08" + b"x" * 47)


async def _two_lengths(turn: FaultyResponse) -> None:
    await turn.head(f"content-length: {len(turn.data)}", "content-length: 7")
    await turn.out.raw(turn.data)


async def _short_length(turn: FaultyResponse) -> None:
    await turn.head(f"content-length: {len(turn.data) // 2}")
    await turn.out.raw(turn.data)


async def _head_only(turn: FaultyResponse) -> None:
    await turn.head(CHUNKED)


async def _switching(turn: FaultyResponse) -> None:
    await turn.out.raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n" + turn.data)


async def _bad_letter(turn: FaultyResponse) -> None:
    await turn.out.begin(200, {"content-type": turn.kind})
    await turn.out.write(turn.data.replace("é".encode(), b"\xff"))
    await turn.out.end()


async def _html_page(turn: FaultyResponse) -> None:
    await turn.out.reply(200, b"<html>hotel</html>", {"content-type": turn.kind})


async def _silence(turn: FaultyResponse) -> None:
    await turn.head(CHUNKED)
    await asyncio.sleep(60)


async def _unpaid(turn: FaultyResponse) -> None:
    await turn.refuse(402)


async def _locked(turn: FaultyResponse) -> None:
    await turn.refuse(401)


async def _busy(turn: FaultyResponse) -> None:
    dates = {
        "date": "Sat, 21 Nov 2026 20:00:00 GMT",
        "retry_after": "Sat, 21 Nov 2026 20:00:09 GMT",
    }
    await turn.refuse(503, **dates)


async def _overloaded(turn: FaultyResponse) -> None:
    await turn.refuse(529, retry_after="9")


# Fault -> what the client sees: all of it, an error of this class, or an error at any time.
FAULTS: dict[str, tuple[Callable[[FaultyResponse], Awaitable[None]], str]] = {
    "interim": (_interim, "whole"),
    "bytewise": (_split_bytes, "whole"),
    "cut-early": (_truncate_body(0.1, clean=True), "broken"),
    "cut-late": (_truncate_body(0.7, clean=False), "broken"),
    "cut-cleanly": (_truncate_body(0.7, clean=True), "broken"),
    "gzip-cut": (_gzip_cut, "broken"),
    "gzip-garbage": (_gzip_garbage, "broken"),
    "two-lengths": (_two_lengths, "broken"),
    "short-length": (_short_length, "broken"),
    "head-only": (_head_only, "broken"),
    "switching": (_switching, "broken"),
    "bad-letter": (_bad_letter, "broken"),
    "a-page": (_html_page, "broken"),
    "silence": (_silence, "late"),
    "unpaid": (_unpaid, "quota"),
    "locked": (_locked, "broken"),
    "busy": (_busy, "busy"),
    "overloaded": (_overloaded, "busy"),
}
# The status of an error before the first byte, by the client.
STATUSES = {
    "gemini": {"broken": 500, "late": 504, "quota": 429, "busy": 503},
    "ollama": {"broken": 502, "late": 504, "quota": 429, "busy": 503},
    "messages": {"broken": 500, "late": 504, "quota": 402, "busy": 529},
}


class FaultyServer(Server):
    """A server of four dialects, chosen by path; the model's name is the fault."""

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond with the fault."""
        path = unquote(request.path)
        heads = {"ollama": "/api/chat", "cohere": "/v2/chat", "bedrock": "/model/"}
        dialect = next((name for name, part in heads.items() if part in path), "gemini")
        name = (request.body or {}).get("model") or path
        fault = next(fault_name for fault_name in FAULTS if f"fault-{fault_name}" in name)
        streamed = "stream" in path.lower() or (request.body or {}).get("stream") is True
        await FAULTS[fault][0](FaultyResponse(out, GOOD[dialect], streamed))
        return fault in {"interim", "bytewise"}


PREFIX = {
    "gemini": "gemini/",
    "ollama": "ollama_chat/",
    "cohere": "cohere_chat/",
    "bedrock": "bedrock/converse/amazon.nova-",
}


def _row(url: str, dialect: str, fault: str) -> Json:
    wait_s = BRIEF_S if fault == "silence" else LONG_S
    params: Json = {"model": f"{PREFIX[dialect]}fault-{fault}", "max_retries": 0}
    params |= {"timeout": wait_s, "stream_timeout": wait_s}
    if dialect == "bedrock":
        params |= {"aws_bedrock_runtime_endpoint": url, "aws_region_name": "us-east-1"}
        params |= {"aws_access_key_id": "AKIAFAULT", "aws_secret_access_key": KEY}
    else:
        params |= {"api_base": url, "api_key": KEY}
    return {"model_name": f"{dialect}-{fault}", "litellm_params": params}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with FaultyServer() as server:
        rows = [_row(server.url, dialect, fault) for dialect, fault in product(GOOD, FAULTS)]
        live = Gateway(tmp_path_factory.mktemp("cloud-faults"), litellm_config(rows)).start()
        try:
            yield live
            live.stop()
        finally:
            live.kill()


def send_request(gateway: Gateway, client: str, model: str, *, stream: bool) -> httpx.Response:
    """Send a request in a client's dialect; fail if it hangs or is interrupted."""
    messages = [{"role": "user", "content": "Is all well?"}]
    body: Json = {"model": model, "messages": messages, "stream": stream}
    path = {"ollama": "/api/chat", "messages": "/v1/messages"}.get(client, "")
    if client == "gemini":
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path = f"/v1beta/models/{model}:{action}"
        body = {"contents": [{"role": "user", "parts": [{"text": "Is all well?"}]}]}
    if client == "messages":
        body["max_tokens"] = 50
    headers = {"authorization": f"Bearer {gateway.key}", "anthropic-version": "2023-06-01"}
    return httpx.post(f"{gateway.url}{path}", json=body, headers=headers, timeout=HANG_S)


def parsed_response(client: str, response: httpx.Response) -> tuple[str, bool, bool]:
    """Return a response's text, whether it is complete, and whether it reports an error."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines()]
    bodies = [json.loads(line) for line in lines if line.startswith("{")]
    has_error = any("error" in event or event.get("type") == "error" for event in bodies)
    match client:
        case "gemini":
            candidates = [
                candidate for event in bodies for candidate in event.get("candidates", [])
            ]
            text = "".join(
                p["text"] for candidate in candidates for p in candidate["content"]["parts"]
            )
            return text, any("finishReason" in candidate for candidate in candidates), has_error
        case "ollama":
            text = "".join(event.get("message", {}).get("content", "") for event in bodies)
            return text, any(event.get("done") for event in bodies), has_error
        case _:
            texts = [p["text"] for event in bodies for p in event.get("content", [])]
            pieces = [event["delta"].get("text", "") for event in bodies if "delta" in event]
            ended = any(e["type"] == "message_stop" or e.get("stop_reason") for e in bodies)
            return "".join([*texts, *pieces]), ended, has_error


KEYS = list(product(GOOD, FAULTS, STATUSES, (True, False)))
Key = tuple[str, str, str, bool]


@pytest.fixture(scope="module")
def responses(gateway: Gateway) -> dict[Key, Future[httpx.Response]]:
    """All responses; requested concurrently, because each waits for its log row."""
    with ThreadPoolExecutor(12) as pool:
        futures = {
            (dialect, fault, client, stream): pool.submit(
                send_request, gateway, client, f"{dialect}-{fault}", stream=stream
            )
            for dialect, fault, client, stream in KEYS
        }
    gateway.wait_for_log()
    return futures


@pytest.mark.wide(every=6)
@pytest.mark.parametrize(
    "key", [pytest.param(k, id="-".join([*k[:3], "stream" if k[3] else "whole"])) for k in KEYS]
)
def test_a_broken_response_is_an_error_in_the_clients_dialect(
    gateway: Gateway, responses: dict[Key, Future[httpx.Response]], key: Key
) -> None:
    _, fault, client, stream = key
    response = responses[key].result()
    row = gateway.row(response.headers["x-request-id"])
    text, ended, has_error = parsed_response(client, response)
    fate = FAULTS[fault][1]
    if fate == "whole":
        assert (response.status_code, text, ended, has_error) == (200, TEXT, True, False)
        assert row["outcome"] == "ok"
        return
    assert KEY not in response.text
    assert has_error
    assert not ended
    if response.status_code == 200:
        assert stream, response.text
        assert row["outcome"] == "cut"
    else:
        assert response.status_code == STATUSES[client][fate]
        assert row["outcome"] == "error"
    if fate == "busy":
        assert response.headers["retry-after"] == "9"
