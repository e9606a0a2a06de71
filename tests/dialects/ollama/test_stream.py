"""Streams and whole responses: parsing and rendering."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, End, Failed, Start
from gateway.canon.fold import unfold_response
from gateway.canon.logprobs import token_logprobs
from gateway.canon.request import Citation, Native, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import RenderedRequest
from gateway.dialects.ollama import DIALECT
from tests.dialects.ollama.make import (
    assistant_calls,
    body,
    events,
    last_line,
    line,
    parse_lines,
    render,
    rendered_lines,
    reported_fields,
    request_body,
    response_context,
    result,
    traits,
)


def stream_error(*lines: Any) -> Error:
    """Return the error that a stream of these lines ends with."""
    end = events(*lines)[-1]
    assert isinstance(end, Failed)
    return end.error


def test_fragments_are_joined_into_blocks() -> None:
    response = parse_lines(
        line({"thinking": "h"}),
        line({"thinking": "m"}),
        line({"content": "He"}),
        line({"content": "llo"}),
        last_line(prompt_eval_count=26, eval_count=9, total_duration=5, load_duration=1),
    )
    thought, text = response.parts
    assert thought == Reasoning(
        text="hm", signature=Signature(provider="acme", model="acme-1", kind="text")
    )
    assert text == Text(text="Hello")
    assert response.usage is not None
    assert (response.usage.input, response.usage.output) == (26, 9)
    assert response.usage.native["total_duration"] == 5
    assert response.finish == Finish(reason="stop")


def test_a_cached_prompt_has_no_token_count() -> None:
    usage = parse_lines(line({"content": "x"}), last_line(eval_count=9)).usage
    assert usage is not None
    assert (usage.input, usage.output) == (None, 9)
    assert parse_lines(line({"content": "x"}), last_line()).usage is None


def test_generated_call_ids_are_unique_in_a_conversation() -> None:
    calls = assistant_calls(("f", {"a": 1}), ("f", {}))
    stream = (line(calls), last_line())
    first = parse_lines(*stream)
    assert [part.id for part in first.parts] == ["call_g1_0", "call_g1_1"]  # type: ignore[union-attr]
    assert first.finish == Finish(reason="tool")
    rendered_request = render(
        request_body({"role": "user", "content": "x"}, calls, result(), result())
    )
    later = parse_lines(*stream, rendered_request=rendered_request)
    assert [part.id for part in later.parts] == ["call_g2_0", "call_g2_1"]  # type: ignore[union-attr]


def test_an_upstream_call_id_is_preserved() -> None:
    call = {"id": "c7", "function": {"name": "f", "arguments": {}}}
    assert parse_lines(line({"tool_calls": [call]}), last_line()).parts[0].id == "c7"  # type: ignore[union-attr]


def test_a_free_text_tool_gets_its_text_back() -> None:
    rendered_request = RenderedRequest(body={}, custom_tools=frozenset({"p"}))
    response = parse_lines(
        line(assistant_calls(("p", {"input": "x y"}))),
        last_line(),
        rendered_request=rendered_request,
    )
    assert response.parts == (ToolCall(id="call_g1_0", name="p", raw_arguments="x y", custom=True),)


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("new", "stop")]
)
def test_the_done_reason_is_parsed(reason: str, finish: str) -> None:
    assert parse_lines(line({"content": "x"}), last_line(reason)).finish.reason == finish


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_load_response_is_not_a_response(reason: str) -> None:
    assert parse_lines(last_line(reason)).finish.reason == "malformed"


def test_an_interrupted_or_invalid_line_is_an_error() -> None:
    assert "stream ended before" in stream_error(line({"content": "x"})).message
    assert stream_error("").kind == "upstream_error"
    assert stream_error("nonsense").kind == "upstream_error"
    assert stream_error("[1]").kind == "upstream_error"
    assert stream_error(line({"content": "x"}), {"error": "server busy"}).kind == "overloaded"


@pytest.mark.parametrize("function", [{"arguments": {}}, {"name": "", "arguments": {}}])
def test_a_call_without_a_name_is_an_error(function: dict[str, Any]) -> None:
    error = stream_error(line({"tool_calls": [{"function": function}]}), last_line())
    assert (error.kind, "name" in error.message) == ("upstream_error", True)


def test_lines_after_the_last_one_are_ignored() -> None:
    assert parse_lines(line({"content": "x"}), last_line(), line({"content": "y"})).parts == (
        Text(text="x"),
    )


def test_a_complete_response_is_read() -> None:
    response_body = last_line(
        "length", message={"role": "assistant", "content": "Hi", "thinking": "hm"}
    )
    response = DIALECT.provider.parse_response(response_body, traits(), None)
    assert [type(part).__name__ for part in response.parts] == ["Reasoning", "Text"]
    assert response.finish.reason == "length"


def test_log_probabilities_are_parsed_and_rendered() -> None:
    asked_for = [{"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -2}]}]
    response_body = last_line(message={"role": "assistant", "content": "é"}, logprobs=asked_for)
    response = DIALECT.provider.parse_response(response_body, traits(), None)
    other = {"token": "e", "logprob": -2, "bytes": [101]}
    tokens = [{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [other]}]
    assert token_logprobs(response) == tokens
    round_trip, _ = DIALECT.client.render_response(response, response_context())
    assert round_trip["logprobs"] == tokens


def test_the_response_to_a_prompt_is_read() -> None:
    response_body = {"model": "m", "response": "Hi", "done": True, "done_reason": "stop"}
    assert DIALECT.provider.parse_response(response_body, traits(), None).parts == (
        Text(text="Hi"),
    )


@pytest.mark.parametrize("value", [None, [], {}, {"done": True}, {"message": 5}, {"error": "x"}])
def test_an_invalid_response_is_an_error(value: Any) -> None:
    with pytest.raises(GatewayError):
        DIALECT.provider.parse_response(value, traits(), None)


FULL = Response(
    parts=(
        Reasoning(text="hm"),
        Text(text="Hello"),
        ToolCall(id="c1", name="f", arguments={"a": 1}),
        ToolCall(id="c2", name="g", arguments={}),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=20, cache_read=6, output=9),
)


def test_a_stream_is_printed_line_by_line() -> None:
    first, second, third, fourth, end = rendered_lines(unfold_response(FULL))
    assert first == {
        "model": "up",
        "created_at": "2023-11-14T22:13:20Z",
        "message": {"role": "assistant", "content": "", "thinking": "hm"},
        "done": False,
    }
    assert second["message"] == {"role": "assistant", "content": "Hello"}
    function = {"index": 0, "name": "f", "arguments": {"a": 1}}
    assert third["message"]["tool_calls"] == [{"id": "c1", "function": function}]
    assert fourth["message"]["tool_calls"][0]["function"]["arguments"] == {}
    assert end["done"] is True
    assert end["done_reason"] == "stop"
    assert (end["prompt_eval_count"], end["eval_count"]) == (26, 9)
    assert end["message"] == {"role": "assistant", "content": ""}


def test_hidden_reasoning_is_not_rendered() -> None:
    assert all(
        "thinking" not in row["message"]
        for row in rendered_lines(unfold_response(FULL), reasoning_display="none")
    )
    rendered_response, _ = DIALECT.client.render_response(
        FULL, response_context(reasoning_display="none")
    )
    assert "thinking" not in rendered_response["message"]


def test_a_generate_response_has_its_own_shape() -> None:
    plain = Response(parts=(Reasoning(text="hm"), Text(text="Hi")))
    rows = rendered_lines(unfold_response(plain), endpoint="/api/generate")
    assert [row.get("response") for row in rows] == ["", "Hi", ""]
    assert rows[0]["thinking"] == "hm"
    rendered_response, _ = DIALECT.client.render_response(
        plain, response_context(endpoint="/api/generate")
    )
    assert (
        rendered_response["response"],
        rendered_response["thinking"],
        rendered_response["done"],
    ) == ("Hi", "hm", True)
    assert "message" not in rendered_response


def test_durations_round_trip_and_are_absent_if_none_was_measured() -> None:
    usage = parse_lines(line({"content": "x"}), last_line(eval_count=9, eval_duration=77)).usage
    rendered_response, _ = DIALECT.client.render_response(Response(usage=usage), response_context())
    assert rendered_response["eval_duration"] == 77
    other, _ = DIALECT.client.render_response(Response(usage=Usage(output=1)), response_context())
    assert "eval_duration" not in other


def test_the_total_duration_of_other_providers_is_measured() -> None:
    # Strands Agents divides by it: a response without it is a TypeError there.
    def elapsed_ms() -> int:
        return 250

    reply = Response(parts=(Text(text="x"),), usage=Usage(output=1))
    for response in (reply, Response(parts=reply.parts)):
        whole, _ = DIALECT.client.render_response(response, response_context(elapsed_ms=elapsed_ms))
        last = rendered_lines(unfold_response(response), elapsed_ms=elapsed_ms)[-1]
        assert whole["total_duration"] == last["total_duration"] == 250_000_000
    own = Response(usage=Usage(output=1, native={"total_duration": 5}))
    whole, _ = DIALECT.client.render_response(own, response_context(elapsed_ms=elapsed_ms))
    assert whole["total_duration"] == 5


def test_the_duration_of_the_output_of_other_providers_is_measured() -> None:
    """Scripts divide `eval_count` by it for the tokens per second, as Ollama's API page says."""
    times = iter([100, 250])
    response = Response(parts=(Text(text="x"), Text(text="y")), usage=Usage(output=3))
    last = rendered_lines(unfold_response(response), elapsed_ms=lambda: next(times))[-1]
    assert last["prompt_eval_duration"] == 100_000_000
    assert last["eval_duration"] == 150_000_000
    # A whole response does not tell when its output began.
    whole, _ = DIALECT.client.render_response(response, response_context(elapsed_ms=lambda: 250))
    assert (whole["eval_duration"], "prompt_eval_duration" in whole) == (250_000_000, False)
    own = Response(usage=Usage(output=3, native={"eval_duration": 7}))
    whole, _ = DIALECT.client.render_response(own, response_context(elapsed_ms=lambda: 250))
    assert whole["eval_duration"] == 7


