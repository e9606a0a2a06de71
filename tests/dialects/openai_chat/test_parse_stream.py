"""Parsing of real providers' chunks into events (variations: wire/spec.md, sections 1.2 and 2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, End, Failed, SignatureDelta, Start
from gateway.canon.logprobs import token_logprobs
from gateway.canon.request import Native, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Finish, Usage
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.openai_chat.make import call_delta, chunk, events, parse_chunks, traits

TEXT = chunk({"content": "hi"})
STOP = chunk(finish="stop")
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def kinds(result: list[Any]) -> list[str]:
    """Return the names of the events."""
    return [type(event).__name__ for event in result]


# --- text ----------------------------------------------------------------------------


def test_a_plain_text_stream_is_parsed():
    streamed_events = events(
        chunk({"role": "assistant", "content": ""}), TEXT, chunk({"content": "!"}), STOP
    )
    assert streamed_events == [
        Start(id="chatcmpl-9", model="up", created=1700000000),
        BlockStart(kind="text"),
        Delta("hi"),
        Delta("!"),
        BlockEnd(),
        End(Finish(reason="stop")),
    ]


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"content": None},
        {"content": ""},
        {"content": 5},
        {"reasoning_content": ""},
        {"tool_calls": []},
        {"tool_calls": None},
        {"tool_calls": "x"},
        {"refusal": ""},
        {"annotations": "x"},
        {"unknown": {"deep": [1]}},
    ],
    ids=str,
)
def test_an_empty_delta_produces_no_event(delta: dict[str, Any]):
    assert parse_chunks(TEXT, chunk(delta), STOP).parts == (Text(text="hi"),)


def test_a_keep_alive_without_choices_produces_no_event():
    assert kinds(events({"id": "x", "object": "chat.completion.chunk"}, TEXT, STOP))[0] == "Start"


def test_azures_prompt_filter_chunk_does_not_start_the_response():
    azure = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    assert events(azure, TEXT, STOP)[0] == Start(id="chatcmpl-9", model="up", created=1700000000)


def test_a_choice_may_lack_everything_but_its_delta():
    assert parse_chunks({"choices": [{"delta": {"content": "x"}}]}, STOP).parts == (Text(text="x"),)


def test_a_last_chunk_may_contain_a_message_instead_of_a_delta():
    last = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    assert parse_chunks(last).parts == (Text(text="x"),)


# --- ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("done", [True, False], ids=["with DONE", "without DONE"])
def test_a_finish_reason_completes_the_stream(done: bool):
    assert isinstance(events(TEXT, STOP, done=done)[-1], End)


def test_done_completes_a_stream_without_a_finish_reason():
    assert events(TEXT)[-1] == End(Finish(reason="stop"))


def test_a_stream_without_finish_or_done_has_failed():
    last = events(TEXT, done=False)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind == "upstream_error"


def test_an_empty_stream_has_failed():
    assert kinds(events()) == ["Failed"]
    assert kinds(events(done=False)) == ["Failed"]


def test_no_event_follows_the_end():
    parser = DIALECT.provider.stream_parser(traits(), None)
    frame = Frame("", b"[DONE]")
    parser.feed(Frame("", b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}'))
    assert kinds(parser.feed(frame)) == ["BlockEnd", "End"]
    assert parser.feed(Frame("", b'{"choices":[{"delta":{"content":"x"}}]}')) == []
    assert parser.close() == []


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "context"),
        ("content_filter", "filter"),
        ("tool_calls", "stop"),
        ("error", "malformed"),
        ("something_new", "stop"),
    ],
    ids=str,
)
def test_a_finish_reason_is_parsed(word: str, reason: str):
    assert parse_chunks(TEXT, chunk(finish=word)).finish.reason == reason


@pytest.mark.parametrize("word", ["stop", "tool_calls", "function_call", "eos"])
def test_a_response_with_calls_has_finished_for_them(word: str):
    calls = chunk(call_delta(id="c", name="f", arguments="{}"))
    assert parse_chunks(calls, chunk(finish=word)).finish.reason == "tool"


def test_a_cut_response_with_calls_stays_cut():
    calls = chunk(call_delta(id="c", name="f", arguments='{"a'))
    assert parse_chunks(calls, chunk(finish="length")).finish.reason == "length"


def test_a_refusal_is_no_ordinary_stop():
    response = parse_chunks(chunk({"refusal": "I "}), chunk({"refusal": "can't"}), STOP)
    assert response.parts == (Refusal(text="I can't"),)
    assert response.finish.reason == "refusal"


def test_the_stop_sequence_of_vllm_is_parsed():
    last = chunk(finish="stop")
    last["choices"][0]["stop_reason"] = "END"
    assert parse_chunks(TEXT, last).finish == Finish(reason="stop_sequence", stop_sequence="END")


# --- usage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        (chunk({"content": "hi"}, usage=USAGE), STOP),
        (TEXT, chunk(finish="stop", usage=USAGE)),
        (TEXT, STOP, {"choices": [], "usage": USAGE}),
        (TEXT, STOP, chunk(usage=USAGE)),
        (TEXT, chunk(finish="stop", x_groq={"id": "r", "usage": USAGE})),
        (TEXT, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
        ({"choices": [], "usage": USAGE}, TEXT, STOP),
        (chunk({"content": "hi"}, usage={"prompt_tokens": 5}), chunk(finish="stop", usage=USAGE)),
    ],
    ids=[
        "with text",
        "with the finish",
        "after",
        "after with a choice",
        "groq",
        "in the choice, as Moonshot writes it",
        "first",
        "growing",
    ],
)
def test_usage_is_read_from_any_chunk(stream: tuple[Any, ...]):
    usage = parse_chunks(*stream).usage
    assert usage is not None
    assert (usage.input, usage.output) == (5, 2)


def test_usage_precedes_the_end():
    assert kinds(events(TEXT, STOP, {"choices": [], "usage": USAGE}))[-2:] == ["UsageUpdate", "End"]


@pytest.mark.parametrize("usage", [None, {}, 5, "x", {"prompt_tokens": "many"}], ids=str)
def test_usage_without_counts_is_unknown(usage: Any):
    assert parse_chunks(TEXT, chunk(finish="stop", usage=usage)).usage is None


# --- reasoning -----------------------------------------------------------------------

PLAIN = Signature(provider="acme", model="acme-1", kind="text")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_content": None, "reasoning": "hm", "content": ""},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    ],
    ids=str,
)
def test_reasoning_is_found_in_every_field(delta: dict[str, Any]):
    parts = parse_chunks(chunk(delta), TEXT, STOP).parts
    assert parts == (Reasoning(text="hm", signature=PLAIN), Text(text="hi"))


def test_reasoning_is_signed_before_its_block_ends():
    streamed_events = events(chunk({"reasoning": "hm"}), TEXT, STOP)
    assert kinds(streamed_events)[1:5] == ["BlockStart", "Delta", "SignatureDelta", "BlockEnd"]
    assert streamed_events[3] == SignatureDelta(PLAIN)


def test_without_a_known_model_the_streams_own_name_signs():
    response = parse_chunks(chunk({"reasoning": "hm"}), STOP, model="")
    assert response.parts[0].signature.model == "up"  # type: ignore[union-attr]


def test_reasoning_details_are_joined_and_stored_for_replay():
    response = parse_chunks(
        chunk({"reasoning": "Let", "reasoning_details": [detail(text="Let")]}),
        chunk({"reasoning": " me", "reasoning_details": [detail(text=" me")]}),
        chunk({"reasoning_details": [detail(signature="SIG")]}),
        TEXT,
        STOP,
    )
    thought = response.parts[0]
    assert isinstance(thought, Reasoning)
    assert thought.text == "Let me"
    assert thought.signature is not None
    assert thought.signature.kind == "reasoning_details"
    joined = '[{"type":"reasoning.text","index":0,"text":"Let me","signature":"SIG"}]'
    assert thought.signature.value == joined


def detail(**fields: Any) -> dict[str, Any]:
    """Return a streamed fragment of a reasoning detail."""
    return {"type": "reasoning.text", "index": 0, **fields}


@pytest.mark.parametrize("is_last", [False, True], ids=["before the text", "after the text"])
def test_encrypted_reasoning_without_text_is_a_block_of_its_own(is_last: bool):
    encrypted = chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "E"}]})
    stream = (TEXT, encrypted, STOP) if is_last else (encrypted, TEXT, STOP)
    thoughts = [part for part in parse_chunks(*stream).parts if isinstance(part, Reasoning)]
    assert len(thoughts) == 1
    assert thoughts[0].redacted is True
    assert thoughts[0].signature is not None
    assert "E" in thoughts[0].signature.value


def test_reasoning_after_text_is_parsed():
    parts = parse_chunks(
        chunk({"reasoning": "a"}), TEXT, chunk({"reasoning": "b"}), TEXT, STOP
    ).parts
    assert [type(part).__name__ for part in parts] == ["Reasoning", "Text", "Reasoning", "Text"]


# --- tool calls ----------------------------------------------------------------------


def calls(*stream: Any, **more: Any) -> list[tuple[str, str, Any]]:
    """Return the calls of a stream: id, name, and arguments or their raw text."""
    parts = parse_chunks(*stream, chunk(finish="tool_calls"), **more).parts
    return [
        (part.id, part.name, part.raw_arguments if part.arguments is None else part.arguments)
        for part in parts
        if isinstance(part, ToolCall)
    ]


def test_a_tool_call_in_fragments_is_joined():
    assert calls(
        chunk(call_delta(id="c", type="function", name="f", arguments="")),
        chunk(call_delta(arguments='{"a"')),
        chunk(call_delta(arguments=": 1}")),
    ) == [("c", "f", {"a": 1})]


def test_a_call_is_streamed_as_it_arrives():
    streamed_events = events(
        chunk(call_delta(id="c", name="f", arguments="")),
        chunk(call_delta(arguments='{"a"')),
        chunk(call_delta(arguments=": 1}")),
        chunk(finish="tool_calls"),
    )
    assert streamed_events[1:5] == [
        BlockStart(kind="tool_call", id="c", name="f"),
        Delta('{"a"'),
        Delta(": 1}"),
        BlockEnd(),
    ]


@pytest.mark.parametrize(
    "stream",
    [
        [
            call_delta(id="c", name="f", arguments='{"a":'),
            call_delta(id="c", name="f", arguments="1}"),
        ],
        [call_delta(id="c"), call_delta(name="f"), call_delta(arguments='{"a":1}')],
        [call_delta(name="f", arguments='{"a":'), call_delta(id="c", arguments="1}")],
        [call_delta(None, id="c", name="f", arguments='{"a":1}')],
        [call_delta(None, id="c", name="f", arguments='{"a":'), call_delta(None, arguments="1}")],
        [
            call_delta(None, id="c", name="f", arguments='{"a":'),
            call_delta(None, id="c", arguments="1}"),
        ],
        [call_delta(id="c", name="f", arguments={"a": 1})],
        [{"tool_calls": {"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}}],
        [call_delta(3, id="c", name="f", arguments='{"a":1}')],
        [call_delta(id="c", name="f", arguments=None), call_delta(arguments='{"a":1}')],
        [
            call_delta(id="c", name="f", arguments='{"a":1}'),
            call_delta(id="", name=None, arguments=""),
        ],
    ],
    ids=[
        "id and name repeated",
        "id, name and arguments apart",
        "the id late",
        "whole without an index",
        "pieces without an index",
        "pieces by id",
        "arguments as an object",
        "calls as an object",
        "indexes from three",
        "null arguments first",
        "an empty piece last",
    ],
)
def test_one_tool_call_is_parsed_from_every_shape(stream: list[dict[str, Any]]):
    assert calls(*map(chunk, stream)) == [("c", "f", {"a": 1})]


TWO = [("c1", "f", {"a": 1}), ("c2", "g", {"b": 2})]


@pytest.mark.parametrize(
    "stream",
    [
        [
            call_delta(0, id="c1", name="f", arguments='{"a":1}'),
            call_delta(1, id="c2", name="g", arguments='{"b":2}'),
        ],
        [
            call_delta(0, id="c1", name="f", arguments=""),
            call_delta(1, id="c2", name="g", arguments=""),
            call_delta(0, arguments='{"a":'),
            call_delta(1, arguments='{"b":'),
            call_delta(1, arguments="2}"),
            call_delta(0, arguments="1}"),
        ],
        [
            call_delta(0, id="c1", name="f", arguments='{"a":1}'),
            call_delta(0, id="c2", name="g", arguments='{"b":2}'),
        ],
        [
            call_delta(None, id="c1", name="f", arguments='{"a":1}'),
            call_delta(None, id="c2", name="g", arguments='{"b":2}'),
        ],
        [
            {
                "tool_calls": [
                    call_delta(0, id="c1", name="f", arguments='{"a":1}')["tool_calls"][0],
                    call_delta(1, id="c2", name="g", arguments='{"b":2}')["tool_calls"][0],
                ]
            }
        ],
    ],
    ids=["one after the other", "interleaved", "the same index", "no index", "in one chunk"],
)
def test_two_tool_calls_are_parsed_from_every_shape(stream: list[dict[str, Any]]):
    assert calls(*map(chunk, stream)) == TWO


def test_a_later_call_streams_as_soon_as_the_first_is_complete():
    parser = DIALECT.provider.stream_parser(traits(), None)
    out: list[Any] = []
    for delta in (
        call_delta(0, id="c1", name="f", arguments='{"a":1}'),
        call_delta(1, id="c2", name="g", arguments='{"b"'),
    ):
        out += parser.feed(Frame("", json.dumps(chunk(delta)).encode()))
    assert kinds(out) == ["Start", "BlockStart", "Delta", "BlockEnd", "BlockStart", "Delta"]


def test_calls_without_ids_get_stable_ones():
    stream = [call_delta(0, name="f", arguments="{}"), call_delta(1, name="g", arguments="{}")]
    tool_calls = calls(*map(chunk, stream))
    assert [call_id for call_id, _, _ in tool_calls] == ["call_chatcmpl-9_0", "call_chatcmpl-9_1"]


def test_a_call_without_arguments_means_an_empty_object():
    assert calls(chunk(call_delta(id="c", name="f"))) == [("c", "f", {})]


def test_arguments_that_never_become_json_are_preserved_raw():
    assert calls(chunk(call_delta(id="c", name="f", arguments='{"a": '))) == [("c", "f", '{"a": ')]


def test_the_older_function_call_is_a_call():
    stream = [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":1}'}},
    ]
    assert calls(*map(chunk, stream)) == [("call_chatcmpl-9_0", "f", {"a": 1})]


def test_text_between_calls_follows_them():
    stream = [
        {"content": "a"},
        call_delta(id="c", name="f", arguments='{"a":'),
        {"content": "b"},
        call_delta(arguments="1}"),
    ]
    parts = parse_chunks(*map(chunk, stream), chunk(finish="tool_calls")).parts
    assert [type(part).__name__ for part in parts] == ["Text", "ToolCall", "Text"]
    assert parts[1].arguments == {"a": 1}  # type: ignore[union-attr]


def test_tool_names_are_restored_for_the_client():
    rendered_request = RenderedRequest(body={}, client_names={"a_b": "a.b"})
    call = chunk(call_delta(id="c", name="a_b", arguments="{}"))
    assert calls(call, rendered_request=rendered_request) == [("c", "a.b", {})]


def test_a_free_text_tool_sent_as_a_function_returns_its_text():
    rendered_request = RenderedRequest(body={}, custom_tools=frozenset({"sh"}))
    stream = [
        call_delta(id="c", name="sh", arguments='{"inp'),
        call_delta(arguments='ut":"ls -l"}'),
    ]
    parts = parse_chunks(
        *map(chunk, stream), chunk(finish="tool_calls"), rendered_request=rendered_request
    ).parts
    assert parts == (ToolCall(id="c", name="sh", raw_arguments="ls -l", custom=True),)


def test_a_custom_call_streams_its_text():
    first = {
        "tool_calls": [
            {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}}
        ]
    }
    more = {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]}
    parts = parse_chunks(chunk(first), chunk(more), chunk(finish="tool_calls")).parts
    assert parts == (ToolCall(id="c", name="sh", raw_arguments="ls", custom=True),)


def test_geminis_signature_on_a_call_is_parsed():
    slot = {"extra_content": {"google": {"thought_signature": "S"}}}
    response = parse_chunks(
        chunk(call_delta(id="c", name="f", arguments="{}", **slot)), chunk(finish="stop")
    )
    state = Signature(provider="acme", model="acme-1", kind="thought_signature", value="S")
    assert response.parts[0].signature == state  # type: ignore[union-attr]


# --- sources and media ---------------------------------------------------------------

SOURCE = {
    "type": "url_citation",
    "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 2},
}


@pytest.mark.parametrize(
    "stream",
    [
        (TEXT, chunk({"annotations": [SOURCE]}), STOP),
        (chunk({"content": "hi", "annotations": [SOURCE]}), STOP),
        (chunk({"annotations": [SOURCE]}), TEXT, STOP),
    ],
    ids=["after the text", "with the text", "before the text"],
)
def test_sources_belong_to_the_text(stream: tuple[Any, ...]):
    citation = parse_chunks(*stream).parts[0].citations[0]  # type: ignore[union-attr]
    assert (citation.url, citation.title, citation.start, citation.end) == ("https://x", "X", 0, 2)


@pytest.mark.parametrize(
    "annotations", [[None], [{}], [{"url_citation": {"url": 1}}], [1]], ids=str
)
def test_invalid_citations_are_dropped(annotations: Any):
    assert parse_chunks(TEXT, chunk({"annotations": annotations}), STOP).parts == (Text(text="hi"),)


def test_streamed_audio_is_joined():
    response = parse_chunks(
        chunk({"audio": {"id": "a", "data": "QU"}}),
        chunk({"audio": {"data": "FB", "transcript": "A"}}),
        chunk({"audio": {"expires_at": 5}}),
        STOP,
    )
    data = {"type": "audio", "id": "a", "data": "QUFB", "transcript": "A", "expires_at": 5}
    assert response.parts == (Native(dialect="openai_chat", data=data),)


def test_images_are_preserved_for_clients_of_the_same_dialect():
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    data = {"type": "images", "images": images}
    assert parse_chunks(chunk({"images": images}), STOP).parts == (
        Native(dialect="openai_chat", data=data),
    )


# --- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"error": {"message": "busy", "code": "server_is_overloaded"}}, "overloaded", "busy"),
        ({"error": "went wrong"}, "upstream_error", "went wrong"),
        (
            chunk(
                finish="error",
                error={
                    "code": 429,
                    "message": "slow",
                    "metadata": {"error_type": "rate_limit_exceeded"},
                },
            ),
            "rate_limit",
            "slow",
        ),
        (chunk(x_groq={"error": "tool call failed"}), "upstream_error", "tool call failed"),
        ({"object": "error", "message": "bad", "code": 400}, "invalid_request", "bad"),
        ({"detail": [{"loc": ["body"], "msg": "wrong"}]}, "upstream_error", "wrong"),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "o"}},
            "overloaded",
            "o",
        ),
        ([{"error": {"code": 503, "message": "g", "status": "UNAVAILABLE"}}], "overloaded", "g"),
    ],
    ids=["openai", "string", "openrouter", "groq", "vllm", "mistral", "anthropic", "google"],
)
def test_an_error_inside_a_stream_ends_it(data: Any, kind: str, message: str):
    last = events(TEXT, data)[-1]
    assert isinstance(last, Failed)
    assert (last.error.kind, last.error.message) == (kind, message)


@pytest.mark.parametrize(
    "data",
    [
        "<html><body>502</body></html>",
        '{"choices": [',
        "not json",
        "[]",
        "5",
        '"text"',
        '{"choices": {}}',
        '{"choices": [5]}',
        '{"choices": [{"delta": "x"}]}',
        '{"choices": [{"delta": []}]}',
        "[" * 50_000,
    ],
    ids=[
        "html",
        "cut",
        "words",
        "a list",
        "a number",
        "a string",
        "choices as an object",
        "a number as a choice",
        "a string as a delta",
        "a list as a delta",
        "very deep",
    ],
)
def test_an_invalid_chunk_fails_the_stream(data: str):
    last = events(TEXT, data)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind == "upstream_error"


def test_invalid_utf8_ends_the_stream_as_failed():
    parser = DIALECT.provider.stream_parser(traits(), None)
    data = b'{"choices":[{"delta":{"content":"\xff"}}]}'
    assert kinds(parser.feed(Frame("", data))) == ["Failed"]


def test_a_frame_named_error_fails_the_stream():
    parser = DIALECT.provider.stream_parser(traits(), None)
    out = parser.feed(Frame("error", b'{"message":"no","type":"overloaded_error"}'))
    assert isinstance(out[0], Failed)
    assert out[0].error.kind == "overloaded"


# --- whole responses -------------------------------------------------------------------


def chat_completion(message: Any, finish: Any = "stop", **fields: Any) -> Any:
    """Return a chat completion."""
    choice = {"index": 0, "message": message, "finish_reason": finish, **fields.pop("choice", {})}
    return {"id": "chatcmpl-9", "created": 5, "model": "up", "choices": [choice], **fields}


def read(body: Any, **flags: Any) -> Any:
    """Return the canonical response of a body."""
    return DIALECT.provider.parse_response(body, traits(**flags), None)


def test_a_complete_response_is_read_like_a_stream():
    message = {
        "role": "assistant",
        "content": "hi",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        ],
    }
    response = read(chat_completion(message, "tool_calls", usage=USAGE, service_tier="flex"))
    assert response.parts == (
        Reasoning(text="hm", signature=PLAIN),
        Text(text="hi"),
        ToolCall(id="c1", name="f", arguments={"a": 1}),
        ToolCall(id="c2", name="g", arguments={}),
    )
    assert response.finish == Finish(reason="tool")
    assert (response.id, response.model, response.created) == ("chatcmpl-9", "up", 5)
    assert response.service_tier == "flex"
    assert response.usage == Usage(input=5, output=2, native=USAGE)


def test_log_probabilities_are_stored_when_present():
    token = {"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    response = read(chat_completion({"content": "x"}, choice={"logprobs": {"content": [token]}}))
    assert token_logprobs(response) == [token]
    assert read(chat_completion({"content": "x"}, choice={"logprobs": {"content": []}})).extra == {}


def test_an_empty_response_is_valid():
    assert read(chat_completion({"content": None})).parts == ()


def test_a_missing_finish_reason_is_a_stop():
    assert read(chat_completion({"content": "x"}, None)).finish.reason == "stop"


@pytest.mark.parametrize(
    "body",
    [
        None,
        5,
        "x",
        [],
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "x"}]},
        {"choices": "x"},
        {"error": {"message": "no"}},
        {"error": "no"},
        {"message": "no"},
        {"detail": "Not Found"},
    ],
    ids=str,
)
def test_an_invalid_response_is_an_error(body: Any):
    with pytest.raises(GatewayError) as error:
        read(body)
    assert error.value.error.kind == "upstream_error"


def test_state_between_calls_follows_them():
    encrypted = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "E"}]}
    parts = parse_chunks(
        chunk(call_delta(id="c", name="f", arguments='{"a":')),
        chunk(encrypted),
        chunk({**call_delta(arguments="1}"), **encrypted}),
        chunk(finish="tool_calls"),
    ).parts
    assert [type(part).__name__ for part in parts] == ["ToolCall", "Reasoning"]
    assert parts[0].arguments == {"a": 1}  # type: ignore[union-attr]
