"""Streams of real providers that differ from the reference, read as a client of any dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, Failed, UsageUpdate
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Citation, Native, Text, ToolCall
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Decoder, Frame
from tests.stream_grammar import check_stream

Json = dict[str, Any]


def sse(*values: Any) -> bytes:
    """Return events, named by their `type`, if they have one."""
    out = b""
    for value in values:
        name = value.get("type") if isinstance(value, dict) else None
        data = value if isinstance(value, str) else json.dumps(value)
        out += (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
    return out


def events_of(dialect: str, data: bytes, size: int = 0) -> list[Event]:
    """Return the events of a provider's bytes, read in chunks of one size."""
    decoder = STREAM_FORMATS[DIALECTS[dialect].framing].new_decoder()
    parser = DIALECTS[dialect].provider.stream_parser(Traits(preset="acme", model="m"), None)
    size = size or len(data)
    frames = [f for i in range(0, len(data), size) for f in decoder.feed(data[i : i + size])]
    events = [event for frame in [*frames, *decoder.close()] for event in parser.feed(frame)]
    events += parser.close()
    check_stream(events)
    return events


def test_a_failed_response_keeps_its_usage():
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    failed = {"status": "failed", "error": {"code": "server_error", "message": "m"}, "usage": usage}
    openai = sse(
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.failed", "response": failed},
    )
    delta = {"finish_reason": "ERROR", "error": "m", "usage": {"tokens": usage}}
    cohere = sse({"type": "message-start", "id": "r"}, {"type": "message-end", "delta": delta})
    for dialect, data in (("openai_responses", openai), ("cohere", cohere)):
        *_, update, failed_event = events_of(dialect, data)
        assert isinstance(update, UsageUpdate)
        assert (update.usage.input, update.usage.output) == (7, 3)
        assert isinstance(failed_event, Failed)


def google(*parts: Json, **more: Any) -> Json:
    """Return a chunk of Gemini."""
    return {"candidates": [{"content": {"parts": list(parts)}, "index": 0, **more}]}


GROUNDING = {
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "https://x", "title": "t"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 6, "endIndex": 11}, "groundingChunkIndices": [0]}
        ],
    }
}
SIGNED = {"text": "", "thoughtSignature": "U0lH"}
CALL = {"functionCall": {"name": "f", "args": {}}}


def test_sources_of_a_second_text_are_not_those_of_the_first():
    more = GROUNDING | {"finishReason": "STOP"}
    data = sse(google({"text": "a"}), google(CALL), google({"text": "Hello World"}, **more))
    first, _, second = fold_events(events_of("gemini", data)).parts
    assert first.citations == ()  # type: ignore[union-attr]
    assert len(second.citations) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("between", [[SIGNED], [CALL], [CALL, SIGNED], []], ids=str)
@pytest.mark.parametrize("repeats", [1, 2])
def test_sources_after_a_later_part_belong_to_the_text(between: list[Json], repeats: int):
    chunks = [google({"text": "Hello "}), google({"text": "World"}), *map(google, between)]
    last = [google(**GROUNDING)] * repeats + [google(finishReason="STOP")]
    events = events_of("gemini", sse(*chunks, *last))
    [whole] = google({"text": "Hello World"}, *between, **GROUNDING, finishReason="STOP").values()
    parse = DIALECTS["gemini"].provider.parse_response
    complete_response = parse({"candidates": whole}, Traits(preset="acme", model="m"), None)
    assert fold_events(events).parts == complete_response.parts
    [citation] = complete_response.parts[0].citations  # type: ignore[union-attr]
    assert (citation.url, citation.start, citation.end) == ("https://x", 6, 11)
    chat = DIALECTS["openai_chat"].client.stream_renderer(
        ResponseContext(id="1", created=1, model="m")
    )
    assert b'"start_index":6,"end_index":11' in b"".join(map(chat.feed, events))


