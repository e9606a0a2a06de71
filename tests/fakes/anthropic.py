"""Anthropic's Messages, as strict as the service."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes import anthropic_rules as rules
from tests.fakes.anthropic_threads import Threads
from tests.fakes.script import Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

KEY = "sk-ant-upstream-0123456789abcdef"
REQUEST_ID = "req_011upstream"
_NUMBERS = itertools.count(1)


class StrictAnthropic(Server):
    """A server of `/v1/messages`, its token count, and `/v1/models`."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.script = Script()
        self._threads = Threads()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._at_the_door(request)
        if refusal is None and request.path.startswith("/v1/models"):
            await self._models(request, out)
            return True
        body = refusal or self._whole_body(request)
        if isinstance(body, Refusal):
            await _refuse(out, body)
            return True
        if request.path.endswith("/count_tokens"):
            await out.reply(200, {"input_tokens": len(request.raw) // 4}, _headers())
            return True
        response = self.script.response_for(*_prompts_and_results(body["messages"]))
        await response.wait_until_due()
        if response.error is not None:
            await _refuse(out, response.error)
            return True
        if body.get("stream"):
            return await self._stream(body, response, out)
        message = _message(body, response)
        self._threads.store(body, message["id"], message["content"])
        await out.reply(200, message, _headers())
        return True

    def _at_the_door(self, request: RecordedRequest) -> Refusal | None:
        headers = request.headers
        x_api_key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        if x_api_key != self.key:
            return Refusal(401, "authentication_error", f"invalid x-api-key: {x_api_key}")
        posts = request.method == "POST" and request.path in {
            "/v1/messages",
            "/v1/messages/count_tokens",
        }
        if not posts and not (request.method == "GET" and request.path.startswith("/v1/models")):
            return Refusal(404, "not_found_error", "Not Found")
        return rules.header_refusal(headers)

    @refuse_malformed(rules.invalid_request)
    def _whole_body(self, request: RecordedRequest) -> dict[str, Any] | Refusal:
        """Return the body, with the messages of its thread; or the refusal of an invalid one."""
        body = request.body
        if not isinstance(body, dict):
            message = "The request body is not valid JSON"
            return Refusal(400, "invalid_request_error", message)
        if len(request.raw) > 32 * 1024 * 1024:
            return Refusal(413, "request_too_large", "Request exceeds the maximum size")
        whole = self._threads.complete(body)
        if isinstance(whole, Refusal):
            return whole
        counting = request.path.endswith("/count_tokens")
        return rules.refusal(whole, request.headers, counting=counting) or whole

    async def _models(self, request: RecordedRequest, out: ResponseWriter) -> None:
        rows = [
            {
                "type": "model",
                "id": name,
                "display_name": name.replace("-", " ").title(),
                "created_at": "2026-01-01T00:00:00Z",
            }
            for name in rules.MODELS
        ]
        name = request.path.removeprefix("/v1/models").strip("/")
        if not name:
            page_ids = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
            await out.reply(200, {"data": rows, "has_more": False, **page_ids}, _headers())
            return
        row = next((row for row in rows if row["id"] == name), None)
        if row is None:
            await _refuse(out, Refusal(404, "not_found_error", f"model: {name}"))
            return
        await out.reply(200, row, _headers())

    async def _stream(
        self, body: dict[str, Any], response: ScriptedResponse, out: ResponseWriter
    ) -> bool:
        events = list(_events(body, response))
        self._threads.store(body, events[0]["message"]["id"], _blocks(body, response))
        if response.breaks:
            events = events[: len(events) // 2]
        await out.begin(200, {"content-type": "text/event-stream; charset=utf-8", **_headers()})
        for event in events:
            await out.write(_frame(event))
            await asyncio.sleep(response.pace_s)
        if response.breaks == "cut":
            out.reset()
            return False
        if response.breaks == "error":
            error = {"type": "overloaded_error", "message": "Overloaded"}
            await out.write(_frame({"type": "error", "error": error, "request_id": REQUEST_ID}))
        await out.end()
        return True


def _prompts_and_results(messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    users = [_text(m["content"]) for m in reversed(messages) if m["role"] == "user"]
    since = 0
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            since = number + 1
    recent = [m["content"] for m in messages[since:] if isinstance(m["content"], list)]
    blocks = [block for content in recent for block in content]
    return users, [_text(b.get("content", "")) for b in blocks if b["type"] == "tool_result"]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content if block["type"] == "text")


def _blocks(body: dict[str, Any], response: ScriptedResponse) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    thinking = body.get("thinking") or {}
    if response.reasoning and thinking.get("type") in {"enabled", "adaptive", "between_tools"}:
        text = "" if thinking.get("display") == "omitted" else response.reasoning
        signature = rules.signature(response.reasoning)
        blocks.append({"type": "thinking", "thinking": text, "signature": signature})
    if response.text or not response.calls:
        blocks.append({"type": "text", "text": response.text, "citations": None})
    for number, call in enumerate(response.calls):
        block = {"type": "tool_use", "id": call.id or f"toolu_up_{number}", "name": call.name}
        blocks.append({**block, "input": call.object})
    return blocks


def _head(body: dict[str, Any]) -> dict[str, Any]:
    # Claude Code takes two messages of one id for pieces of the same.
    name = f"msg_upstream{next(_NUMBERS)}"
    return {"id": name, "type": "message", "role": "assistant", "model": body["model"]}


def _message(body: dict[str, Any], response: ScriptedResponse) -> dict[str, Any]:
    return {
        **_head(body),
        "content": _blocks(body, response),
        "stop_reason": _stop_reason(response),
        "stop_sequence": None,
        "usage": _usage(response),
    }


def _stop_reason(response: ScriptedResponse) -> str:
    return response.finish or ("tool_use" if response.calls else "end_turn")


def _usage(response: ScriptedResponse) -> dict[str, Any]:
    return {
        "input_tokens": response.input_tokens - response.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": response.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": response.output_tokens,
        "service_tier": "standard",
    }


def _events(body: dict[str, Any], response: ScriptedResponse) -> Iterator[dict[str, Any]]:
    usage = {**_usage(response), "output_tokens": 1}
    message = {**_head(body), "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**message, "usage": usage}}
    for index, block in enumerate(_blocks(body, response)):
        yield from _block_events(index, block, response.chunk_chars)
        if index == 0:
            yield {"type": "ping"}
    delta = {"stop_reason": _stop_reason(response), "stop_sequence": None}
    yield {
        "type": "message_delta",
        "delta": delta,
        "usage": {
            "input_tokens": response.input_tokens - response.cached_tokens,
            "cache_read_input_tokens": response.cached_tokens,
            "output_tokens": response.output_tokens,
        },
    }
    yield {"type": "message_stop"}


def _block_events(index: int, block: dict[str, Any], piece: int) -> Iterator[dict[str, Any]]:
    started, deltas = _block_and_deltas(block, piece)
    yield {"type": "content_block_start", "index": index, "content_block": started}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _block_and_deltas(
    block: dict[str, Any], piece: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the block as it starts, and the deltas that fill it."""
    match block["type"]:
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": part}
                for part in _pieces(block["thinking"], piece)
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "tool_use":
            text = json.dumps(block["input"]) if block["input"] else ""
            parts = ["", *_pieces(text, piece)]
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": part} for part in parts
            ]
        case _:
            deltas = [{"type": "text_delta", "text": p} for p in _pieces(block["text"], piece)]
            return {"type": "text", "text": ""}, deltas


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _frame(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, separators=(",", ":")).encode()
    return b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"


def _headers() -> dict[str, str]:
    return {"request-id": REQUEST_ID, "anthropic-organization-id": "org_upstream"}


async def _refuse(out: ResponseWriter, refusal: Refusal) -> None:
    error: dict[str, Any] = {"type": refusal.type, "message": refusal.message}
    if refusal.details is not None:
        error["details"] = refusal.details
    body = {"type": "error", "error": error, "request_id": REQUEST_ID}
    await out.reply(refusal.status, body, {**_headers(), **refusal.headers})
