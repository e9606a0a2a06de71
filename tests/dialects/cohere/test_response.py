"""Responses and errors of Cohere, including unusual ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.events import Failed
from gateway.canon.logprobs import token_logprobs
from gateway.canon.request import Native, Text, ToolCall
from gateway.canon.response import Usage
from gateway.dialects.base import RenderedRequest
from gateway.dialects.cohere import DIALECT
from tests.dialects.cohere.make import events, parse_response, response_from, traits

START = {"type": "message-start", "id": "m1", "delta": {"message": {"role": "assistant"}}}
HELLO = {
    "type": "content-delta",
    "index": 0,
    "delta": {"message": {"content": {"text": "Hello"}}},
}
CITED = {
    "type": "citation-start",
    "delta": {
        "message": {
            "citations": {
                "start": 0,
                "end": 5,
                "text": "Hello",
                "sources": [
                    {"type": "document", "id": "doc_0", "document": {"title": "A"}},
                    {"type": "tool", "id": "t:0", "tool_output": {"url": "https://x"}},
                ],
            }
        }
    },
}


UNKNOWN_CONTENT = {"type": "audio", "audio": {"data": "AAAA"}}


@pytest.mark.parametrize("is_stream", [False, True])
def test_content_of_another_type_is_kept_for_the_report(is_stream: bool) -> None:
    """Its deltas have no type, and are none of the text."""
    if is_stream:
        start = {"message": {"content": UNKNOWN_CONTENT}}
        more = {"message": {"content": {"audio": {"data": "BBBB"}}}}
        response = response_from(
            START,
            HELLO,
            {"type": "content-start", "index": 1, "delta": start},
            {"type": "content-delta", "index": 1, "delta": more},
            {"type": "content-end", "index": 1},
            end(),
        )
    else:
        content = [{"type": "text", "text": "Hello"}, UNKNOWN_CONTENT]
        message = {"role": "assistant", "content": content}
        response = parse_response({"id": "1", "message": message, "finish_reason": "COMPLETE"})
    assert response.parts == (
        Text(text="Hello"),
        Native(dialect="cohere", data=UNKNOWN_CONTENT),
    )


def end(reason: str = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **fields}}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"text": "Hi", "token_ids": [1], "logprobs": [-0.5]}], ["Hi"]),
        # Which of the words were of which token nobody can tell.
        ([{"text": "Hi you", "token_ids": [1, 2], "logprobs": [-0.5, -1]}], []),
        ("odd", []),
    ],
    ids=["one each", "several in one", "odd"],
)
def test_log_probabilities_are_parsed(rows: Any, text: list[str]) -> None:
    body = {"id": "m1", "finish_reason": "COMPLETE", "logprobs": rows}
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    response = DIALECT.provider.parse_response({**body, "message": message}, traits(), None)
    assert [token["token"] for token in token_logprobs(response)] == text


def test_late_citations_are_passed_on() -> None:
    response = response_from(START, HELLO, {"type": "content-end", "index": 0}, CITED, end())
    (text,) = response.parts
    assert isinstance(text, Text)
    assert [(c.title, c.url, c.start, c.end) for c in text.citations] == [
        ("A", None, 0, 5),
        ("t:0", "https://x", 0, 5),
    ]


def test_model_tokens_are_counted_instead_of_billed_units() -> None:
    usage = {
        "billed_units": {"input_tokens": 5.0, "output_tokens": 6.0},
        "tokens": {"input_tokens": 50.0, "output_tokens": 9.0},
        "cached_tokens": 20.0,
    }
    token_usage = response_from(START, HELLO, end(usage=usage)).usage
    assert token_usage is not None
    assert (token_usage.input, token_usage.cache_read, token_usage.output) == (30, 20, 9)
    token_usage = response_from(
        START, HELLO, end(usage={"billed_units": {"input_tokens": 5}})
    ).usage
    assert token_usage == Usage(input=5, native={"billed_units": {"input_tokens": 5}})
    assert response_from(START, HELLO, end()).usage is None


def test_a_stream_without_its_end_event_is_a_failure() -> None:
    assert isinstance(events(START, HELLO)[-1], Failed)
    assert isinstance(events()[-1], Failed)


@pytest.mark.parametrize(("reason", "kind"), [("ERROR", "upstream_error"), ("TIMEOUT", "timeout")])
def test_a_response_with_finish_reason_error_is_an_error(reason: str, kind: str) -> None:
    last = events(START, HELLO, end(reason, error="it broke"))[-1]
    assert isinstance(last, Failed)
    assert (last.error.kind, last.error.message) == (kind, "it broke")
    with pytest.raises(GatewayError) as error:
        parse_response({"id": "m", "finish_reason": reason, "message": {"content": []}})
    assert error.value.error.kind == kind


def test_a_tool_plan_and_its_calls_are_parsed() -> None:
    call = {"id": "f0", "type": "function", "function": {"name": "a_b", "arguments": '{"x":1}'}}
    body = {
        "id": "m1",
        "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call]},
    }
    response = parse_response(body, RenderedRequest(body={}, client_names={"a_b": "a.b"}))
    assert response.parts == (
        Text(text="I look."),
        ToolCall(id="f0", name="a.b", arguments={"x": 1}),
    )
    assert response.finish.reason == "tool"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"message": "reason"}, {"message": None}])
def test_an_invalid_response_is_an_upstream_error(body: Any) -> None:
    with pytest.raises(GatewayError) as error:
        DIALECT.provider.parse_response(body, traits(), None)
    assert error.value.error.kind == "upstream_error"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "invalid request: x", "invalid_request"),
        (400, "too many tokens: total number of tokens ...", "context_length"),
        (401, "invalid api token", "upstream_auth"),
        (403, "no", "upstream_auth"),
        (404, "model 'x' not found", "not_found"),
        (422, "unknown field", "invalid_request"),
        (429, "slow down", "rate_limit"),
        (429, "limited to 1000 API calls / month", "quota"),
        (498, "invalid token", "upstream_auth"),
        (499, "closed", "upstream_error"),
        (500, "oops", "upstream_error"),
        (503, "busy", "overloaded"),
        (504, "slow", "timeout"),
    ],
)
def test_an_error_is_classified_by_status_and_message(status: int, message: str, kind: str) -> None:
    body = json.dumps({"id": "e1", "message": message}).encode()
    error = DIALECT.provider.parse_error(status, {}, body)
    assert (error.kind, error.message, error.upstream_id) == (kind, message, "e1")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message":5}', b"\xff"])
def test_a_refusal_of_any_form_has_a_message(body: bytes) -> None:
    assert DIALECT.provider.parse_error(502, {}, body).message


def test_calls_that_arrive_interleaved_keep_their_arguments() -> None:
    def call(kind: str, index: int, text: str = "", **fields: str) -> dict[str, Any]:
        function = {"arguments": text, **{k: v for k, v in fields.items() if k == "name"}}
        calls = {**fields, "type": "function", "function": function}
        delta = {"message": {"tool_calls": calls}}
        return {"type": f"tool-call-{kind}", "index": index, "delta": delta}

    interleaved = [
        call("start", 0, id="f_1", name="f"),
        call("start", 1, id="g_1", name="g"),
        call("delta", 1, '{"b":'),
        call("delta", 0, '{"a":1}'),
        call("end", 0),
        call("delta", 1, "2}"),
        call("end", 1),
    ]
    response = response_from(START, HELLO, *interleaved, end("TOOL_CALL"))
    calls = [(p.id, p.arguments) for p in response.parts if isinstance(p, ToolCall)]
    assert calls == [("f_1", {"a": 1}), ("g_1", {"b": 2})]
