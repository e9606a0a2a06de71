"""Converse clients: round trips, hostile bodies, and fields without an equivalent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, End, Start, UsageUpdate
from gateway.canon.request import (
    CacheBreakpoint,
    Output,
    ReasoningConfig,
    Request,
    Text,
    without_paths,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.bedrock_converse import DIALECT
from gateway.dialects.bedrock_converse.context import MODEL_FIELDS
from gateway.framing.eventstream import Decoder
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.dialects.anthropic_messages.test_sdk import requests
from tests.dialects.bedrock_converse.fuzz import blocks
from tests.dialects.bedrock_converse.make import render
from tests.fakes.bedrock_rules import CLAUDE, NOVA

CONTEXT = ResponseContext(id="1", created=1, model="gw")


def parse_request(**body: Any) -> Request:
    params = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], **body}
    return DIALECT.client.parse_request({**params, "model": "gw", "stream": False}, {})


def content(*blocks: Any) -> Request:
    return parse_request(messages=[{"role": "user", "content": list(blocks)}])


@settings(max_examples=150)
@given(st.lists(blocks, max_size=3))
def test_any_content_is_read_or_refused_by_name(blocks: list[Any]) -> None:
    try:
        content(*blocks)
    except GatewayError as refused:
        assert (refused.error.param or "").startswith("messages[0].content")


@settings(max_examples=100)
@given(requests())
def test_a_request_is_the_same_after_render_parse_and_render(request: Request) -> None:
    """Rendered, parsed and rendered again, a request is the same."""
    traits = traits_for("bedrock", CLAUDE)
    try:
        rendered_body = DIALECT.provider.render_request(request, traits).body
    except GatewayError:
        return
    wire = json.loads(json.dumps(rendered_body))
    round_trip = DIALECT.client.parse_request({**wire, "model": "gw", "stream": False}, {})
    body = DIALECT.provider.render_request(round_trip, traits).body
    third = DIALECT.client.parse_request({**body, "model": "gw", "stream": False}, {})
    assert without_paths(third) == without_paths(round_trip)


def test_a_cache_point_marks_the_part_before_it() -> None:
    request = content({"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}})
    (part,) = request.turns[0].parts
    assert part == Text(text="a", cache=CacheBreakpoint(ttl="1h"), path="messages[0].content[0]")
    first = content({"cachePoint": {"type": "default"}}, {"text": "a"})
    assert list(first.extra["bedrock_converse"]) == ["messages[0].content[0]"]


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            ReasoningConfig(mode="budget", budget=2048),
        ),
        ({"thinking": {"type": "adaptive"}}, ReasoningConfig(mode="auto")),
        ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="off")),
        (
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
            ReasoningConfig(effort="low"),
        ),
        ({"reasoningConfig": {"type": "disabled"}}, ReasoningConfig(mode="off")),
        ({"reasoning_effort": "high"}, ReasoningConfig(effort="high")),
        (
            {"output_config": {"effort": "high"}},
            ReasoningConfig(effort="high", effort_covers_output=True),
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            ReasoningConfig(mode="auto", effort="low", effort_covers_output=True),
        ),
    ],
)
def test_the_reasoning_of_each_model_family_is_read(
    fields: Any, reasoning: ReasoningConfig
) -> None:
    assert parse_request(additionalModelRequestFields=fields).reasoning == reasoning


def test_the_schema_in_claudes_own_field_is_read() -> None:
    """Vercel's AI SDK sends structured output to Claude models on Bedrock in this way."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    output_config = {"format": {"type": "json_schema", "schema": schema}, "task_budget": 9}
    request = parse_request(**{MODEL_FIELDS: {"output_config": output_config}})
    assert request.output == Output(format="schema", schema=schema)
    path = f"{MODEL_FIELDS}.output_config"
    assert request.client_path("schema") == f"{path}.format.schema"
    assert request.extra["bedrock_converse"] == {path: {"task_budget": 9}}


