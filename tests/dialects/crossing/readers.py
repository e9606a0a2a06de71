"""Reads responses as clients of each dialect do; streams are joined first.

Joining asserts the guarantees of the dialect's streams: event names, order, indexes and
terminators.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.framing.eventstream import Decoder as EventDecoder
from gateway.framing.sse import Decoder
from tests.dialects.crossing.feature_requests import Json


@dataclass(frozen=True)
class ParsedResponse:
    """A response: `native` is the client's own record of it, which a history sends back."""

    text: str
    thought: str
    calls: tuple[tuple[str, str, Any], ...]
    finish: str
    prompt: int | None
    output: int | None
    native: Any


@dataclass(frozen=True)
class Reader:
    """The functions that read a dialect.

    `whole` parses a response, `joined` joins a stream to a response, and `broke` returns the
    message of the error at the end of a stream (None if there is none).
    """

    parse: Callable[[Json], ParsedResponse]
    join_stream: Callable[[bytes], Json]
    stream_error: Callable[[bytes], str | None]


def frames(data: bytes) -> list[tuple[str, Any]]:
    """Return the named frames of an SSE stream; data that is not JSON stays text."""
    decoder = Decoder()
    events = [*decoder.feed(data), *decoder.close()]
    rows: list[tuple[str, Any]] = []
    for frame in events:
        text = frame.data.decode()
        rows.append(
            (frame.event, json.loads(text) if text[:1] in "{[" and text != "[DONE]" else text)
        )
    return rows


# --- OpenAI Chat ---------------------------------------------------------------------------


def parse_chat(body: Json) -> ParsedResponse:
    """Parse a chat.completion."""
    assert body["object"] == "chat.completion", body
    (choice,) = body["choices"]
    message, usage = choice["message"], body.get("usage") or {}
    calls = tuple(
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in message.get("tool_calls") or ()
    )
    return ParsedResponse(
        text=message.get("content") or "",
        thought=message.get("reasoning_content") or "",
        calls=calls,
        finish=choice["finish_reason"],
        prompt=usage.get("prompt_tokens"),
        output=usage.get("completion_tokens"),
        native=message,
    )


def join_chat(data: bytes) -> Json:
    """Join chat.completion.chunks."""
    *chunks, (_, done) = frames(data)
    assert done == "[DONE]", done
    message: Json = {"role": "assistant", "content": ""}
    calls: list[Json] = []
    finish, usage, ids = None, None, set()
    for _, chunk in chunks:
        assert "error" not in chunk, chunk
        ids.add(chunk["id"])
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            assert finish is None, "a delta after the finish"
            delta, finish = choice["delta"], choice["finish_reason"]
            message["content"] += delta.get("content") or ""
            if thought := delta.get("reasoning_content"):
                message["reasoning_content"] = message.get("reasoning_content", "") + thought
            for piece in delta.get("tool_calls") or ():
                _chat_piece(calls, piece)
    assert len(ids) == 1, ids
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def _chat_piece(calls: list[Json], piece: Json) -> None:
    if piece["index"] == len(calls):
        function = {"name": piece["function"]["name"], "arguments": ""}
        calls.append({"id": piece["id"], "type": "function", "function": function})
    arguments = (piece.get("function") or {}).get("arguments") or ""
    calls[piece["index"]]["function"]["arguments"] += arguments


def find_chat_error(data: bytes) -> str | None:
    """Return the error in a Chat stream, after which there is no [DONE]."""
    values = [value for _, value in frames(data)]
    errors = [v["error"] for v in values if isinstance(v, dict) and v.get("error")]
    if not errors:
        return None
    assert "[DONE]" not in values
    return str(errors[0]["message"])


# --- the older completions -----------------------------------------------------------------


def parse_completion(body: Json) -> ParsedResponse:
    """Parse a text_completion."""
    assert body["object"] == "text_completion", body
    (choice,) = body["choices"]
    usage = body.get("usage") or {}
    return ParsedResponse(
        text=choice["text"],
        thought="",
        calls=(),
        finish=choice["finish_reason"],
        prompt=usage.get("prompt_tokens"),
        output=usage.get("completion_tokens"),
        native=None,
    )


def join_completion(data: bytes) -> Json:
    """Join the chunks of a text_completion."""
    *chunks, (_, done) = frames(data)
    assert done == "[DONE]", done
    text, finish, usage = "", None, None
    for _, chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text += choice["text"]
            finish = choice["finish_reason"] or finish
    choice = {"text": text, "finish_reason": finish}
    return {"object": "text_completion", "choices": [choice], "usage": usage}


# --- OpenAI Responses ----------------------------------------------------------------------


