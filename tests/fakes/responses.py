"""OpenAI's Responses as the service returns them: whole, streamed, and token counts."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.responses_rules import items_of, state_of
from tests.fakes.script import Call, ScriptedResponse
from tests.fakes.server import ResponseWriter

CREATED = 1_790_000_000
_RESULTS = {"function_call_output", "custom_tool_call_output"}
_OUTPUT_KINDS = {"reasoning", "function_call", "custom_tool_call"}
Json = dict[str, Any]


def prompts_and_results(body: Json) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    items = items_of(body)
    users = [_text(item["content"]) for item in reversed(items) if item.get("role") == "user"]
    since = 0
    for number, item in enumerate(items):
        if item.get("role") == "assistant" or item.get("type") in _OUTPUT_KINDS:
            since = number + 1
    fresh = [item for item in items[since:] if item.get("type") in _RESULTS]
    return users, [_text(item["output"]) for item in fresh]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def response_object(body: Json, response: ScriptedResponse, usage: Json) -> Json:
    """Return the response as one object."""
    status = "incomplete" if response.finish else "completed"
    details = {"reason": response.finish} if response.finish else None
    done = _response(body, status, incomplete_details=details, usage=usage)
    return {**done, "output": output(body, response)}


def _response(body: Json, status: str, **fields: Any) -> Json:
    return {
        # A server that remembers chooses it.
        "id": body["as"],
        "object": "response",
        "created_at": CREATED,
        "model": f"{body['model']}-2026-01-01",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "service_tier": "default",
        "store": body.get("store", True),
        "usage": None,
        **fields,
    }


def output(body: Json, response: ScriptedResponse) -> list[Json]:
    """Return the items of the response."""
    customs = {t["name"] for t in body.get("tools") or [] if t["type"] == "custom"}
    items: list[Json] = []
    if response.reasoning:
        items.append(_reasoning(body, response))
    if response.text or response.refusal is not None or not response.calls:
        items.append(_message(response))
    stem = "fc_thought" if response.reasoning and not response.text else "fc_up"
    items += [_call(f"{stem}_{n}", n, call, customs) for n, call in enumerate(response.calls)]
    return items


def _reasoning(body: Json, response: ScriptedResponse) -> Json:
    """Return a reasoning item: the summary and the encrypted state only if requested."""
    summary = (body.get("reasoning") or {}).get("summary")
    item: Json = {"id": _id("rs", response.reasoning), "type": "reasoning", "summary": []}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": response.reasoning}]
    if "reasoning.encrypted_content" in (body.get("include") or []):
        item["encrypted_content"] = state_of(response.reasoning)
    return item


def _id(stem: str, text: str) -> str:
    """Return an id that differs by item, as clients merge items with the same id."""
    return f"{stem}_up_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _message(response: ScriptedResponse) -> Json:
    part: Json = {"type": "output_text", "text": response.text, "annotations": [], "logprobs": []}
    if response.refusal is not None:
        part = {"type": "refusal", "refusal": response.refusal}
    return {
        "id": _id("msg", response.text),
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _call(item_id: str, number: int, call: Call, customs: set[str]) -> Json:
    call_id = call.id or f"call_up_{number}"
    if call.name in customs:
        return {
            "id": f"ctc_up_{number}",
            "type": "custom_tool_call",
            "call_id": call_id,
            "name": call.name,
            "input": call.text,
        }
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": call.name,
        "arguments": call.text,
        "status": "completed",
    }


# --- streams -----------------------------------------------------------------------------


async def stream(body: Json, response: ScriptedResponse, usage: Json, out: ResponseWriter) -> bool:
    """Send the response as events; return False if the connection is to be closed."""
    events = list(_events(body, response, usage))
    if response.breaks:
        events = events[: len(events) // 2]
    await out.begin(
        200, {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_up_1"}
    )
    for number, event in enumerate(events):
        await out.write(_event({**event, "sequence_number": number}))
        await asyncio.sleep(response.pace_s)
    if response.breaks == "cut":
        out.reset()
        return False
    if response.breaks == "error":
        error = {"code": "server_error", "message": "The server had an error"}
        failed_response = _response(body, "failed", error=error)
        number = len(events)
        result = {"type": "response.failed", "sequence_number": number, "response": failed_response}
        await out.write(_event(result))
    await out.end()
    return True


def _event(data: Json) -> bytes:
    name = data["type"]
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _events(body: Json, response: ScriptedResponse, usage: Json) -> Iterator[Json]:
    partial_response = _response(body, "in_progress")
    yield {"type": "response.created", "response": partial_response}
    yield {"type": "response.in_progress", "response": partial_response}
    for index, item in enumerate(output(body, response)):
        yield from _item_events(index, item, response.chunk_chars)
    done = response_object(body, response, usage)
    yield {"type": f"response.{done['status']}", "response": done}


def _item_events(index: int, item: Json, size: int) -> Iterator[Json]:
    index_fields = {"item_id": item["id"], "output_index": index}
    partial_item = {**item, "status": "in_progress"}
    match item["type"]:
        case "message":
            yield _item_added(index, {**partial_item, "content": []})
            yield from _part_events(index_fields, item["content"][0], size)
        case "reasoning":
            yield _item_added(
                index, {k: v for k, v in item.items() if k != "summary"} | {"summary": []}
            )
            for part in item["summary"]:
                yield from _summary_events({**index_fields, "summary_index": 0}, part, size)
        case "custom_tool_call":
            yield _item_added(index, {**item, "input": ""})
            yield from _pieces(index_fields, "custom_tool_call_input", "input", item["input"], size)
        case _:
            yield _item_added(index, {**partial_item, "arguments": ""})
            arguments = item["arguments"]
            yield from _pieces(
                index_fields, "function_call_arguments", "arguments", arguments, size
            )
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _item_added(index: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _part_events(index_fields: Json, part: Json, size: int) -> Iterator[Json]:
    index_fields = {**index_fields, "content_index": 0}
    field = "text" if part["type"] == "output_text" else "refusal"
    yield {"type": "response.content_part.added", **index_fields, "part": {**part, field: ""}}
    more = {"logprobs": []} if field == "text" else {}
    stem = "output_text" if field == "text" else "refusal"
    yield from _pieces({**index_fields, **more}, stem, field, part[field], size)
    yield {"type": "response.content_part.done", **index_fields, "part": part}


def _summary_events(index_fields: Json, part: Json, size: int) -> Iterator[Json]:
    name = "response.reasoning_summary_part"
    yield {"type": f"{name}.added", **index_fields, "part": {**part, "text": ""}}
    yield from _pieces(index_fields, "reasoning_summary_text", "text", part["text"], size)
    yield {"type": f"{name}.done", **index_fields, "part": part}


def _pieces(index_fields: Json, stem: str, field: str, text: str, size: int) -> Iterator[Json]:
    for start in range(0, len(text), size):
        yield {
            "type": f"response.{stem}.delta",
            **index_fields,
            "delta": text[start : start + size],
        }
    yield {"type": f"response.{stem}.done", **index_fields, field: text}
