"""Cohere's chat, version 2, as strict as the service."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.fakes import cohere_rules as rules
from tests.fakes.script import Call, Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

Json = dict[str, Any]
EMBED = "/v2/embed"
KEY = "co-upstream-0123456789abcdef"


class StrictCohere(Server):
    """A server of `/v2/chat`, whose answers `script` defines, and `/v2/embed`."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.script = Script()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._refusal(request)
        if refusal is not None:
            await _refuse(out, refusal)
            return True
        body = request.body
        if request.path == EMBED:
            await out.reply(200, _vectors(body), {"x-debug-trace-id": "co-1"})
            return True
        response = self.script.response_for(*_prompts_and_results(body["messages"]))
        await response.wait_until_due()
        if response.error is not None:
            await _refuse(out, response.error)
            return True
        if body.get("stream"):
            return await self._stream(body, response, out)
        await out.reply(200, _chat_response(body, response), {"x-debug-trace-id": "co-1"})
        return True

    @refuse_malformed(rules.invalid_request)
    def _refusal(self, request: RecordedRequest) -> Refusal | None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return rules.invalid_request("invalid api token", 401)
        if request.method != "POST" or request.path not in {"/v2/chat", EMBED}:
            return rules.invalid_request("404 page not found", 404)
        if not isinstance(request.body, dict):
            return rules.invalid_request("invalid json syntax")
        embeds = request.path == EMBED
        refusal = rules.embed_refusal(request.body) if embeds else rules.refusal(request.body)
        known_models = rules.EMBEDDERS if embeds else rules.MODELS
        if refusal is None and request.body["model"] not in known_models:
            return rules.invalid_request(f"model '{request.body['model']}' not found", 404)
        return refusal

    async def _stream(self, body: Json, response: ScriptedResponse, out: ResponseWriter) -> bool:
        events = list(_events(body, response))
        if response.breaks == "error":
            events = events[: len(events) // 2]
            delta = {"finish_reason": "ERROR", "error": "the model failed"}
            events.append({"type": "message-end", "delta": delta})
        elif response.breaks:
            events = events[: len(events) // 2]
        await out.begin(200, {"content-type": "text/event-stream"})
        for event in events:
            data = json.dumps(event)
            await out.write(f"event: {event['type']}\ndata: {data}\n\n".encode())
            await asyncio.sleep(response.pace_s)
        if response.breaks == "cut":
            out.reset()
            return False
        await out.write(b"data: [DONE]\n\n")
        await out.end()
        return True


async def _refuse(out: ResponseWriter, refusal: Refusal) -> None:
    body = {"id": "co-error-1", "message": refusal.message}
    await out.reply(refusal.status, body, refusal.headers)


def _vectors(body: Json) -> Json:
    """Return a vector of two numbers for each input: its index and its length."""
    inputs = next(body[name] for name in ("texts", "images", "inputs") if name in body)
    vectors = [[float(n), float(len(json.dumps(item)))] for n, item in enumerate(inputs)]
    embeddings: Json = {}
    for kind in body.get("embedding_types", ["float"]):
        embeddings[kind] = [_vector_of_type(kind, vector) for vector in vectors]
    units = {"input_tokens": 3 * len(inputs)} if "images" not in body else {"image_tokens": 7}
    return {
        "response_type": "embeddings_by_type",
        "id": "co-embed-1",
        "embeddings": embeddings,
        "texts": body.get("texts", []),
        "meta": {"api_version": {"version": "2"}, "billed_units": units},
    }


def _vector_of_type(kind: str, vector: list[float]) -> Any:
    if kind == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector if kind == "float" else [int(number) for number in vector]


def _prompts_and_results(messages: list[Json]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    users = [_text(m["content"]) for m in reversed(messages) if m["role"] == "user"]
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, _text(message["content"]))
    return users, results


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(map(_item_text, content))


def _item_text(item: Json) -> str:
    """Return the text of a content item, or the data of a tool result's document."""
    return json.dumps(item["document"]["data"]) if "document" in item else str(item.get("text", ""))


def _usage(response: ScriptedResponse) -> Json:
    return {
        "billed_units": {"input_tokens": 1, "output_tokens": 2},
        "tokens": {"input_tokens": response.input_tokens, "output_tokens": response.output_tokens},
        "cached_tokens": response.cached_tokens,
    }


def _finish(response: ScriptedResponse) -> str:
    return response.finish or ("TOOL_CALL" if response.calls else "COMPLETE")


def _content(body: Json, response: ScriptedResponse) -> list[Json]:
    content: list[Json] = []
    if response.reasoning and body.get("thinking", {}).get("type") == "enabled":
        content.append({"type": "thinking", "thinking": response.reasoning})
    if not response.calls:
        content.append({"type": "text", "text": response.text})
    return content


def _call(call: Call, number: int) -> Json:
    function = {"name": call.name, "arguments": call.text}
    return {"id": call.id or f"{call.name}_{number}", "type": "function", "function": function}


def _chat_response(body: Json, response: ScriptedResponse) -> Json:
    message: Json = {"role": "assistant", "content": _content(body, response)}
    if response.calls:
        message["tool_plan"] = response.text
        message["tool_calls"] = [_call(call, i) for i, call in enumerate(response.calls)]
    return {
        "id": "co-1",
        "finish_reason": _finish(response),
        "message": message,
        "usage": _usage(response),
    }


def _events(body: Json, response: ScriptedResponse) -> Iterator[Json]:
    yield {"type": "message-start", "id": "co-1", "delta": {"message": {"role": "assistant"}}}
    for index, item in enumerate(_content(body, response)):
        kind = item["type"]
        start = {"content": {"type": kind, kind: ""}}
        yield {"type": "content-start", "index": index, "delta": {"message": start}}
        for piece in _pieces(item[kind], response.chunk_chars):
            delta = {"message": {"content": {kind: piece}}}
            yield {"type": "content-delta", "index": index, "delta": delta}
        yield {"type": "content-end", "index": index}
    if response.calls:
        for piece in _pieces(response.text, response.chunk_chars):
            yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
    for number, call in enumerate(response.calls):
        yield from _call_events(call, number, response.chunk_chars)
    end = {"finish_reason": _finish(response), "usage": _usage(response)}
    yield {"type": "message-end", "delta": end}


def _call_events(call: Call, number: int, size: int) -> Iterator[Json]:
    whole_call = _call(call, number)
    arguments = whole_call["function"]["arguments"]
    start = {**whole_call, "function": {"name": call.name, "arguments": ""}}
    yield {
        "type": "tool-call-start",
        "index": number,
        "delta": {"message": {"tool_calls": start}},
    }
    for piece in _pieces(arguments, size):
        inner = {"tool_calls": {"function": {"arguments": piece}}}
        yield {"type": "tool-call-delta", "index": number, "delta": {"message": inner}}
    yield {"type": "tool-call-end", "index": number}


def _pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
