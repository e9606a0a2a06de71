"""Responses and errors of Bedrock, including unusual ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.events import End, Failed, UsageUpdate
from gateway.canon.request import Native, Text, ToolCall
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.bedrock_converse.make import (
    events,
    message,
    parse_response,
    response_from,
    traits,
)

START = ("messageStart", {"role": "assistant"})
HELLO = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}})
STOP = ("messageStop", {"stopReason": "end_turn"})
USAGE = ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4}})


def test_the_final_event_waits_for_the_usage() -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    for name, data in (START, HELLO, STOP):
        streamed_events = parser.feed(Frame(name, json.dumps(data).encode()))
        assert not any(isinstance(event, End) for event in streamed_events)
    streamed_events = parser.feed(Frame(USAGE[0], json.dumps(USAGE[1]).encode()))
    assert [type(event) for event in streamed_events] == [UsageUpdate, End]


def test_a_stream_is_complete_without_counts_but_not_without_a_reason() -> None:
    assert isinstance(events(START, HELLO, STOP)[-1], End)
    assert isinstance(events(START, HELLO)[-1], Failed)
    assert isinstance(events()[-1], Failed)


@pytest.mark.parametrize(
    ("tier", "expected"), [({"type": "flex"}, "flex"), (None, None), ("flex", None)]
)
def test_the_service_tier_of_a_response_is_read(tier: Any, expected: str | None) -> None:
    """The tier determines the price and may differ from the requested one."""
    usage = {"inputTokens": 3, "outputTokens": 4}
    assert parse_response(message(usage=usage, serviceTier=tier)).service_tier == expected
    streamed = events(START, HELLO, STOP, ("metadata", {**USAGE[1], "serviceTier": tier}))
    [update] = [event for event in streamed if isinstance(event, UsageUpdate)]
    assert update.service_tier == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", "rate_limit"),
        ("modelStreamErrorException", "upstream_error"),
        ("internalServerException", "upstream_error"),
        ("serviceUnavailableException", "overloaded"),
        ("validationException", "invalid_request"),
    ],
)
def test_an_exception_in_the_stream_ends_it(name: str, kind: str) -> None:
    last = events(START, HELLO, (name, {"message": "reason"}))[-1]
    assert isinstance(last, Failed)
    assert (last.error.kind, last.error.message) == (kind, "reason")


def test_an_event_wrapped_under_its_name_is_parsed() -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    wrapped_events = [{name: data} for name, data in (START, HELLO, STOP, USAGE)]
    streamed_events = [
        event
        for item in wrapped_events
        for event in parser.feed(Frame("", json.dumps(item).encode()))
    ]
    assert isinstance(streamed_events[-1], End)


def test_tool_names_are_restored_for_the_client() -> None:
    rendered_request = RenderedRequest(
        body={}, client_names={"a_b": "a.b"}, custom_tools=frozenset({"free"})
    )
    call = {"toolUseId": "c", "name": "a_b", "input": {"x": 1}}
    free = {"toolUseId": "d", "name": "free", "input": {"input": "words"}}
    response = parse_response(
        message({"toolUse": call}, {"toolUse": free}, stop="tool_use"), rendered_request
    )
    assert response.parts == (
        ToolCall(id="c", name="a.b", arguments={"x": 1}),
        ToolCall(id="d", name="free", raw_arguments="words", custom=True),
    )


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("tool_use", "stop"),
        ("max_tokens", "length"),
        ("guardrail_intervened", "filter"),
        ("content_filtered", "filter"),
        ("malformed_tool_use", "malformed"),
        ("model_context_window_exceeded", "context"),
        ("something_new", "stop"),
    ],
)
def test_the_finish_reason_is_parsed(stop: str, reason: str) -> None:
    assert parse_response(message({"text": "x"}, stop=stop)).finish.reason == reason
    response = response_from(START, HELLO, ("messageStop", {"stopReason": stop}), USAGE)
    assert response.finish.reason == reason


def test_an_unknown_block_becomes_a_native_part() -> None:
    response = parse_response(message({"text": "a"}, {"image": {"format": "png"}}))
    assert response.parts == (
        Text(text="a"),
        Native(dialect="bedrock_converse", data={"image": {"format": "png"}}),
    )


def test_a_call_of_a_server_tool_is_no_call_for_the_client() -> None:
    start = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}}
    response = response_from(
        START,
        ("contentBlockStart", {"contentBlockIndex": 0, "start": start}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "found"}}),
        STOP,
        USAGE,
    )
    assert isinstance(response.parts[0], Native)
    assert response.finish.reason == "stop"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"output": {}}, {"output": {"message": 1}}])
def test_an_invalid_response_is_an_upstream_error(body: Any) -> None:
    with pytest.raises(GatewayError) as error:
        DIALECT.provider.parse_response(body, traits(), None)
    assert error.value.error.kind == "upstream_error"


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (400, "ValidationException", "Input is too long for requested model.", "context_length"),
        (400, "ValidationException", "too many input tokens", "context_length"),
        (400, "ValidationException", "The provided model identifier is invalid.", "not_found"),
        (400, "ValidationException", "whatever", "invalid_request"),
        (400, "ServiceQuotaExceededException", "quota", "quota"),
        (403, "AccessDeniedException", "no access", "upstream_auth"),
        (403, "InvalidSignatureException", "expired", "upstream_auth"),
        (404, "ResourceNotFoundException", "gone", "not_found"),
        (408, "ModelTimeoutException", "slow", "timeout"),
        (424, "ModelErrorException", "it broke", "upstream_error"),
        (429, "ThrottlingException", "Too many requests", "rate_limit"),
        (429, "ThrottlingException", "Too many tokens per day", "rate_limit"),
        (429, "ModelNotReadyException", "warming up", "rate_limit"),
        (500, "InternalServerException", "oops", "upstream_error"),
        (503, "ServiceUnavailableException", "busy", "overloaded"),
    ],
)
def test_a_refusal_is_known_by_its_name(status: int, name: str, message: str, kind: str) -> None:
    headers = {"x-amzn-errortype": f"{name}:http://internal/", "x-amzn-requestid": "r1"}
    body = json.dumps({"message": message}).encode()
    error = DIALECT.provider.parse_error(status, headers, body)
    assert (error.kind, error.message, error.upstream_id) == (kind, message, "r1")
    data = json.dumps({"__type": f"com.amazon.coral#{name}", "Message": message}).encode()
    assert DIALECT.provider.parse_error(status, {}, data).kind == kind


@pytest.mark.parametrize(
    ("behind", "kind"),
    [(429, "rate_limit"), (503, "overloaded"), (400, "upstream_error"), ([], "upstream_error")],
)
def test_a_models_own_failure_is_known_by_its_status(behind: Any, kind: str) -> None:
    error_body = {"message": "it broke", "originalStatusCode": behind}
    headers = {"x-amzn-errortype": "ModelErrorException"}
    assert DIALECT.provider.parse_error(424, headers, json.dumps(error_body).encode()).kind == kind
    [failure] = events(("modelStreamErrorException", error_body))
    assert isinstance(failure, Failed)
    assert failure.error.kind == kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message":5}', b"\xff"])
def test_a_refusal_of_any_form_has_a_message(body: bytes) -> None:
    assert DIALECT.provider.parse_error(502, {}, body).message


def test_a_token_count_is_parsed_and_any_other_body_refused() -> None:
    assert DIALECT.provider.parse_count({"inputTokens": 7}) == 7
    for usage_value in (None, {}, {"inputTokens": "7"}, {"inputTokens": -1}):
        with pytest.raises(GatewayError):
            DIALECT.provider.parse_count(usage_value)


def test_calls_that_arrive_interleaved_keep_their_arguments() -> None:
    def start(index: int, name: str) -> tuple[str, dict[str, Any]]:
        call = {"toolUseId": f"t{index}", "name": name}
        return "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": call}}

    def input_of(index: int, text: str) -> tuple[str, dict[str, Any]]:
        delta = {"toolUse": {"input": text}}
        return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}

    def end(index: int) -> tuple[str, dict[str, Any]]:
        return "contentBlockStop", {"contentBlockIndex": index}

    interleaved = [
        *(start(1, "f"), start(2, "g"), input_of(2, '{"b":'), input_of(1, '{"a":'), start(3, "h")),
        *(end(3), input_of(1, "1}"), end(1), input_of(2, "2}"), end(2)),
        ("contentBlockDelta", {"contentBlockIndex": 4, "delta": {"text": "Done"}}),
    ]
    response = response_from(
        START, HELLO, *interleaved, ("messageStop", {"stopReason": "tool_use"})
    )
    calls = [(p.name, p.arguments) for p in response.parts if isinstance(p, ToolCall)]
    assert calls == [("f", {"a": 1}), ("g", {"b": 2}), ("h", {})]
    assert [type(part) for part in response.parts[:1]] == [Text]
    assert response.parts[-1] == Text(text="Done")
    # Without the ends of blocks, all is known at the end of the message.
    endless = [event for event in interleaved if event[0] != "contentBlockStop"]
    assert response_from(START, HELLO, *endless, STOP).parts == response.parts
