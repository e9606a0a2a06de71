"""The demo provider: an in-process, OpenAI-compatible server that needs no key.

`DemoTransport` replaces the network's transport, so a demo response passes through a real
dialect, stream parser, tap and log. `SCRIPTS` defines the behavior of each model; the same
request always gets the same bytes. With a `mock_response` in the body, any model answers with
that text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec

from gateway.demo import wire
from gateway.demo.response import DemoResponse, create_response
from gateway.demo.scripts import MODELS, SCRIPTS, Refusal, Script, mock_script, script_for
from gateway.framing.sse import encode

__all__ = ["MODELS", "SCRIPTS", "DemoTransport", "Script", "script_for"]

# A unary response takes as long as its stream would, but at most this long.
UNARY_WAIT_S = 0.5
_STALL_S = 3600.0
_HTML = b"<!DOCTYPE html><title>Welcome</title><h1>It works!</h1>\n"
_MIDWAY = Refusal(
    status=500, type="server_error", message="The demo server failed while answering."
)


class DemoTransport(httpx.AsyncBaseTransport):
    """Answers `demo://` requests in process."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the demo server's response, at the script's pace."""
        if request.method == "GET" and request.url.path.endswith("/models"):
            return _json_response(200, wire.models())
        if not request.url.path.endswith("/chat/completions"):
            return _refusal_response(
                _unknown_model(
                    f"The demo models only serve chat completions, not {request.url.path}",
                    "unknown_url",
                )
            )
        content = await request.aread()
        body = _decode_body(content)
        if body is None:
            return _refusal_response(
                _invalid_request("We could not parse the JSON body of your request.")
            )
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            return _refusal_response(
                _invalid_request("'messages' must be a list of at least one message.")
            )
        model = str(body.get("model", ""))
        mock_response = body.get("mock_response")
        script = mock_script(mock_response) if isinstance(mock_response, str) else script_for(model)
        if script is None:
            return _refusal_response(
                _unknown_model(f"The model `{model[:100]}` does not exist", "model_not_found")
            )
        await asyncio.sleep(script.first_ms / 1000)
        return await _build_response(body, content, model, script)


async def _build_response(
    body: dict[str, Any], content: bytes, model: str, script: Script
) -> httpx.Response:
    if script.refusal is not None:
        return _refusal_response(script.refusal)
    if script.output == "html":
        return _build_reply(200, "text/html; charset=utf-8", httpx.ByteStream(_HTML))
    demo_response = create_response(body, script)
    id_ = wire.response_id(content)
    if body.get("stream") is True:
        options = body.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        events = wire.stream_events(demo_response, model, id_, include_usage=usage)
        return _build_reply(
            200, "text/event-stream; charset=utf-8", _PacedStream(list(events), script)
        )
    await asyncio.sleep(min(_count_chunks(demo_response) * script.pace_ms / 1000, UNARY_WAIT_S))
    if script.interruption == "error":
        return _refusal_response(_MIDWAY)
    data = wire.completion(demo_response, model, id_)
    if not script.interruption:
        return _json_response(200, data)
    return _build_reply(200, "application/json", _PacedStream([data[: len(data) // 2]] * 2, script))


def _count_chunks(demo_response: DemoResponse) -> int:
    return len(demo_response.reasoning) + len(demo_response.text) + 4 * len(demo_response.calls)


class _PacedStream(httpx.AsyncByteStream):
    """A body sent in chunks, which is interrupted if its script has an interruption."""

    def __init__(self, chunks: list[bytes], script: Script) -> None:
        self._pieces = chunks
        self._script = script

    async def __aiter__(self) -> AsyncIterator[bytes]:
        interruption = self._script.interruption
        for chunk in self._chunks_until_break():
            yield chunk
            await asyncio.sleep(self._script.pace_ms / 1000)
        if not interruption:
            yield wire.DONE_EVENT
        elif interruption == "error":
            yield encode(wire.error(_MIDWAY))
        elif interruption == "stall":
            await asyncio.sleep(_STALL_S)
        else:
            raise httpx.RemoteProtocolError("the connection closed in the middle of the response")

    def _chunks_until_break(self) -> Iterator[bytes]:
        count = len(self._pieces)
        return iter(self._pieces[: count // 2] if self._script.interruption else self._pieces)


def _decode_body(content: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


def _invalid_request(message: str) -> Refusal:
    return Refusal(status=400, type="invalid_request_error", message=message)


def _unknown_model(message: str, code: str) -> Refusal:
    return Refusal(status=404, type="invalid_request_error", message=message, code=code)


def _refusal_response(refusal: Refusal) -> httpx.Response:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return _json_response(refusal.status, wire.error(refusal), headers)


def _json_response(
    status: int, content: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    return _build_reply(status, "application/json", httpx.ByteStream(content), headers)


def _build_reply(
    status: int,
    content_type: str,
    stream: httpx.AsyncByteStream,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    return httpx.Response(
        status, headers={"content-type": content_type, **(headers or {})}, stream=stream
    )
