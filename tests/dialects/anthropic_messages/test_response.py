"""Whole responses: parsing of provider bodies, rendering for clients."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Citation,
    Image,
    Native,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.signature import recover_reasoning_text, unwrap_signature
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.base import RenderedRequest
from tests.dialects.anthropic_messages.make import reported_fields, response_context, traits

WHOLE = {
    "id": "msg_u",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5, "service_tier": "priority"},
}


def parse_body(rendered_request: RenderedRequest | None = None, **fields: Any) -> Response:
    """Return the canonical response of a body with these fields changed."""
    return DIALECT.provider.parse_response({**WHOLE, **fields}, traits(), rendered_request)


def render_parts(*parts: Any, **fields: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return a client's JSON for a response of these parts, and the report."""
    body, report = DIALECT.client.render_response(
        Response(parts=parts, **fields), response_context()
    )
    return body, reported_fields(report)


def test_a_plain_response_is_read():
    response = parse_body()
    assert (response.id, response.model, response.service_tier) == ("msg_u", "claude", "priority")
    assert (response.parts, response.finish) == ((Text(text="hi"),), Finish(reason="stop"))
    assert response.usage is not None
    assert (response.usage.input, response.usage.output, response.usage.cache_read) == (3, 5, None)


def test_the_split_of_cache_writes_is_read():
    split = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2}
    usage = parse_body(usage={"input_tokens": 1, "output_tokens": 1, "cache_creation": split}).usage
    assert usage is not None
    assert (usage.cache_write, usage.cache_write_1h) == (5, 2)


def test_all_blocks_are_read():
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    response = parse_body(
        content=[
            {"type": "thinking", "thinking": "hm", "signature": "S"},
            {"type": "redacted_thinking", "data": "D"},
            server,
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ],
        stop_reason="tool_use",
    )
    origin = {"provider": "acme", "model": "acme-1"}
    assert response.parts == (
        Reasoning(text="hm", signature=Signature(**origin, value="S")),
        Reasoning(redacted=True, signature=Signature(**origin, kind="redacted", value="D")),
        Native(dialect="anthropic_messages", data=server),
        ToolCall(id="c", name="f", arguments={"a": 1}),
    )
    assert response.finish.reason == "tool"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"input": "*** Begin"}, "*** Begin"),
        ('{"input":"*** Begin"}', "*** Begin"),
        ({"x": 1}, ""),
        ("half", "half"),
        (None, ""),
    ],
    ids=["object", "string", "other field", "no JSON", "null"],
)
def test_a_free_text_tool_gets_its_text_back(value: Any, expected: str):
    rendered_request = RenderedRequest(
        body={}, client_names={"f": "a.b"}, custom_tools=frozenset({"f"})
    )
    block = {"type": "tool_use", "id": "c", "name": "f", "input": value}
    call = ToolCall(id="c", name="a.b", raw_arguments=expected, custom=True)
    assert parse_body(rendered_request, content=[block]).parts == (call,)


def test_tool_input_as_a_string_is_parsed_or_stored_raw():
    block = {"type": "tool_use", "id": "c", "name": "f", "input": '{"a":1}'}
    assert parse_body(content=[block]).parts == (ToolCall(id="c", name="f", arguments={"a": 1}),)
    assert parse_body(content=[{**block, "input": "{half"}]).parts == (
        ToolCall(id="c", name="f", raw_arguments="{half"),
    )


def test_content_that_is_a_string_is_a_text():
    assert parse_body(content="hi").parts == (Text(text="hi"),)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (None, "upstream_error"),
        ([], "upstream_error"),
        ("text", "upstream_error"),
        ({}, "upstream_error"),
        ({"content": 5}, "upstream_error"),
        ({"content": ["x"]}, "upstream_error"),
        ({"choices": [{"message": {"content": "hi"}}]}, "upstream_error"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "overloaded"),
        ({"error": "no"}, "upstream_error"),
    ],
    ids=str,
)
def test_an_invalid_response_is_an_error(body: Any, kind: str):
    with pytest.raises(GatewayError) as error:
        DIALECT.provider.parse_response(body, traits(), None)
    assert error.value.error.kind == kind


# --- a client's ------------------------------------------------------------------------