def test_text_after_a_call_is_not_buffered():
    parser = DIALECTS["gemini"].provider.stream_parser(Traits(preset="acme", model="m"), None)
    frames = [google({"text": "a"}), google(CALL), google({"text": "b"})]
    events = [parser.feed(Frame("", json.dumps(frame).encode())) for frame in frames]
    assert events[1] == []
    assert [type(event) for event in events[2]] == [
        *(BlockEnd, BlockStart, BlockEnd, BlockStart, Delta)
    ]


THOUGHT = {"text": "hm", "thought": True}
SEARCH = RenderedRequest(body={"tools": [{"functionDeclarations": []}, {"googleSearch": {}}]})
FUNCTIONS = RenderedRequest(body={"tools": [{"functionDeclarations": []}, {"codeExecution": {}}]})


@pytest.mark.parametrize("after", [[], [CALL], [THOUGHT, SIGNED]], ids=str)
def test_sources_after_a_thought_belong_to_the_text_before_it(after: list[Json]):
    parts = [{"text": "Hello World"}, THOUGHT, *after]
    chunks = [*map(google, parts), google(**GROUNDING), google(finishReason="STOP")]
    parser = DIALECTS["gemini"].provider.stream_parser(Traits(preset="acme", model="m"), SEARCH)
    events = [event for c in chunks for event in parser.feed(Frame("", json.dumps(c).encode()))]
    events += parser.close()
    check_stream(events)
    text, *_ = fold_events(events).parts
    assert isinstance(text, Text)
    assert [citation.url for citation in text.citations] == ["https://x"]


@pytest.mark.parametrize("request_body", [FUNCTIONS, None], ids=["no search", "unknown"])
def test_thoughts_after_a_text_are_not_buffered_without_a_search(
    request_body: RenderedRequest | None,
):
    traits = Traits(preset="acme", model="m")
    parser = DIALECTS["gemini"].provider.stream_parser(traits, request_body)
    frames = [google({"text": "a"}), google(THOUGHT)]
    events = [parser.feed(Frame("", json.dumps(frame).encode())) for frame in frames]
    assert events[1][-1] == Delta("hm")


def test_a_truncated_stream_still_has_the_buffered_parts():
    events = events_of("gemini", sse(google({"text": "a"}), google(CALL)))
    assert [type(event) for event in events[-4:]] == [BlockEnd, BlockStart, BlockEnd, Failed]


def chat(*deltas: Json, finish: str | None = "tool_calls") -> bytes:
    """Return a Chat stream with these deltas."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    return sse(*({"id": "r", "choices": [choice]} for choice in (*choices, last)), "[DONE]")


def piece(name: str | None = None, arguments: str = "", **more: Any) -> Json:
    """Return a delta with a piece of a call."""
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]}


def calls_in(data: bytes) -> list[tuple[str, Any]]:
    """Return names and arguments of the calls of a Chat stream."""
    parts = fold_events(events_of("openai_chat", data)).parts
    assert all(isinstance(part, ToolCall) for part in parts)
    return [(part.name, part.arguments or part.raw_arguments) for part in parts]  # type: ignore[union-attr]


A, B = '{"a":1}', '{"b":2}'
TWO_CALLS = [("f", {"a": 1}), ("g", {"b": 2})]


@pytest.mark.parametrize(
    "names",
    [
        ("get_", "weather", None),
        ("get_weather", "get_weather", "get_weather"),
        ("get_", "get_weather", "get_weather"),
        ("get_weather", "", ""),
        ("", "get_weather", None),
    ],
    ids=str,
)
def test_a_function_name_in_pieces_or_repeated_is_one_name(names: tuple[str | None, ...]):
    first, second, third = names
    data = chat(piece(first, index=0, id="c1"), piece(second, index=0), piece(third, A, index=0))
    assert calls_in(data) == [("get_weather", {"a": 1})]


def test_a_new_id_in_each_chunk_of_a_call_is_no_new_call():
    """LM Studio: https://github.com/NousResearch/hermes-agent/pull/5331."""
    data = chat(piece("f", id="1"), piece("", '{"a"', id="2"), piece("", ":1}", id="3"))
    assert calls_in(data) == [("f", {"a": 1})]


