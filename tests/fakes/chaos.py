"""An upstream with a fault that the model's name selects.

It supports both dialects (by the request's path), so one fault serves both. `refused`,
`not_tls` and `unresolved` are base URLs of faults before a request is sent.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.dialect_responses import CHAT, MESSAGES, DialectResponses
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.ports import free_port

FOREVER_S = 60.0
KEY = "sk-chaos-0123456789abcdefghijklmnop"
_SSE = {"content-type": "text/event-stream"}


@dataclass
class FaultyExchange:
    """A request with a fault: the response writer, the valid responses, whether it streams."""

    out: ResponseWriter
    responses: DialectResponses
    stream: bool
    seen: RecordedRequest
    count: int

    async def ok(self) -> None:
        """Send the valid response."""
        if self.stream:
            await self.events(*self.responses.events, *self.responses.ending)
        else:
            await self.out.reply(200, self.responses.whole)

    async def events(self, *events: bytes, pause_s: float = 0.0) -> None:
        """Send a stream of these events that ends well as HTTP."""
        await self.out.begin(200, _SSE)
        for event in events:
            await self.out.write(event)
            await asyncio.sleep(pause_s)
        await self.out.end()

    async def start_stream(self) -> None:
        """Send a stream up to its first two text chunks."""
        await self.out.begin(200, _SSE)
        for event in self.responses.events[:3]:
            await self.out.write(event)
        await asyncio.sleep(0.05)

    async def json_head(self, length: int, extra: str = "") -> None:
        """Send the head of a JSON response of this length."""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}"
        await self.out.raw(f"{head}\r\n{extra}\r\n".encode())


Fault = Callable[[FaultyExchange], Awaitable[None]]


async def _never_answer(turn: FaultyExchange) -> None:
    await asyncio.sleep(FOREVER_S)


async def _rst(turn: FaultyExchange) -> None:
    turn.out.reset()


async def _close(turn: FaultyExchange) -> None:
    """Close the connection without a response."""


async def _garbage(turn: FaultyExchange) -> None:
    await turn.out.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64)


async def _bad_status_line(turn: FaultyExchange) -> None:
    await turn.out.raw(b"HTTP/1.1 abc Not A Number\r\ncontent-length: 0\r\n\r\n")


async def _huge_headers(turn: FaultyExchange) -> None:
    await turn.out.raw(b"HTTP/1.1 200 OK\r\nx-much: " + b"a" * 2_000_000 + b"\r\n\r\n")


async def _slow_headers(turn: FaultyExchange) -> None:
    await asyncio.sleep(0.5)
    await turn.ok()


async def _slow_body(turn: FaultyExchange) -> None:
    data = json.dumps(turn.responses.whole).encode()
    await turn.json_head(len(data))
    for start in range(0, len(data), 64):
        await turn.out.raw(data[start : start + 64])
        await asyncio.sleep(0.05)


async def _drip_headers(turn: FaultyExchange) -> None:
    await turn.out.raw(b"HTTP/1.1 200 OK\r\nx-drip: ")
    await _drip(turn, b"a")


async def _drip_body(turn: FaultyExchange) -> None:
    await turn.json_head(1_000_000)
    await _drip(turn, b" ")


async def _drip(turn: FaultyExchange, byte: bytes) -> None:
    for _ in range(int(FOREVER_S / 0.2)):
        await turn.out.raw(byte)
        await asyncio.sleep(0.2)


async def _half_closed(turn: FaultyExchange) -> None:
    data = json.dumps(turn.responses.whole).encode()
    await turn.json_head(len(data))
    await turn.out.raw(data[: len(data) // 2])


async def _truncated_json(turn: FaultyExchange) -> None:
    data = json.dumps(turn.responses.whole).encode()
    await turn.out.reply(200, data[: len(data) // 2])


async def _chunk_bad(turn: FaultyExchange) -> None:
    await turn.out.begin(200, {"content-type": "application/json"})
    await turn.out.raw(b"zz\r\n{}\r\n0\r\n\r\n")


async def _cl_and_te(turn: FaultyExchange) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n"
    await turn.out.raw(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    data = json.dumps(turn.responses.whole).encode()
    await turn.out.raw(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))


async def _html_200(turn: FaultyExchange) -> None:
    page = b"<html><body>Please log in to the hotel network</body></html>"
    await turn.out.reply(200, page, {"content-type": "text/html"})


async def _no_choices(turn: FaultyExchange) -> None:
    empty = {**turn.responses.whole, "choices": []}
    if "content" in empty:
        empty = {k: v for k, v in turn.responses.whole.items() if k != "content"}
    await turn.out.reply(200, empty)


async def _error_200(turn: FaultyExchange) -> None:
    await turn.out.reply(200, turn.responses.refusal("server_error", "it broke, with status 200"))


async def _redirect(turn: FaultyExchange) -> None:
    await turn.out.reply(307, b"", {"location": "/stolen"})


async def _echo_key(turn: FaultyExchange) -> None:
    authorization = turn.seen.headers.get("authorization") or turn.seen.headers.get("x-api-key", "")
    message = f"Incorrect API key provided: {authorization.removeprefix('Bearer ')}"
    await turn.out.reply(401, turn.responses.refusal("authentication_error", message))


async def _html_502(turn: FaultyExchange) -> None:
    page = b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>"
    await turn.out.reply(502, page, {"content-type": "text/html"})


async def _stream_error_first(turn: FaultyExchange) -> None:
    await turn.events(turn.responses.error)


async def _stream_error(turn: FaultyExchange) -> None:
    await turn.events(*turn.responses.events, turn.responses.error, pause_s=0.02)


async def _stream_truncate(turn: FaultyExchange) -> None:
    """End in the middle of an event and of the chunked body."""
    await turn.start_stream()
    await turn.out.write(turn.responses.events[3][:20])


async def _stream_rst(turn: FaultyExchange) -> None:
    await turn.start_stream()
    turn.out.reset()


async def _stream_stall(turn: FaultyExchange) -> None:
    await turn.start_stream()
    await asyncio.sleep(FOREVER_S)


async def _stream_comments_forever(turn: FaultyExchange) -> None:
    await turn.start_stream()
    for _ in range(int(FOREVER_S / 0.2)):
        await turn.out.write(b": still here\n\n")
        await asyncio.sleep(0.2)


async def _stream_comments_first(turn: FaultyExchange) -> None:
    comments = [b": working\n\n", turn.responses.keepalive] * 3
    await turn.events(*comments, *turn.responses.events, *turn.responses.ending, pause_s=0.02)


async def _stream_no_finish(turn: FaultyExchange) -> None:
    await turn.events(*turn.responses.events)


async def _stream_empty(turn: FaultyExchange) -> None:
    await turn.events()


async def _stream_no_done(turn: FaultyExchange) -> None:
    await turn.events(*turn.responses.events, *turn.responses.ending[:-1])


async def _stream_crlf(turn: FaultyExchange) -> None:
    data = b"".join((*turn.responses.events, *turn.responses.ending))
    await turn.events(data.replace(b"\n", b"\r\n"))


async def _stream_bytewise(turn: FaultyExchange) -> None:
    data = b"".join((*turn.responses.events, *turn.responses.ending))
    await turn.out.begin(200, _SSE)
    for number in range(len(data)):
        await turn.out.write(data[number : number + 1])
        await asyncio.sleep(0)
    await turn.out.end()


async def _stream_coalesced(turn: FaultyExchange) -> None:
    await turn.events(b"".join((*turn.responses.events, *turn.responses.ending)))


async def _stream_gzip(turn: FaultyExchange) -> None:
    squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    await turn.out.begin(200, {**_SSE, "content-encoding": "gzip"})
    for event in (*turn.responses.events, *turn.responses.ending):
        await turn.out.write(squeeze.compress(event) + squeeze.flush(zlib.Z_SYNC_FLUSH))
    await turn.out.write(squeeze.flush())
    await turn.out.end()


async def _events_after_end(turn: FaultyExchange) -> None:
    await turn.events(*turn.responses.events, *turn.responses.ending, *turn.responses.events[1:])


async def _bomb_32mib(turn: FaultyExchange) -> None:
    await turn.json_head(40 * 1024 * 1024)
    await turn.out.raw(b'{"x":"')
    for _ in range(40):
        await turn.out.raw(b"a" * 1024 * 1024)


@functools.cache
def _gzip_bomb() -> bytes:
    squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    spaces = b" " * 1024 * 1024
    return b"".join(squeeze.compress(spaces) for _ in range(128)) + squeeze.flush()


async def _gzip_bomb_response(turn: FaultyExchange) -> None:
    data = await asyncio.to_thread(_gzip_bomb)
    await turn.out.reply(200, data, {"content-encoding": "gzip"})


async def _bomb_event(turn: FaultyExchange) -> None:
    await turn.start_stream()
    await turn.out.write(b"data: ")
    for _ in range(10):
        await turn.out.write(b"a" * 1024 * 1024)
    await turn.out.write(b"\n\n")
    await turn.out.end()


async def _deep_json(turn: FaultyExchange) -> None:
    await turn.out.reply(200, b"[" * 100_000 + b"]" * 100_000)


async def _nan(turn: FaultyExchange) -> None:
    data = json.dumps({**turn.responses.whole, "created": float("nan")})
    await turn.out.reply(200, data.encode())


async def _bad_utf8(turn: FaultyExchange) -> None:
    data = json.dumps(turn.responses.whole).encode().replace(b"All is", b"All \xff\xfe is")
    await turn.out.reply(200, data)


async def _negative_usage(turn: FaultyExchange) -> None:
    usage = {name: -5 for name in turn.responses.whole["usage"]}
    await turn.out.reply(200, {**turn.responses.whole, "usage": usage})


async def _gzip_unary(turn: FaultyExchange) -> None:
    data = gzip.compress(json.dumps(turn.responses.whole).encode())
    await turn.out.reply(200, data, {"content-encoding": "gzip"})


def _status(status: int, kind: str, message: str, code: str | None = None, **headers: str) -> Fault:
    async def respond(turn: FaultyExchange) -> None:
        sent_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        await turn.out.reply(status, turn.responses.refusal(kind, message, code), sent_headers)

    return respond


def _body(data: bytes) -> Fault:
    async def respond(turn: FaultyExchange) -> None:
        await turn.out.reply(200, data)

    return respond


def _fails_once(first: Fault) -> Fault:
    """Return a fault that happens once, followed by valid responses."""

    async def respond(turn: FaultyExchange) -> None:
        if turn.count == 1:
            await first(turn)
        else:
            await turn.ok()

    return respond


async def _wrong_shape(turn: FaultyExchange) -> None:
    await turn.out.reply(200, turn.responses.wrong_shape)


async def _no_content(turn: FaultyExchange) -> None:
    await turn.out.raw(b"HTTP/1.1 204 No Content\r\n\r\n")


_429 = _status(429, "rate_limit_error", "Too many requests", "rate_limit_exceeded")
_503 = _status(503, "server_error", "Overloaded", "server_is_overloaded")

FAULTS: dict[str, Fault] = {
    "ok": FaultyExchange.ok,
    "hang": _never_answer,
    "rst": _rst,
    "close": _close,
    "garbage": _garbage,
    "bad-status-line": _bad_status_line,
    "huge-headers": _huge_headers,
    "slow-headers": _slow_headers,
    "slow-body": _slow_body,
    "drip-headers": _drip_headers,
    "drip-body": _drip_body,
    "half-closed": _half_closed,
    "truncated-json": _truncated_json,
    "chunk-bad": _chunk_bad,
    "cl-and-te": _cl_and_te,
    "html-200": _html_200,
    "empty-200": _body(b""),
    "invalid-json": _body(b"{not json}"),
    "wrong-shape": _wrong_shape,
    "json-null": _body(b"null"),
    "no-choices": _no_choices,
    "error-200": _error_200,
    "204": _no_content,
    "redirect": _redirect,
    "400": _status(400, "invalid_request_error", "That makes no sense", "invalid_value"),
    "400-context": _status(
        400,
        "invalid_request_error",
        "prompt is too long: 9000 tokens > 8000 maximum context length",
        "context_length_exceeded",
    ),
    "401": _status(401, "authentication_error", "Incorrect API key provided", "invalid_api_key"),
    "401-echo-key": _echo_key,
    "402": _status(402, "billing_error", "Your credit balance is too low"),
    "403": _status(403, "permission_error", "Not allowed"),
    "404": _status(404, "not_found_error", "No such model", "model_not_found"),
    "413": _status(413, "request_too_large", "Too large", "request_too_large"),
    "422": _status(422, "invalid_request_error", "Can not be processed"),
    "429": _429,
    "429-retry-after": _status(
        429, "rate_limit_error", "Wait", "rate_limit_exceeded", retry_after="7"
    ),
    "429-quota": _status(429, "insufficient_quota", "No credit", "insufficient_quota"),
    "500": _status(500, "api_error", "It broke"),
    "502-html": _html_502,
    "503": _503,
    "529": _status(529, "overloaded_error", "Overloaded"),
    "heal-429": _fails_once(_429),
    "heal-503": _fails_once(_503),
    "heal-rst": _fails_once(_rst),
    "stream-error-first": _stream_error_first,
    "stream-error": _stream_error,
    "stream-truncate": _stream_truncate,
    "stream-rst": _stream_rst,
    "stream-stall": _stream_stall,
    "stream-comments-forever": _stream_comments_forever,
    "stream-comments-first": _stream_comments_first,
    "stream-no-finish": _stream_no_finish,
    "stream-no-done": _stream_no_done,
    "stream-empty": _stream_empty,
    "stream-crlf": _stream_crlf,
    "stream-bytewise": _stream_bytewise,
    "stream-coalesced": _stream_coalesced,
    "stream-gzip": _stream_gzip,
    "events-after-end": _events_after_end,
    "bomb-32mib": _bomb_32mib,
    "bomb-gzip": _gzip_bomb_response,
    "bomb-event": _bomb_event,
    "deep-json": _deep_json,
    "nan": _nan,
    "bad-utf8": _bad_utf8,
    "negative-usage": _negative_usage,
    "gzip": _gzip_unary,
}
# After these the connection may serve another request.
_KEEP_ALIVE_FAULTS = {"ok", "slow-headers", "slow-body", "gzip", "negative-usage"}


class ChaosUpstream(Server):
    """A server whose fault is the request's model, or the first segment of its path."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self._closed_port = free_port()

    @property
    def refused(self) -> str:
        """The base URL of a port without a listener."""
        return f"http://127.0.0.1:{self._closed_port}"

    @property
    def not_tls(self) -> str:
        """The https base URL of a plain HTTP server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def unresolved(self) -> str:
        """The base URL of a host that does not exist."""
        return "http://no-such-host.invalid"

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond with the fault, or validly."""
        responses = MESSAGES if request.path.endswith(("/messages", "/count_tokens")) else CHAT
        body: Any = request.body if isinstance(request.body, dict) else {}
        prefix = request.path.split("/")[1]
        name = prefix if prefix in FAULTS else str(body.get("model", "ok"))
        self.counts[name] = self.counts.get(name, 0) + 1
        fault = FAULTS.get(name)
        if fault is None:
            refusal = responses.refusal("not_found_error", f"no fault is called {name[:50]}")
            await out.reply(404, refusal)
            return True
        await fault(
            FaultyExchange(out, responses, bool(body.get("stream")), request, self.counts[name])
        )
        return name in _KEEP_ALIVE_FAULTS