def test_absent_usage_is_not_rendered() -> None:
    rendered_response, _ = DIALECT.client.render_response(
        Response(parts=(Text(text="x"),)), response_context()
    )
    assert not {"eval_count", "prompt_eval_count"} & rendered_response.keys()


@pytest.mark.parametrize(
    ("finish", "reason", "report"),
    [
        (Finish(reason="length"), "length", []),
        (Finish(reason="context"), "length", []),
        (Finish(reason="stop_sequence", stop_sequence="x"), "stop", []),
        (Finish(reason="tool"), "stop", []),
        (Finish(reason="filter"), "stop", [("done_reason", "approximated")]),
        (Finish(reason="pause"), "stop", [("done_reason", "approximated")]),
    ],
)
def test_the_done_reason_is_rendered(finish: Finish, reason: str, report: list[Any]) -> None:
    rendered_response, losses = DIALECT.client.render_response(
        Response(parts=(Text(text="x"),), finish=finish), response_context()
    )
    assert rendered_response["done_reason"] == reason
    assert reported_fields(losses) == report


def test_unsupported_content_is_reported() -> None:
    cited = Response(
        parts=(
            Text(text="x", citations=(Citation(url="https://x"),)),
            Native(dialect="d", data={"type": "search"}),
            ToolCall(id="c", name="f", raw_arguments="{cut"),
        )
    )
    rendered_response, losses = DIALECT.client.render_response(cited, response_context())
    assert rendered_response["message"]["tool_calls"][0]["function"]["arguments"] == {
        "_raw": "{cut"
    }
    expected = {
        ("citations", "dropped"),
        ("content.search", "dropped"),
        ("message.tool_calls[0]", "approximated"),
    }
    assert set(reported_fields(losses)) == expected
    renderer = DIALECT.client.stream_renderer(response_context())
    for event in unfold_response(cited):
        renderer.feed(event)
    assert set(reported_fields(renderer.report)) == expected