def test_a_response_is_rendered_completely():
    usage = Usage(input=6, cache_read=4, cache_write=2, output=8, reasoning=6)
    body, report = render_parts(Text(text="hi"), usage=usage, service_tier="default")
    assert body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "gw-x",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 2,
            "output_tokens": 8,
            "output_tokens_details": {"thinking_tokens": 6},
            "service_tier": "standard",
        },
    }
    assert report == []


def test_reasoning_has_a_state_token_and_can_be_hidden():
    state = Signature(provider="p", model="m", kind="text", value="v")
    part = Reasoning(text="hm", signature=state)
    body, _ = render_parts(part)
    (block,) = body["content"]
    assert (block["thinking"], unwrap_signature(block["signature"])) == ("hm", state)
    hidden, _ = DIALECT.client.render_response(
        Response(parts=(part,)), response_context(reasoning_display="none")
    )
    assert hidden["content"][0]["thinking"] == ""
    signature = unwrap_signature(hidden["content"][0]["signature"])
    # The words travel unseen: their maker wants them back as they were.
    assert signature is not None
    assert recover_reasoning_text("", signature) == ("hm", state)


def test_arguments_that_are_no_object_are_shown_raw():
    body, report = render_parts(
        ToolCall(id="c", name="f", raw_arguments="{half"), finish=Finish(reason="tool")
    )
    assert body["content"][0]["input"] == {"_raw": "{half"}
    assert report == [("content[0]", "approximated")]


def test_a_free_text_call_is_shown_as_one_string():
    body, report = render_parts(ToolCall(id="c", name="f", raw_arguments="x", custom=True))
    assert body["content"][0]["input"] == {"input": "x"}
    assert report == []


def test_a_refusal_is_text_and_the_reason():
    body, _ = render_parts(Refusal(text="no"))
    assert body["content"] == [{"type": "text", "text": "no"}]
    assert body["stop_reason"] == "refusal"


def test_a_content_filters_message_is_a_detail_of_the_refusal():
    body, _ = render_parts(finish=Finish(reason="filter", explanation="hate"))
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "hate"}


def test_another_providers_filter_name_is_no_category():
    body, _ = render_parts(finish=Finish(reason="filter", category="SAFETY"))
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "SAFETY"}


@pytest.mark.parametrize(
    ("part", "reported"),
    [
        (Native(dialect="gemini", data={"type": "video"}), ("content[0]", "dropped")),
        (Image(url="https://x"), ("content[0]", "dropped")),
    ],
)
def test_a_part_without_a_block_is_reported(part: Any, reported: tuple[str, str]):
    body, report = render_parts(part)
    assert (body["content"], report) == ([], [reported])


def test_sources_are_shown_as_a_web_search_where_they_have_a_url():
    cited = (Citation(url="https://x", title="t", quote="q"), Citation(title="no url"))
    body, report = render_parts(Text(text="a", citations=cited))
    (citation,) = body["content"][0]["citations"]
    assert (citation["type"], citation["url"]) == ("web_search_result_location", "https://x")
    assert report == [("content[0].citations", "dropped")]


def test_an_unparsable_response_is_an_error():
    with pytest.raises(GatewayError) as error:
        render_parts(finish=Finish(reason="malformed"))
    assert error.value.error.kind == "malformed_output"


def test_a_calls_state_is_reported():
    call = ToolCall(id="c", name="f", arguments={}, signature=Signature(value="S"))
    assert render_parts(call)[1] == [("content[0].signature", "dropped")]


def test_a_token_count_round_trips():
    assert DIALECT.client.render_count(42) == {"input_tokens": 42}
    assert DIALECT.provider.parse_count({"input_tokens": 42}) == 42


@pytest.mark.parametrize("body", [None, {}, {"input_tokens": "42"}, {"input_tokens": -1}, []])
def test_an_invalid_token_count_is_an_error(body: Any):
    with pytest.raises(GatewayError):
        DIALECT.provider.parse_count(body)


def test_request_paths_are_those_of_the_messages_api():
    path = DIALECT.provider.path
    assert path("m", stream=True, verb="generate") == "/v1/messages"
    assert path("m", stream=False, verb="count_tokens") == "/v1/messages/count_tokens"