def parse_responses(body: Json) -> ParsedResponse:
    """Parse a response."""
    assert body["object"] == "response", body
    text, thought, calls = "", "", []
    for item in body["output"]:
        if item["type"] == "message":
            text += "".join(part.get("text", "") for part in item["content"])
        elif item["type"] == "reasoning":
            thought += "".join(part["text"] for part in item["summary"])
            thought += "".join(part["text"] for part in item.get("content") or ())
        else:
            assert item["type"] == "function_call", item
            calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
    usage = body.get("usage") or {}
    return ParsedResponse(
        text=text,
        thought=thought,
        calls=tuple(calls),
        finish=body["status"],
        prompt=usage.get("input_tokens"),
        output=usage.get("output_tokens"),
        native=body["output"],
    )


def join_responses(data: bytes) -> Json:
    """Return the response at the end of a stream; asserts that its deltas agree."""
    stream_frames = frames(data)
    for number, (name, event) in enumerate(stream_frames):
        assert name == event["type"], (name, event)
        assert event["sequence_number"] == number, event
    assert stream_frames[0][0] == "response.created"
    name, last = stream_frames[-1]
    assert name in {"response.completed", "response.incomplete"}, last
    response: Json = last["response"]
    deltas = "".join(e["delta"] for n, e in stream_frames if n == "response.output_text.delta")
    assert deltas == parse_responses(response).text
    done = [event["item"] for name, event in stream_frames if name == "response.output_item.done"]
    assert done == response["output"]
    return response


def find_responses_error(data: bytes) -> str | None:
    """Return the error in a Responses stream: its last event."""
    stream_frames = frames(data)
    if not stream_frames or stream_frames[-1][0] != "response.failed":
        return None
    return str(stream_frames[-1][1]["response"]["error"]["message"])


# --- Anthropic Messages --------------------------------------------------------------------