def test_a_refusal_is_rendered_as_text() -> None:
    finish = Finish(reason="filter", explanation="not allowed")
    rendered_response, _ = DIALECT.client.render_response(
        Response(finish=finish), response_context()
    )
    assert rendered_response["message"]["content"] == "not allowed"
    rows = rendered_lines([Start(), End(finish)])
    assert rows[0]["message"]["content"] == "not allowed"
    no = Response(parts=(Refusal(text="I can't"),), finish=Finish(reason="refusal"))
    assert rendered_lines(unfold_response(no))[0]["message"]["content"] == "I can't"


def test_an_error_is_the_last_line() -> None:
    rows = rendered_lines(
        [
            Start(),
            BlockStart(kind="text"),
            Delta("x"),
            Failed(Error(kind="overloaded", message="busy")),
            BlockEnd(),
        ]
    )
    assert rows[-1] == {"error": "busy"}
    assert len(rows) == 2
    garbled = Finish(reason="malformed", explanation="odd")
    assert rendered_lines([Start(), End(garbled)]) == [{"error": "odd"}]
    with pytest.raises(GatewayError):
        DIALECT.client.render_response(Response(finish=garbled), response_context())


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "model does not support thinking", "unsupported_param"),
        (400, "input length exceeds maximum context length", "context_length"),
        (400, "bad", "invalid_request"),
        (401, "unauthorized", "upstream_auth"),
        (404, "model 'x' not found", "not_found"),
        (429, "slow", "rate_limit"),
        (500, "boom", "upstream_error"),
        (502, "boom", "upstream_error"),
        (503, "server busy", "overloaded"),
    ],
)
def test_a_refusal_of_the_upstream_has_a_kind(status: int, text: str, kind: str) -> None:
    error = DIALECT.provider.parse_error(status, {}, json.dumps({"error": text}).encode())
    assert (error.kind, error.message) == (kind, text)


def test_a_refusal_in_another_shape_is_read_too() -> None:
    nested = DIALECT.provider.parse_error(400, {}, b'{"error":{"message":"no","code":"c"}}')
    assert (nested.message, nested.code) == ("no", "c")
    assert "HTML" in DIALECT.provider.parse_error(502, {}, b"<html>").message
    assert DIALECT.provider.parse_error(500, {"retry-after": "3"}, b"").retry_after_s == 3


def test_an_error_is_rendered_with_its_status() -> None:
    reply = DIALECT.client.render_error(
        Error(kind="rate_limit", message="slow", retry_after_s=7), "req_1"
    )
    assert (reply.status, reply.body) == (429, {"error": "slow"})
    assert reply.headers == {"x-request-id": "req_1", "retry-after": "7"}
    assert DIALECT.client.render_error(Error(kind="upstream_auth", message="x"), "r").status == 502


def test_an_invalid_response_body_is_refused() -> None:
    for good in (body(), {"model": "m", "prompt": "x"}, {"model": "m", "input": ["x"]}):
        DIALECT.check_passthrough(json.dumps(good).encode())
    for bad in (body(messages=5), {"prompt": 5}, {"input": [5]}, body(options=5)):
        with pytest.raises(GatewayError):
            DIALECT.check_passthrough(json.dumps(bad).encode())
