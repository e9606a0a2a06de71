"""Provider streams, whole responses and canonical events with n items of one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Citation, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.framing.sse import Frame

Json = dict[str, Any]
URL = "https://example.com/"


def _frames(*values: Any, event: str = "") -> list[Frame]:
    return [Frame(event, msgspec.json.encode(value)) for value in values]


def _typed(*values: Json) -> list[Frame]:
    return [Frame(value["type"], msgspec.json.encode(value)) for value in values]


# --- OpenAI Chat -------------------------------------------------------------------------


def _chat(*deltas: Json) -> list[Frame]:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    chunks = ({"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas)
    return _frames(*chunks, last)


def _piece(i: int, arguments: str, **fields: Any) -> Json:
    function = {"name": "look", "arguments": arguments}
    return {"tool_calls": [{"id": f"c{i}", "function": function, **fields}]}


_LOGPROB = {"token": "x", "logprob": -0.1, "top_logprobs": []}

CHAT: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _chat(*[{"content": "x"}] * n),
    "thoughts": lambda n: _chat(*[{"reasoning_content": "x"}] * n),
    "texts and thoughts": lambda n: _chat(*[{"content": "x"}, {"reasoning_content": "x"}] * n),
    "details": lambda n: _chat(
        *[{"reasoning_details": [{"type": "reasoning.text", "text": "x", "index": 0}]}] * n
    ),
    "many details and texts": lambda n: _chat(
        *(
            delta
            for i in range(n)
            for delta in (
                {"reasoning_details": [{"type": "reasoning.text", "text": "x", "index": i}]},
                {"content": "x"},
            )
        )
    ),
    "calls": lambda n: _chat(*(_piece(i, "{}", index=i) for i in range(n))),
    "calls that stay open": lambda n: _chat(*(_piece(i, "{", index=i) for i in range(n))),
    "calls without indexes": lambda n: _chat(*(_piece(i, "{") for i in range(n))),
    "calls of one index": lambda n: _chat(*(_piece(i, "{}", index=0) for i in range(n))),
    "pieces of a call": lambda n: _chat(
        _piece(0, "{", index=0), _piece(1, "{", index=1), *[_piece(0, "x}", index=0)] * n
    ),
    "pieces of a waiting call": lambda n: _chat(
        _piece(0, '{"a": "' + "x" * 10 * n + "}", index=0), *[_piece(1, "x", index=1)] * n
    ),
    "texts while a call is open": lambda n: _chat(
        _piece(0, "{", index=0), *[{"content": "x"}, {"reasoning_content": "y"}] * n
    ),
    "annotations": lambda n: _chat(
        {"content": "x"},
        *[{"annotations": [{"type": "url_citation", "url_citation": {"url": URL}}]}] * n,
    ),
    "log probabilities without text": lambda n: _frames(
        *[{"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [_LOGPROB] * 20}}]}] * n,
        {"choices": [{"index": 0, "delta": {"content": "x"}}]},
    ),
    "sounds": lambda n: _chat(*[{"audio": {"data": "eA=="}}] * n),
    "usages": lambda n: _frames(
        *[{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}] * n
    ),
    "choices nobody asked for": lambda n: _frames(
        {"choices": [{"index": i, "delta": {"content": "x"}} for i in range(n)]}
    ),
}

# --- Anthropic ---------------------------------------------------------------------------


def _block(i: int, block: Json, *deltas: Json, stop: bool = True) -> list[Json]:
    out = [{"type": "content_block_start", "index": i, "content_block": block}]
    out += [{"type": "content_block_delta", "index": i, "delta": delta} for delta in deltas]
    return [*out, {"type": "content_block_stop", "index": i}] if stop else out


def _messages(*events: Json) -> list[Frame]:
    start = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
    return _typed(start, *events, last, {"type": "message_stop"})


_TEXT = {"type": "text", "text": ""}
_SAYS = {"type": "text_delta", "text": "x"}
_NATIVE = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}

MESSAGES: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _messages(*_block(0, _TEXT, *[_SAYS] * n)),
    "blocks": lambda n: _messages(*(e for i in range(n) for e in _block(i, _TEXT, _SAYS))),
    "blocks behind an open one": lambda n: _messages(
        *_block(0, _TEXT, _SAYS, stop=False),
        *(e for i in range(1, n) for e in _block(i, _TEXT, _SAYS)),
        {"type": "content_block_stop", "index": 0},
    ),
    "blocks without indexes": lambda n: _messages(
        *({"type": "content_block_start", "content_block": _TEXT} for _ in range(n))
    ),
    "pieces of a call": lambda n: _messages(
        *_block(
            0,
            {"type": "tool_use", "id": "t", "name": "look", "input": {}},
            *[{"type": "input_json_delta", "partial_json": "x"}] * n,
        )
    ),
    "pieces of a native block": lambda n: _messages(
        *_block(0, _NATIVE, *[{"type": "input_json_delta", "partial_json": "x"}] * n)
    ),
    "citations": lambda n: _messages(
        *_block(
            0,
            _TEXT,
            _SAYS,
            *[
                {
                    "type": "citations_delta",
                    "citation": {
                        "type": "web_search_result_location",
                        "url": URL,
                        "cited_text": "x",
                    },
                }
            ]
            * n,
        )
    ),
    "usages": lambda n: _messages(
        *({"type": "message_delta", "delta": {}, "usage": {f"x{i}": 1}} for i in range(n))
    ),
}

# --- the others --------------------------------------------------------------------------


def _resp(name: str, **fields: Any) -> Json:
    return {"type": f"response.{name}", **fields}


def _responses(*events: Json) -> list[Frame]:
    response_body = {"id": "r", "output": [], "status": "completed"}
    return _typed(
        _resp("created", response=response_body),
        *events,
        _resp("completed", response=response_body),
    )


def _call_item(i: int) -> Json:
    return {"type": "function_call", "call_id": f"c{i}", "name": "look", "arguments": "{}"}


RESPONSES: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _responses(
        *[_resp("output_text.delta", output_index=0, content_index=0, delta="x")] * n
    ),
    "parts": lambda n: _responses(
        *(_resp("output_text.delta", output_index=0, content_index=i, delta="x") for i in range(n))
    ),
    "items": lambda n: _responses(
        *(_resp("output_item.done", output_index=i, item=_call_item(i)) for i in range(n))
    ),
    "items behind an open one": lambda n: _responses(
        _resp("output_item.added", output_index=0, item=_call_item(0)),
        *(_resp("output_item.done", output_index=i, item=_call_item(i)) for i in range(1, n)),
        _resp("output_item.done", output_index=0, item=_call_item(0)),
    ),
    "pieces of a call": lambda n: _responses(
        _resp("output_item.added", output_index=0, item={**_call_item(0), "arguments": ""}),
        *[_resp("function_call_arguments.delta", output_index=0, delta="x")] * n,
    ),
    "summaries": lambda n: _responses(
        *(
            _resp("reasoning_summary_text.delta", output_index=0, summary_index=i, delta="x")
            for i in range(n)
        )
    ),
    "annotations": lambda n: _responses(
        _resp("output_text.delta", output_index=0, content_index=0, delta="x"),
        *[
            _resp(
                "output_text.annotation.added",
                output_index=0,
                content_index=0,
                annotation={
                    "type": "url_citation",
                    "url": URL,
                    "title": "t",
                    "start_index": 0,
                    "end_index": 1,
                },
            )
        ]
        * n,
    ),
    "output of the end": lambda n: _typed(
        _resp(
            "completed",
            response={
                "id": "r",
                "status": "completed",
                "output": [_call_item(i) for i in range(n)],
            },
        )
    ),
}


def _gemini(*parts: list[Json], **fields: Any) -> list[Frame]:
    chunks = ({"candidates": [{"index": 0, "content": {"parts": part}}]} for part in parts)
    return _frames(*chunks, {"candidates": [{"index": 0, "finishReason": "STOP", **fields}]})


def _grounding(n: int, text: str) -> Json:
    supports = [
        {
            "segment": {"startIndex": i, "endIndex": i + 1, "text": text[i]},
            "groundingChunkIndices": [i],
        }
        for i in range(n)
    ]
    return {
        "groundingChunks": [{"web": {"uri": f"{URL}{i}", "title": "t"}} for i in range(n)],
        "groundingSupports": supports,
    }


GEMINI: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _gemini(*[[{"text": "x"}]] * n),
    "parts": lambda n: _gemini([{"text": "x"}] * n),
    "signed thoughts": lambda n: _gemini(
        *[[{"text": "x", "thought": True, "thoughtSignature": "s"}]] * n
    ),
    "calls": lambda n: _gemini([{"functionCall": {"name": "look", "args": {}}}] * n),
    "grounding": lambda n: _gemini(
        [{"text": "é" * 20 * n}], groundingMetadata=_grounding(n, "é" * n)
    ),
    "candidates": lambda n: _frames(
        {"candidates": [{"index": i, "content": {"parts": [{"text": "x"}]}} for i in range(n)]}
    ),
}


def _bedrock(*events: tuple[str, Json]) -> list[Frame]:
    end_events = (("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": {}}))
    return [Frame(name, msgspec.json.encode(data)) for name, data in (*events, *end_events)]


def _b_delta(delta: Json, i: int = 0) -> tuple[str, Json]:
    return "contentBlockDelta", {"contentBlockIndex": i, "delta": delta}


BEDROCK: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _bedrock(*[_b_delta({"text": "x"})] * n),
    "blocks": lambda n: _bedrock(*(_b_delta({"text": "x"}, i) for i in range(n))),
    "redacted": lambda n: _bedrock(
        *[_b_delta({"reasoningContent": {"redactedContent": "eA==" * 20}})] * n
    ),
    "pieces of a call": lambda n: _bedrock(
        (
            "contentBlockStart",
            {"contentBlockIndex": 0, "start": {"toolUse": {"name": "t", "toolUseId": "i"}}},
        ),
        *[_b_delta({"toolUse": {"input": "x"}})] * n,
    ),
}


def _cohere(*events: Json) -> list[Frame]:
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}
    return _typed({"type": "message-start", "id": "c"}, *events, end)


def _c(kind: str, i: int = 0, **message: Any) -> Json:
    return {"type": kind, "index": i, "delta": {"message": message}}


COHERE: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _cohere(*[_c("content-delta", content={"text": "x"})] * n),
    "blocks": lambda n: _cohere(*(_c("content-delta", i, content={"text": "x"}) for i in range(n))),
    "calls": lambda n: _cohere(
        *(
            _c(
                "tool-call-start",
                i,
                tool_calls={"id": f"c{i}", "function": {"name": "t", "arguments": "{}"}},
            )
            for i in range(n)
        )
    ),
    "citations": lambda n: _cohere(
        _c("content-delta", content={"text": "x"}),
        *[
            _c(
                "citation-start",
                citations={
                    "start": 0,
                    "end": 1,
                    "text": "x",
                    "sources": [{"type": "tool", "id": "t"}],
                },
            )
        ]
        * n,
    ),
}


def _ollama(*messages: Json) -> list[Frame]:
    end = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}
    lines = ({"model": "m", "message": {"role": "assistant", **m}, "done": False} for m in messages)
    return _frames(*lines, {**end, "done_reason": "stop"})


OLLAMA: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _ollama(*[{"content": "x"}] * n),
    "calls": lambda n: _ollama(
        *[{"tool_calls": [{"function": {"name": "t", "arguments": {}}}]}] * n
    ),
    "thoughts and texts": lambda n: _ollama(*[{"thinking": "x"}, {"content": "x"}] * n),
}

COMPLETIONS: dict[str, Callable[[int], list[Frame]]] = {
    "texts": lambda n: _frames(
        *[{"choices": [{"index": 0, "text": "x"}]}] * n,
        {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]},
    ),
}

STREAMS: dict[str, dict[str, Callable[[int], list[Frame]]]] = {
    "openai_chat": CHAT,
    "anthropic_messages": MESSAGES,
    "openai_responses": RESPONSES,
    "gemini": GEMINI,
    "bedrock_converse": BEDROCK,
    "cohere": COHERE,
    "ollama": OLLAMA,
    "openai_completions": COMPLETIONS,
}

# --- what a client is shown --------------------------------------------------------------


def _response(*events: Event) -> list[Event]:
    usage = UsageUpdate(Usage(input=1, output=1))
    return [Start(id="a", model="m"), *events, usage, End(Finish(reason="stop"))]


def _text_block(*events: Event) -> list[Event]:
    return [BlockStart(kind="text"), *events, BlockEnd()]


def _call(i: int, *pieces: str) -> list[Event]:
    deltas = [Delta(piece) for piece in pieces]
    return [BlockStart(kind="tool_call", id=f"c{i}", name="t"), *deltas, BlockEnd()]


def _reasoning_block(*events: Event) -> list[Event]:
    return [BlockStart(kind="reasoning"), Delta("x"), *events, BlockEnd()]


_CITED = [
    Citation(url=URL, title="t", start=0, end=1),
    Citation(dialect="cohere", native={"x": 1}),
    Citation(dialect="anthropic_messages", native={"type": "char_location", "cited_text": "x"}),
]

RESPONSE_EVENTS: dict[str, Callable[[int], list[Event]]] = {
    "texts": lambda n: _response(*_text_block(*[Delta("x")] * n)),
    "blocks": lambda n: _response(*_text_block(Delta("x")) * n),
    "calls": lambda n: _response(*(e for i in range(n) for e in _call(i, "{}"))),
    "calls that are no JSON": lambda n: _response(*(e for i in range(n) for e in _call(i, "{"))),
    "pieces of a call": lambda n: _response(*_call(0, *["x"] * n)),
    "thoughts": lambda n: _response(
        *_reasoning_block(SignatureDelta(Signature(provider="p", value="v"))) * n
    ),
    "thoughts and texts": lambda n: _response(*(_reasoning_block() + _text_block(Delta("x"))) * n),
    "refusals": lambda n: _response(*[BlockStart(kind="refusal"), Delta("x"), BlockEnd()] * n),
    "citations": lambda n: _response(
        *_text_block(Delta("é" * n), *[CitationDelta(c) for c in _CITED] * n)
    ),
    "different sources": lambda n: _response(
        *_text_block(
            Delta("é" * n),
            *(CitationDelta(Citation(url=f"{URL}{i}", start=i, end=i + 1)) for i in range(n)),
        )
    ),
    "native blocks": lambda n: _response(
        *(
            event
            for i in range(n)
            for event in (
                BlockStart(kind="native", dialect="anthropic_messages", native={"type": f"x{i}"}),
                BlockEnd(),
            )
        )
    ),
    "pieces of a native block": lambda n: _response(
        BlockStart(
            kind="native", dialect="anthropic_messages", native={"type": "x", "partial_json": ""}
        ),
        *[NativeDelta({"type": "input_json_delta", "partial_json": "x" * 10})] * n,
        BlockEnd(),
    ),
    "usages": lambda n: _response(*[UsageUpdate(Usage(output=1, native={"x": 1}))] * n),
    "answers": lambda n: [
        *_response(*_text_block(Delta("x")))[:-1],
        End(
            Finish(reason="stop"),
            tuple(
                Response(parts=(Text(text="x"), ToolCall(id=f"c{i}", name="t", raw_arguments="{")))
                for i in range(n)
            ),
        ),
    ],
}