def test_calls_without_ids_that_have_the_same_index_are_different_calls():
    data = chat(piece("f", A, index=0, id=""), piece("g", B, index=0, id=""))
    assert calls_in(data) == TWO_CALLS
    data = chat(piece("f", A, index=0), piece("f", B, index=0))
    assert calls_in(data) == [("f", {"a": 1}), ("f", {"b": 2})]


def test_arguments_sent_again_as_a_whole_count_once():
    """https://github.com/open-webui/open-webui/pull/22235."""
    pieces = [
        piece("f", index=0, id="1"),
        piece(None, '{"a"', index=0),
        piece(None, ":1}", index=0),
    ]
    assert calls_in(chat(*pieces, piece("f", A, index=0, id="1"))) == [("f", {"a": 1})]


def test_interleaved_calls_without_an_index_are_distinguished_by_their_ids():
    starts = [piece("f", '{"a"', id="1"), piece("g", '{"b"', id="2")]
    data = chat(*starts, piece(None, ":1}", id="1"), piece(None, ":2}", id="2"))
    assert calls_in(data) == TWO_CALLS


def text_chunk(text: str | None, finish: Any, **more: Any) -> Json:
    """Return a chunk with text and a finish reason."""
    return {
        "id": "r",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}],
    }


def test_an_empty_finish_reason_is_none():
    """Some compatible servers send "" instead of null until the end."""
    data = sse(text_chunk("a", ""), text_chunk("b", ""))
    *_, end = events_of("openai_chat", data)
    assert isinstance(end, Failed)
    response = fold_events(events_of("openai_chat", data + sse(text_chunk("c", "length"))))
    assert [part.text for part in response.parts] == ["abc"]  # type: ignore[union-attr]
    last = sse(text_chunk("", "length"), text_chunk("", ""), "[DONE]")
    assert fold_events(events_of("openai_chat", data + last)).finish.reason == "length"
    completion = sse({"choices": [{"text": "a", "finish_reason": ""}]})
    assert isinstance(events_of("openai_completions", completion)[-1], Failed)


NULL_DELTAS = {
    "anthropic_messages": [
        {"type": "message_start", "message": {"id": "r"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "c"},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": None},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ],
    "openai_responses": [
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": None},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "a"},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "call_id": "c"},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": None},
        {"type": "response.completed", "response": {}},
    ],
}


@pytest.mark.parametrize("dialect", NULL_DELTAS)
def test_a_delta_with_null_is_empty(dialect: str):
    text, call = fold_events(events_of(dialect, sse(*NULL_DELTAS[dialect]))).parts
    assert (text.text, call.arguments) == ("a", {})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "blank",
    [
        b"data:\n\n",
        b"data: \n\n",
        b"event: ping\ndata:\n\n",
        b"event: ping\n\n",
        b":\n\n",
        b": ping\n\n",
        b"id: 1\nretry: 9\n\n",
        b"\n\n\n",
    ],
)
@pytest.mark.parametrize(
    "dialect",
    [
        "openai_chat",
        "openai_completions",
        "openai_responses",
        "anthropic_messages",
        "gemini",
        "cohere",
    ],
)
def test_events_without_data_keep_the_stream_alive(dialect: str, blank: bytes):
    *_, end = events_of(dialect, blank + blank)
    assert isinstance(end, Failed)
    assert end.error.message == "the upstream's stream ended before the response was complete"


def test_the_openai_sdk_reads_sources_and_images_in_several_chunks():
    cited = Text(text="a", citations=(Citation(url="https://a"), Citation(url="https://b")))
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    image = Native(dialect="openai_chat", data={"type": "images", "images": images})
    renderer = DIALECTS["openai_chat"].client.stream_renderer(
        ResponseContext(id="1", created=1, model="m")
    )
    response = Response(parts=(cited, image, cited, image))
    wire = b"".join(map(renderer.feed, unfold_response(response)))
    state: Any = ChatCompletionStreamState()
    for frame in Decoder().feed(wire):
        if frame.data != b"[DONE]":
            chunk = construct_type(value=json.loads(frame.data), type_=ChatCompletionChunk)
            state.handle_chunk(chunk)
    message = state.current_completion_snapshot.choices[0].message
    urls = [annotation.url_citation.url for annotation in message.annotations]
    assert urls == ["https://a", "https://b"] * 2
    assert len(message.images) == 2