def parse_messages(body: Json) -> ParsedResponse:
    """Parse a message."""
    assert body["type"] == "message", body
    blocks = body["content"]
    usage = body.get("usage") or {}
    counted = [usage.get(f"{n}input_tokens") for n in ("", "cache_read_", "cache_creation_")]
    known_counts = [n for n in counted if n is not None]
    return ParsedResponse(
        text="".join(b["text"] for b in blocks if b["type"] == "text"),
        thought="".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        calls=tuple((b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"),
        finish=body["stop_reason"],
        prompt=sum(known_counts) if known_counts else None,
        output=usage.get("output_tokens"),
        native=blocks,
    )


def join_messages(data: bytes) -> Json:
    """Join a Messages stream: blocks are sequential, and each is closed."""
    pairs = [(name, event) for name, event in frames(data) if name != "ping"]
    assert all(name == event["type"] for name, event in pairs)
    assert pairs[0][0] == "message_start", pairs[0]
    assert pairs[-1][0] == "message_stop", pairs[-1]
    message: Json = pairs[0][1]["message"]
    opened: Json | None = None
    for name, event in pairs[1:-1]:
        if name == "content_block_start":
            assert opened is None
            assert event["index"] == len(message["content"])
            opened = {**event["content_block"], "_json": ""}
            message["content"].append(opened)
        elif name == "content_block_delta":
            assert opened is not None
            assert event["index"] == len(message["content"]) - 1
            _messages_delta(opened, event["delta"])
        elif name == "content_block_stop":
            assert opened is not None
            text = opened.pop("_json")
            if opened["type"] == "tool_use":
                opened["input"] = json.loads(text or "{}")
            opened = None
        else:
            assert (name, opened) == ("message_delta", None), event
            message |= {k: v for k, v in event["delta"].items() if v is not None}
            message["usage"] |= event["usage"]
    assert opened is None
    return message


def _messages_delta(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case kind:
            assert kind == "input_json_delta", delta
            block["_json"] += delta["partial_json"]


def find_messages_error(data: bytes) -> str | None:
    """Return the error in a Messages stream: its last event."""
    stream_frames = frames(data)
    if not stream_frames or stream_frames[-1][0] != "error":
        return None
    return str(stream_frames[-1][1]["error"]["message"])


# --- Gemini --------------------------------------------------------------------------------


def parse_gemini(body: Json) -> ParsedResponse:
    """Parse a GenerateContentResponse."""
    (candidate,) = body["candidates"]
    parts = candidate["content"]["parts"]
    usage = body.get("usageMetadata") or {}
    thoughts = usage.get("thoughtsTokenCount") or 0
    output = usage.get("candidatesTokenCount")
    function_calls = [part["functionCall"] for part in parts if "functionCall" in part]
    return ParsedResponse(
        text="".join(p["text"] for p in parts if "text" in p and not p.get("thought")),
        thought="".join(p["text"] for p in parts if "text" in p and p.get("thought")),
        calls=tuple((c.get("id", ""), c["name"], c.get("args") or {}) for c in function_calls),
        finish=candidate["finishReason"],
        prompt=usage.get("promptTokenCount"),
        output=None if output is None else output + thoughts,
        native=[part for part in parts if part != {"text": ""}],
    )


def join_gemini(data: bytes) -> Json:
    """Join the chunks: parts in order, metadata from the last chunk that has it."""
    parts: list[Json] = []
    merged_chunks: Json = {}
    finish = None
    for _, chunk in frames(data):
        assert "error" not in chunk, chunk
        merged_chunks |= chunk
        for candidate in chunk.get("candidates") or ():
            assert finish is None, "a part after the finish"
            finish = candidate.get("finishReason")
            parts += (candidate.get("content") or {}).get("parts") or ()
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish}
    return {**merged_chunks, "candidates": [candidate]}


def find_gemini_error(data: bytes) -> str | None:
    """Return the error in a Gemini stream: a separate object."""
    return next((str(v["error"]["message"]) for _, v in frames(data) if "error" in v), None)


# --- Ollama --------------------------------------------------------------------------------


def parse_ollama(body: Json) -> ParsedResponse:
    """Parse a response of /api/chat."""
    assert body["done"] is True, body
    message = body["message"]
    return ParsedResponse(
        text=message["content"],
        thought=message.get("thinking") or "",
        calls=tuple(
            (str(c.get("id", "")), c["function"]["name"], c["function"]["arguments"])
            for c in message.get("tool_calls") or ()
        ),
        finish=body["done_reason"],
        prompt=body.get("prompt_eval_count"),
        output=body.get("eval_count"),
        native=message,
    )


def join_ollama(data: bytes) -> Json:
    """Join the lines; only the last one is done."""
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    assert [row["done"] for row in rows] == [False] * (len(rows) - 1) + [True], rows
    message: Json = {"role": "assistant", "content": ""}
    for row in rows:
        message["content"] += row["message"]["content"]
        if thought := row["message"].get("thinking"):
            message["thinking"] = message.get("thinking", "") + thought
        if calls := row["message"].get("tool_calls"):
            message["tool_calls"] = [*message.get("tool_calls", ()), *calls]
    return {**rows[-1], "message": message}


def find_ollama_error(data: bytes) -> str | None:
    """Return the error in an Ollama stream: its last line."""
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    return str(rows[-1]["error"]) if rows and "error" in rows[-1] else None


# --- Bedrock Converse ----------------------------------------------------------------------


def parse_converse(body: Json) -> ParsedResponse:
    """Parse a response of Converse."""
    content, usage = body["output"]["message"]["content"], body["usage"]
    thoughts = [b["reasoningContent"] for b in content if "reasoningContent" in b]
    calls = [b["toolUse"] for b in content if "toolUse" in b]
    assert body["metrics"]["latencyMs"] >= 0
    return ParsedResponse(
        text="".join(block.get("text", "") for block in content),
        thought="".join(t.get("reasoningText", {}).get("text", "") for t in thoughts),
        calls=tuple((c["toolUseId"], c["name"], c["input"]) for c in calls),
        finish=body["stopReason"],
        prompt=usage["inputTokens"] + usage.get("cacheReadInputTokens", 0),
        output=usage["outputTokens"],
        native=content,
    )


def join_converse(data: bytes) -> Json:
    """Join the messages of an event stream; only calls have a start event."""
    (first, _), *later_events = _messages(data)
    assert first == "messageStart", first
    assert [name for name, _ in later_events[-2:]] == ["messageStop", "metadata"], later_events
    content: list[Json] = []
    is_open = False
    for name, value in later_events[:-2]:
        if name == "contentBlockStop":
            assert is_open
            is_open = False
            continue
        if not is_open:
            content.append({})
            is_open = True
        assert value["contentBlockIndex"] == len(content) - 1
        if name == "contentBlockStart":
            content[-1]["toolUse"] = {**value["start"]["toolUse"], "input": ""}
        else:
            assert name == "contentBlockDelta", name
            _add_converse_delta(content[-1], value["delta"])
    for block in content:
        if call := block.get("toolUse"):
            call["input"] = json.loads(call["input"] or "{}")
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, **later_events[-2][1], **later_events[-1][1]}


def _add_converse_delta(block: Json, delta: Json) -> None:
    ((kind, value),) = delta.items()
    if kind == "text":
        block["text"] = block.get("text", "") + value
    elif kind == "toolUse":
        block["toolUse"]["input"] += value["input"]
    elif "redactedContent" in value:
        block["reasoningContent"] = value
    else:
        reasoning_text = block.setdefault("reasoningContent", {}).setdefault(
            "reasoningText", {"text": ""}
        )
        for key, text in value.items():
            reasoning_text[key] = reasoning_text.get(key, "") + text


def _messages(data: bytes) -> list[tuple[str, Any]]:
    decoder = EventDecoder()
    pairs = [(frame.event, json.loads(frame.data)) for frame in decoder.feed(data)]
    assert not decoder.pending
    return pairs


def find_converse_error(data: bytes) -> str | None:
    """Return the exception at the end of an event stream."""
    name, value = _messages(data)[-1]
    return str(value["message"]) if name.endswith("Exception") else None


# --- Cohere --------------------------------------------------------------------------------


def parse_cohere(body: Json) -> ParsedResponse:
    """Parse a response of /v2/chat; text before calls is the plan, or content of a stream."""
    message, tokens = body["message"], body["usage"].get("tokens", {})
    content = message.get("content") or []
    texts = [item["text"] for item in content if item["type"] == "text"]
    assert message["role"] == "assistant"
    return ParsedResponse(
        text=message.get("tool_plan", "") + "".join(texts),
        thought="".join(item["thinking"] for item in content if item["type"] == "thinking"),
        calls=tuple(
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in message.get("tool_calls") or ()
        ),
        finish=body["finish_reason"],
        prompt=tokens.get("input_tokens"),
        output=tokens.get("output_tokens"),
        native=message,
    )


def join_cohere(data: bytes) -> Json:
    """Join the events: content and calls in order, each with its start and end."""
    *events_between, (_, done) = frames(data)
    assert done == "[DONE]", done
    assert all(name == value["type"] for name, value in events_between)
    (_, first), *events_between, (_, last) = events_between
    assert (first["type"], last["type"]) == ("message-start", "message-end"), events_between
    content: list[Json] = []
    calls: list[Json] = []
    plan = ""
    for name, value in events_between:
        message = (value.get("delta") or {}).get("message") or {}
        if name == "tool-plan-delta":
            plan += message["tool_plan"]
        elif name == "content-start":
            assert value["index"] == len(content)
            content.append(dict(message["content"]))
        elif name == "content-delta":
            ((field, text),) = message["content"].items()
            content[value["index"]][field] += text
        elif name == "tool-call-start":
            assert value["index"] == len(calls)
            call = message["tool_calls"]
            calls.append({**call, "function": dict(call["function"])})
        elif name == "tool-call-delta":
            text = message["tool_calls"]["function"]["arguments"]
            calls[value["index"]]["function"]["arguments"] += text
        else:
            assert name in {"content-end", "tool-call-end"}, name
    message = {"role": "assistant", "content": content, "tool_calls": calls, "tool_plan": plan}
    return {"message": {k: v for k, v in message.items() if v}, **last["delta"]}


def find_cohere_error(data: bytes) -> str | None:
    """Return the error of a Cohere stream: its finish reason."""
    values = [value for _, value in frames(data)]
    end_events = [v for v in values if isinstance(v, dict) and v["type"] == "message-end"]
    if not end_events or end_events[-1]["delta"]["finish_reason"] not in {"ERROR", "TIMEOUT"}:
        return None
    return str(end_events[-1]["delta"]["error"])


READERS: dict[str, Reader] = {
    "openai_chat": Reader(parse_chat, join_chat, find_chat_error),
    "openai_responses": Reader(parse_responses, join_responses, find_responses_error),
    "openai_completions": Reader(parse_completion, join_completion, find_chat_error),
    "anthropic_messages": Reader(parse_messages, join_messages, find_messages_error),
    "gemini": Reader(parse_gemini, join_gemini, find_gemini_error),
    "ollama": Reader(parse_ollama, join_ollama, find_ollama_error),
    "cohere": Reader(parse_cohere, join_cohere, find_cohere_error),
    "bedrock_converse": Reader(parse_converse, join_converse, find_converse_error),
}

# A client's word for a response that ended by itself, and for one that calls tools.
ENDED = {
    "openai_chat": ("stop", "tool_calls"),
    "openai_responses": ("completed", "completed"),
    "openai_completions": ("stop", "stop"),
    "anthropic_messages": ("end_turn", "tool_use"),
    "gemini": ("STOP", "STOP"),
    "ollama": ("stop", "stop"),
    "bedrock_converse": ("end_turn", "tool_use"),
    "cohere": ("COMPLETE", "TOOL_CALL"),
}
