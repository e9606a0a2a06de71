"""Encodes a demo response in OpenAI's Chat format: whole, or as a stream."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.demo.response import DemoResponse
from gateway.demo.scripts import MODELS, Refusal
from gateway.framing.sse import encode

# 2026-01-01: demo responses are independent of the clock.
CREATED = 1_767_225_600
DONE_EVENT = encode(b"[DONE]")
# Arguments are streamed in chunks of this many characters, as by real providers.
_ARGUMENT_PIECE = 12


def response_id(content: bytes) -> str:
    """Return the id of the response to these request bytes."""
    return f"chatcmpl-demo{zlib.crc32(content):08x}"


def completion(demo_response: DemoResponse, model: str, id_: str) -> bytes:
    """Return the response as one JSON object."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(demo_response.text)}
    if demo_response.reasoning:
        message["reasoning_content"] = "".join(demo_response.reasoning)
    if demo_response.refusal is not None:
        message.update(content=None, refusal=demo_response.refusal)
    if demo_response.calls:
        message["content"] = None
        message["tool_calls"] = [
            _call_object(call.id, call.name, call.arguments) for call in demo_response.calls
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": demo_response.finish,
    }
    return msgspec.json.encode(
        {
            "id": id_,
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [choice],
            "usage": _usage_object(demo_response),
        }
    )


def stream_events(
    demo_response: DemoResponse, model: str, id_: str, *, include_usage: bool
) -> Iterator[bytes]:
    """Return the response as events, without the final `[DONE]`."""

    def chunk(choices: list[dict[str, Any]], **usage_field: Any) -> bytes:
        head = {"id": id_, "object": "chat.completion.chunk", "created": CREATED, "model": model}
        return encode(msgspec.json.encode({**head, "choices": choices, **usage_field}))

    usage_field = {"usage": None} if include_usage else {}
    for delta in _chat_deltas(demo_response):
        yield chunk([{"index": 0, "delta": delta, "finish_reason": None}], **usage_field)
    yield chunk([{"index": 0, "delta": {}, "finish_reason": demo_response.finish}], **usage_field)
    if include_usage:
        yield chunk([], usage=_usage_object(demo_response))


def _chat_deltas(demo_response: DemoResponse) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for chunk in demo_response.reasoning:
        yield {"reasoning_content": chunk}
    for chunk in demo_response.text:
        yield {"content": chunk}
    if demo_response.refusal is not None:
        yield {"refusal": demo_response.refusal}
    for index, call in enumerate(demo_response.calls):
        yield {"tool_calls": [{"index": index, **_call_object(call.id, call.name, "")}]}
        for start in range(0, len(call.arguments), _ARGUMENT_PIECE):
            part = call.arguments[start : start + _ARGUMENT_PIECE]
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def error(refusal: Refusal) -> bytes:
    """Return an error object, for an error response or as the last data of a stream."""
    error_object = {
        "message": refusal.message,
        "type": refusal.type,
        "param": None,
        "code": refusal.code,
    }
    return msgspec.json.encode({"error": error_object})


def models() -> bytes:
    """Return the response to a list of models."""
    rows = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "dragoman"}
        for name in MODELS
    ]
    return msgspec.json.encode({"object": "list", "data": rows})


def _call_object(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage_object(demo_response: DemoResponse) -> dict[str, Any]:
    return {
        "prompt_tokens": demo_response.prompt_tokens,
        "completion_tokens": demo_response.completion_tokens,
        "total_tokens": demo_response.prompt_tokens + demo_response.completion_tokens,
        "completion_tokens_details": {"reasoning_tokens": len(demo_response.reasoning)},
    }
