"""Streams of each provider dialect with the faults that real upstreams produce."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gateway.framing.eventstream import Decoder, encode
from tests.dialects.crossing.feature_requests import Json
from tests.dialects.crossing.readers import frames

# What a client is to see: the whole response, or an error that ends it.
ExpectedResult = Literal["whole", "error"]
Frames = list[tuple[str, Any]]
LINES, BINARY = {"ollama"}, {"bedrock_converse"}
KINDS = {"ollama": "application/x-ndjson", "bedrock_converse": "application/vnd.amazon.eventstream"}
SSE = "text/event-stream"


def read_frames(dialect: str, data: bytes) -> Frames:
    """Return the frames of a stream: event name and JSON, or text such as [DONE]."""
    if dialect in LINES:
        return [("", json.loads(line)) for line in data.splitlines() if line.strip()]
    if dialect in BINARY:
        return [(f.event, json.loads(f.data)) for f in Decoder().feed(data)]
    return frames(data)


def frames_bytes(dialect: str, stream_frames: Frames) -> bytes:
    """Return the bytes of frames."""
    return b"".join(frame_bytes(dialect, name, value) for name, value in stream_frames)


def frame_bytes(dialect: str, name: str, value: Any) -> bytes:
    """Return the bytes of one frame."""
    text = value if isinstance(value, str) else json.dumps(value)
    if dialect in LINES:
        return f"{text}\n".encode()
    if dialect in BINARY:
        return encode(text.encode(), name)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


@dataclass(frozen=True)
class StreamFault:
    """A fault of a stream: frames -> bytes, or None if it does not apply to a dialect.

    `ends` are the dialects for which it is an error although it is valid elsewhere; `kind` is
    the content type, if it differs from the dialect's.
    """

    name: str
    apply_fault: Callable[[str, Frames], bytes | None]
    expected: ExpectedResult
    kind: str = ""
    ends: frozenset[str] = frozenset()


def _at_middle(stream_frames: Frames, *more: tuple[str, Any]) -> Frames:
    middle = len(stream_frames) // 2
    return [*stream_frames[:middle], *more, *stream_frames[middle:]]


def unknown_event(dialect: str, stream_frames: Frames) -> bytes:
    """Insert an event of an unknown type."""
    value: Json = {"type": "sparkle.delta", "object": "sparkle", "sparkle": {"a": [1]}}
    if dialect in LINES:
        value = {"model": "m", "done": False, "sparkle": True}
    return frames_bytes(dialect, _at_middle(stream_frames, ("sparkle.delta", value)))


def unknown_fields(dialect: str, stream_frames: Frames) -> bytes:
    """Add an unknown field to every object, at every depth."""
    return frames_bytes(
        dialect, [(name, _with_unknown_fields(value)) for name, value in stream_frames]
    )


# Where a field more would be part of the model's own words.
_OPAQUE = {"args", "arguments", "input", "delta_text"}


def _with_unknown_fields(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_unknown_fields(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {k: v if k in _OPAQUE else _with_unknown_fields(v) for k, v in value.items()}
    return inner | {"sparkle": {"new": 1}}


def without_usage(dialect: str, stream_frames: Frames) -> bytes:
    """Remove all token counts."""
    return frames_bytes(dialect, [(name, _without_usage(value)) for name, value in stream_frames])


_COUNTS = {"usage", "usageMetadata", "prompt_eval_count", "eval_count"}


def _without_usage(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_usage(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: _without_usage(v) for k, v in value.items() if k not in _COUNTS}


def other_ids(dialect: str, stream_frames: Frames) -> bytes | None:
    """Change the response id in every event."""
    faulty, has_ids = [], False
    for number, (name, value) in enumerate(stream_frames):
        if isinstance(value, dict):
            key = next((k for k in ("responseId", "id") if k in value), None)
            if key is not None:
                value = {**value, key: f"other-{number}"}
                has_ids = True
        faulty.append((name, value))
    return frames_bytes(dialect, faulty) if has_ids else None


def repeated_ids(dialect: str, stream_frames: Frames) -> bytes | None:
    """Repeat id and name of a call in every chunk, as some compatible servers do."""
    if dialect != "openai_chat":
        return None
    ids_by_index: dict[int, Json] = {}
    for _, value in stream_frames:
        for call in _chat_calls(value):
            if "id" in call:
                ids_by_index[call["index"]] = {"id": call["id"], "name": call["function"]["name"]}
            else:
                first = ids_by_index[call["index"]]
                call["id"] = first["id"]
                call["function"]["name"] = first["name"]
    return frames_bytes(dialect, stream_frames)


def interleaved(dialect: str, stream_frames: Frames) -> bytes | None:
    """Interleave the arguments of two calls."""
    if dialect != "openai_chat":
        return None
    calls = [n for n, (_, value) in enumerate(stream_frames) if _chat_calls(value)]
    second = [n for n in calls if _chat_calls(stream_frames[n][1])[0]["index"] == 1]
    first = [n for n in calls if n not in second]
    order = [first[0], *second[:1], *first[1:2], *second[1:], *first[2:]]
    reordered = [
        *stream_frames[: calls[0]],
        *(stream_frames[n] for n in order),
        *stream_frames[calls[-1] + 1 :],
    ]
    return frames_bytes(dialect, reordered)


def late_arguments(dialect: str, stream_frames: Frames) -> bytes | None:
    """Send all arguments in one last chunk of each call."""
    if dialect != "openai_chat":
        return None
    arguments_by_index: dict[int, str] = {}
    heads, tail = [], []
    for name, value in stream_frames:
        calls = _chat_calls(value)
        if not calls:
            (tail if arguments_by_index else heads).append((name, value))
        elif "id" in calls[0]:
            arguments_by_index[calls[0]["index"]] = ""
            heads.append((name, value))
        else:
            arguments_by_index[calls[0]["index"]] += calls[0]["function"]["arguments"]
            last = value
    late_frames = []
    for index, text in arguments_by_index.items():
        call = {"index": index, "function": {"arguments": text}}
        choice = {**last["choices"][0], "delta": {"tool_calls": [call]}}
        late_frames.append(("", {**last, "choices": [choice]}))
    return frames_bytes(dialect, [*heads, *late_frames, *tail])


def _chat_calls(value: Any) -> list[Json]:
    if not isinstance(value, dict) or not value.get("choices"):
        return []
    tool_calls: list[Json] = value["choices"][0]["delta"].get("tool_calls") or []
    return tool_calls


def two_choices(dialect: str, stream_frames: Frames) -> bytes | None:
    """Add a second choice that was not requested."""
    key = {"openai_chat": "choices", "openai_completions": "choices", "gemini": "candidates"}
    if dialect not in key:
        return None
    name = key[dialect]
    faulty = []
    for event, value in stream_frames:
        if isinstance(value, dict) and value.get(name):
            other = {**value[name][0], "index": 1}
            value = {**value, name: [*value[name], other]}
        faulty.append((event, value))
    return frames_bytes(dialect, faulty)


_REASONS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")


def unknown_reason(dialect: str, stream_frames: Frames) -> bytes | None:
    """Use an unknown finish reason."""
    faulty = [(name, _with_unknown_reason(value)) for name, value in stream_frames]
    return frames_bytes(dialect, faulty) if faulty != stream_frames else None


def _with_unknown_reason(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_unknown_reason(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        k: "sparkled" if k in _REASONS and v else _with_unknown_reason(v) for k, v in value.items()
    }


def missing_end(dialect: str, stream_frames: Frames) -> bytes:
    """End the stream cleanly in the middle of the response."""
    return frames_bytes(dialect, stream_frames[: len(stream_frames) // 2])


def no_terminator(dialect: str, stream_frames: Frames) -> bytes:
    """Omit the last event, which is a terminator or has the finish reason."""
    last = stream_frames[-1]
    if last[1] == "[DONE]" and dialect == "cohere":
        stream_frames = stream_frames[:-1]
    return frames_bytes(dialect, stream_frames[:-1])


def cut_frame(dialect: str, stream_frames: Frames) -> bytes:
    """End the stream inside an event."""
    middle = len(stream_frames) // 2
    start = frames_bytes(dialect, stream_frames[:middle])
    return start + frame_bytes(dialect, *stream_frames[middle])[:-9]


def garbage(dialect: str, stream_frames: Frames) -> bytes:
    """Send bytes that are not an event of any dialect."""
    middle = len(stream_frames) // 2
    rubbish = (
        b'data: {"choices": [{"del\xff\xfe\n\n' if dialect not in LINES | BINARY else b"\xff{{\n"
    )
    return (
        frames_bytes(dialect, stream_frames[:middle])
        + rubbish
        + frames_bytes(dialect, stream_frames[middle:])
    )


def empty_body(dialect: str, stream_frames: Frames) -> bytes:
    """Send status 200 without a body."""
    del dialect, stream_frames
    return b""


def other_dialect_stream(dialect: str, stream_frames: Frames) -> bytes:
    """Send the stream of another dialect."""
    del stream_frames
    if dialect == "anthropic_messages":
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {}}],
        }
        return frame_bytes(dialect, "", chunk) + frame_bytes(dialect, "", "[DONE]")
    if dialect in LINES:
        return b'{"type":"message_start","message":{"id":"m"}}\n{"type":"message_stop"}\n'
    stream = [("message_start", {"type": "message_start", "message": {"id": "m", "content": []}})]
    stream.append(("message_stop", {"type": "message_stop"}))
    return frames_bytes(dialect, stream)


def html_page(dialect: str, stream_frames: Frames) -> bytes:
    """Send an HTML page."""
    del dialect, stream_frames
    return b"<html><body>Please log in to the hotel network</body></html>"


STREAM_FAULTS = (
    StreamFault("unknown_event", unknown_event, "whole"),
    StreamFault("unknown_fields", unknown_fields, "whole"),
    StreamFault("without_usage", without_usage, "whole"),
    StreamFault("other_ids", other_ids, "whole"),
    StreamFault("repeated_ids", repeated_ids, "whole"),
    StreamFault("interleaved", interleaved, "whole"),
    StreamFault("late_arguments", late_arguments, "whole"),
    StreamFault("two_choices", two_choices, "whole"),
    StreamFault("unknown_reason", unknown_reason, "whole"),
    StreamFault(
        "no_terminator",
        no_terminator,
        "whole",
        ends=frozenset({"openai_responses", "gemini", "ollama", "cohere"}),
    ),
    StreamFault("no_end", missing_end, "error"),
    StreamFault("in_mid_frame", cut_frame, "error"),
    StreamFault("garbage", garbage, "error"),
    StreamFault("nothing", empty_body, "error"),
    StreamFault("a_lie", other_dialect_stream, "error"),
    StreamFault("a_page", html_page, "error", "text/html"),
)


# --- whole responses -----------------------------------------------------------------------


@dataclass(frozen=True)
class ResponseFault:
    """A fault of a whole response: JSON -> bytes."""

    name: str
    apply_fault: Callable[[Json], bytes]
    expected: ExpectedResult
    kind: str = "application/json"


def _other_dialect_response(body: Json) -> bytes:
    """Return another dialect's response: Anthropic's, or Chat's for Anthropic."""
    if body.get("type") == "message":
        return b'{"id":"c","object":"chat.completion","model":"m","choices":[]}'
    return (
        b'{"id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":"end_turn"}'
    )


RESPONSE_FAULTS = (
    ResponseFault("unknown_fields", lambda body: _bytes(_with_unknown_fields(body)), "whole"),
    ResponseFault("without_usage", lambda body: _bytes(_without_usage(body)), "whole"),
    ResponseFault("unknown_reason", lambda body: _bytes(_with_unknown_reason(body)), "whole"),
    ResponseFault("mislabelled", lambda body: _bytes(body), "whole", "text/plain"),
    ResponseFault("cut", lambda body: _bytes(body)[:-20], "error"),
    ResponseFault("empty", lambda _: b"", "error"),
    ResponseFault("an_empty_object", lambda _: b"{}", "error"),
    ResponseFault("a_list", lambda _: b"[1, 2]", "error"),
    ResponseFault("null", lambda _: b"null", "error"),
    ResponseFault("a_lie", _other_dialect_response, "error"),
    ResponseFault("garbage", lambda _: b"\xff\xfe{{{", "error"),
    ResponseFault("a_page", lambda _: b"<html>hotel</html>", "error", "text/html"),
)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()