@pytest.mark.parametrize(
    ("output_config", "param"),
    [
        ({"effort": "much"}, "output_config.effort"),
        ({"format": {"type": "json_object"}}, "output_config.format.type"),
        ({"format": {"type": "json_schema"}}, "output_config.format.schema"),
    ],
)
def test_a_mistake_in_claudes_own_field_is_named(output_config: Any, param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        parse_request(**{MODEL_FIELDS: {"output_config": output_config}})
    assert refused.value.error.param == f"{MODEL_FIELDS}.{param}"


def test_novas_own_settings_are_read_and_written_again() -> None:
    fields = {"inferenceConfig": {"topK": 5, "other": 1}}
    request = parse_request(additionalModelRequestFields=fields)
    assert request.sampling.top_k == 5
    assert request.client_path("top_k") == "additionalModelRequestFields.inferenceConfig.topK"
    assert render(request, NOVA).body["additionalModelRequestFields"] == fields


def test_the_top_k_of_vercels_ai_sdk_is_read() -> None:
    """`@ai-sdk/amazon-bedrock` sends it in `inferenceConfig`, where Converse has no such field."""
    request = parse_request(inferenceConfig={"topK": 5, "maxTokens": 9})
    assert request.sampling.top_k == 5
    assert request.client_path("top_k") == "inferenceConfig.topK"
    assert request.extra == {}


def test_the_top_k_in_the_models_own_fields_counts() -> None:
    fields = {"top_k": 4}
    request = parse_request(inferenceConfig={"topK": 5}, additionalModelRequestFields=fields)
    assert request.sampling.top_k == 4
    assert request.client_path("top_k") == "additionalModelRequestFields.top_k"


@pytest.mark.parametrize("beta", ["a\r\nx-api-key: b", "a b", "a\n", ""])
def test_a_beta_that_cannot_be_in_a_header_is_refused(beta: str) -> None:
    """It would fail at each target that expects betas in a header, and count as its failure."""
    with pytest.raises(GatewayError) as refused:
        parse_request(**{MODEL_FIELDS: {"anthropic_beta": ["context-1m-2025-08-07", beta]}})
    assert refused.value.error.kind == "invalid_request"
    assert refused.value.error.param == f"{MODEL_FIELDS}.anthropic_beta"


def test_fields_without_equivalent_are_stored_by_path() -> None:
    request = parse_request(
        guardrailConfig={"guardrailIdentifier": "g"},
        additionalModelRequestFields={"inferenceConfig": {"other": 1}},
        inferenceConfig={"somethingNew": 1},
    )
    assert set(request.extra["bedrock_converse"]) == {
        "guardrailConfig",
        "additionalModelRequestFields.inferenceConfig",
        "inferenceConfig.somethingNew",
    }


@pytest.mark.parametrize(
    ("finish", "stop_reason"),
    [
        (Finish(reason="length"), "max_tokens"),
        (Finish(reason="context"), "model_context_window_exceeded"),
        (Finish(reason="filter"), "content_filtered"),
        (Finish(reason="filter", category="guardrail_intervened"), "guardrail_intervened"),
        (Finish(reason="stop_sequence"), "stop_sequence"),
    ],
)
def test_each_end_has_its_stop_reason(finish: Finish, stop_reason: str) -> None:
    body, report = DIALECT.client.render_response(Response(finish=finish), CONTEXT)
    assert body["stopReason"] == stop_reason
    assert not report


def test_the_user_in_the_request_metadata_is_the_end_user() -> None:
    request = parse_request(requestMetadata={"user": "ada", "team": "search"})
    assert (request.meta.user_id, request.meta.metadata) == ("ada", {"team": "search"})
    assert parse_request(requestMetadata={"user": "ada"}).meta.metadata is None


def test_cached_tokens_count_in_the_total_only() -> None:
    usage = Usage(input=3, cache_read=5, cache_write=2, cache_write_1h=1, output=4)
    body, _ = DIALECT.client.render_response(Response(usage=usage), CONTEXT)
    assert body["usage"] == {
        "inputTokens": 3,
        "outputTokens": 4,
        "totalTokens": 14,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 2,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 1}, {"ttl": "1h", "inputTokens": 1}],
    }


def test_the_service_tier_in_the_usage_is_in_the_last_event() -> None:
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    usage = UsageUpdate(Usage(input=3, output=4), service_tier="flex")
    data = b"".join(renderer.feed(event) for event in (Start(), usage, End(Finish(reason="stop"))))
    assert b'"serviceTier":{"type":"flex"}' in data


@pytest.mark.parametrize("pieces", [(), ("{}",), ("null",)])
def test_a_streamed_call_without_arguments_has_an_empty_object(pieces: tuple[str, ...]) -> None:
    """Clients join the fragments of a call; AWS's own examples lose a call without fragments."""
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    call = [BlockStart(kind="tool_call", id="c", name="f"), *map(Delta, pieces), BlockEnd()]
    data = b"".join(map(renderer.feed, [Start(), *call, End(Finish(reason="tool"))]))
    frames = [json.loads(frame.data) for frame in Decoder().feed(data)]
    inputs = [frame["delta"]["toolUse"]["input"] for frame in frames if "delta" in frame]
    assert inputs == ["{}"]


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [(['{"a": 1}', "}"], '{"a": 1}'), (['{"a"', ': 1}{"a": 1}'], '{"a": 1}'), (["{x}"], "{x}")],
)
def test_streamed_arguments_that_are_no_object_are_reported(pieces: list[str], sent: str) -> None:
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    call = [BlockStart(kind="tool_call", id="c", name="f"), *map(Delta, pieces), BlockEnd()]
    data = b"".join(map(renderer.feed, [Start(), *call, End(Finish(reason="tool"))]))
    frames = [json.loads(frame.data) for frame in Decoder().feed(data)]
    inputs = [frame["delta"]["toolUse"]["input"] for frame in frames if "delta" in frame]
    assert "".join(inputs) == sent
    assert [item.path for item in renderer.report] == ["content.toolUse.input"]


@pytest.mark.parametrize("target", ["cohere", "anthropic", "openai_chat"])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"outputConfig": {"effort": "high"}}, "outputConfig.effort"),
        ({MODEL_FIELDS: {"reasoning_effort": "high"}}, f"{MODEL_FIELDS}.reasoning_effort"),
        (
            {MODEL_FIELDS: {"output_config": {"effort": "high"}}},
            f"{MODEL_FIELDS}.output_config.effort",
        ),
        (
            {MODEL_FIELDS: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
            f"{MODEL_FIELDS}.reasoningConfig.maxReasoningEffort",
        ),
        (
            {MODEL_FIELDS: {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
            f"{MODEL_FIELDS}.thinking",
        ),
    ],
)
def test_dropped_reasoning_is_reported_by_the_field_that_requests_it(
    target: str, fields: Any, path: str
) -> None:
    """None of the models has reasoning, or the required tokens."""
    models = {"anthropic": "claude-haiku-4-5", "openai_chat": "gpt-4.1", "cohere": "command-r"}
    body = {"model": "gw", "messages": [{"role": "user", "content": [{"text": "hi"}]}], **fields}
    body["inferenceConfig"] = {"maxTokens": 99}
    translation = translate.request("bedrock_converse", target, body, {}, models[target])
    assert [(row["field"], row["action"]) for row in translation["report"]] == [(path, "dropped")]