def test_an_error_within_a_choice_keeps_its_message():
    """https://openrouter.ai/docs/api-reference/overview: a choice may have an `error`."""
    failed = text_chunk("", "error", error={"code": 429, "message": "slow down"})
    *_, last = events_of("openai_chat", sse(text_chunk("a", None), failed))
    assert isinstance(last, Failed)
    assert (last.error.kind, last.error.message) == ("rate_limit", "slow down")
    whole = {"choices": [{"message": {"content": None}, **failed["choices"][0], "delta": None}]}
    with pytest.raises(GatewayError, match="slow down"):
        DIALECTS["openai_chat"].provider.parse_response(whole, Traits(), None)


URL = {
    "type": "url_citation",
    "url_citation": {"url": "https://a", "start_index": 0, "end_index": 1},
}


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [{"index": 0, "delta": {"annotations": [URL]}}]},
        {"choices": [], "citations": ["https://a"], "usage": {"prompt_tokens": 1}},
        {"choices": [{"index": 0, "delta": {"annotations": [URL]}, "finish_reason": "stop"}]},
    ],
)
def test_sources_after_the_finish_belong_to_the_text(last: Json):
    data = sse(text_chunk("a", None), text_chunk(None, "stop"), last, "[DONE]")
    [text] = fold_events(events_of("openai_chat", data)).parts
    assert [citation.url for citation in text.citations] == ["https://a"]  # type: ignore[union-attr]


def openai(name: str, **fields: Any) -> Json:
    """Return an event of the Responses API."""
    return {"type": f"response.{name}", **fields}


def test_a_call_that_only_the_last_event_contains_is_not_lost():
    message = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": A}
    added = openai("output_item.added", output_index=0, item={"type": "message"})
    delta = openai("output_text.delta", output_index=0, delta="a")
    streamed_call = openai("output_item.done", output_index=1, item=call)
    end = openai("completed", response={"output": [message, call]})
    for more in ([], [streamed_call]):
        response = fold_events(events_of("openai_responses", sse(added, delta, *more, end)))
        assert [type(part) for part in response.parts] == [Text, ToolCall]
        assert response.finish.reason == "tool"


@pytest.mark.parametrize("first", ["content", "summary"])
def test_reasoning_is_its_summary_or_its_content(first: str):
    item = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "the summary"}],
        "content": [{"type": "reasoning_text", "text": "the content"}],
    }
    summary = openai("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="the ")
    content = openai("reasoning_text.delta", output_index=0, content_index=0, delta="the ")
    deltas = [summary, content] if first == "summary" else [content, summary]
    done = openai("output_item.done", output_index=0, item=item)
    data = sse(*deltas, done, openai("completed", response={}))
    [reasoning] = fold_events(events_of("openai_responses", data)).parts
    assert reasoning.text == f"the {first}"  # type: ignore[union-attr]


def test_a_candidate_with_the_index_null_is_the_first():
    [text] = fold_events(
        events_of("gemini", sse(google({"text": "a"}, index=None, finishReason="STOP")))
    ).parts
    assert text == Text(text="a")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\\ud83d", "\\ude00b"], "a😀b"),
        (["\\uD83D", "\\uDE00\\ud83d", "\\ude01"], "😀😁"),
        (["a\\ude00", "b"], "a\ufffdb"),
        (["a\\ud83d", "b"], "ab"),
        (["\\\\ud83d\\ud83d", "\\ude00"], "\\ud83d😀"),
    ],
)
def test_a_character_cut_into_two_chunks_is_whole(pieces: list[str], text: str):
    """https://github.com/elizaOS/eliza/issues/30904."""
    chunks = [json.dumps(text_chunk("?", None)).replace("?", each) for each in pieces]
    [part] = fold_events(events_of("openai_chat", sse(*chunks, text_chunk(None, "stop")))).parts
    assert part == Text(text=text)
