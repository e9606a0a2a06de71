"""Token counts of every provider, parsed and rendered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types import CompletionUsage

from gateway.canon.response import Usage
from gateway.dialects.anthropic_messages.response import parse_usage as parse_message_usage
from gateway.dialects.openai_chat.response import parse_usage
from gateway.dialects.openai_completions.response import parse_usage as parse_completion_usage
from gateway.dialects.openai_embeddings.response import parse_embed
from gateway.dialects.openai_responses.response import parse_usage as parse_response_usage
from gateway.dialects.shared.openai_response import render_completion_usage


def embedding_usage(usage: dict[str, Any]) -> Usage | None:
    return parse_embed({"data": [{"embedding": [1.0]}], "usage": usage}).usage


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
            Usage(input=10, output=3),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(input=5, cache_read=4, cache_write=1, output=3, reasoning=2),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 8,
                "prompt_cache_hit_tokens": 4,
                "prompt_cache_miss_tokens": 6,
            },
            Usage(input=6, cache_read=4, output=8),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 4},
            Usage(input=6, cache_read=4, output=1),
        ),
        ({"total_tokens": 9, "completion_tokens": 2}, Usage(input=7, output=2)),
        ({"prompt_tokens": 3}, Usage(input=3)),
        ({"prompt_tokens": 3.0, "completion_tokens": 2.0}, Usage(input=3, output=2)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}},
            Usage(input=0, cache_read=5),
        ),
        ({"prompt_tokens": -3, "completion_tokens": 1}, Usage(input=0, output=1)),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0.01},
            Usage(input=3, output=1, provider_cost=0.01),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 1,
                "cost": 0.5,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 10.25},
            },
            Usage(input=3, output=1, provider_cost=10.75),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 1,
                "cost": 0.5,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": 0.5},
            },
            Usage(input=3, output=1, provider_cost=0.5),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 1,
                "cost": {"currency": "USD", "request_cost": 0.005, "total_cost": 0.006},
            },
            Usage(input=3, output=1, provider_cost=0.006),
        ),
        (
            {
                "prompt_tokens": 10120,
                "completion_tokens": 1499,
                "total_tokens": 14428,
                "prompt_tokens_details": {"cached_tokens": 128},
                "completion_tokens_details": {"reasoning_tokens": 2809},
            },
            Usage(input=9992, cache_read=128, output=4308, reasoning=2809),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "cost_in_usd_ticks": 232856000},
            Usage(input=3, output=1, provider_cost=0.0232856),
        ),
        (
            {"completion_tokens": 102, "prompt_tokens": 758, "total_tokens": 1725},
            Usage(input=758, output=967, reasoning=865),
        ),
        (
            {
                "prompt_tokens": 4,
                "completion_tokens": 635,
                "total_tokens": 3264,
                "prompt_audio_seconds": 203,
            },
            Usage(input=4, output=635),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 7},
            },
            Usage(input=3, cache_read=7, output=3),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": None},
            Usage(input=3, output=1),
        ),
        (
            {"prompt_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}},
            Usage(input=0, cache_read=0),
        ),
    ],
    ids=[
        "plain",
        "openai",
        "deepseek",
        "moonshot",
        "a total",
        "half",
        "floats",
        "more cached than sent",
        "negative",
        "openrouter's cost",
        "openrouter's fee for an own key",
        "openrouter's cost that repeats the upstream's",
        "perplexity's cost",
        "xai's reasoning",
        "xai's cost",
        "gemini's thoughts",
        "mistral's audio",
        "a total that counts the cached prompt again",
        "null details",
        "zeros",
    ],
)
def test_token_counts_are_parsed(wire: dict[str, Any], expected: Usage):
    assert parse_usage(wire) == replace(expected, native=wire)


@pytest.mark.parametrize(
    "wire", [None, {}, [], "x", {"prompt_tokens": "3"}, {"prompt_tokens": True}], ids=str
)
def test_empty_usage_is_unknown(wire: Any):
    assert parse_usage(wire) is None


count = st.integers(0, 10**6)
usages = st.builds(
    Usage,
    input=count,
    cache_read=st.none() | count,
    cache_write=st.none() | count,
    output=count,
    reasoning=st.none() | count,
)


@given(usages)
def test_a_rendered_request_round_trips(usage: Usage):
    token_usage = parse_usage(render_completion_usage(usage))
    assert token_usage is not None
    assert replace(token_usage, native={}) == usage


@pytest.mark.parametrize(
    ("parse", "wire"),
    [
        (parse_response_usage, {"input_tokens": 3, "output_tokens": 1}),
        (parse_message_usage, {"input_tokens": 3, "output_tokens": 1}),
        (parse_completion_usage, {"prompt_tokens": 3, "completion_tokens": 1}),
        (embedding_usage, {"prompt_tokens": 3, "total_tokens": 3}),
    ],
)
def test_the_provider_reports_its_cost_in_every_api(parse: Any, wire: dict[str, Any]):
    assert parse(wire).provider_cost is None
    assert parse({**wire, "cost": 0.25}).provider_cost == 0.25


def test_reasoning_beside_the_output_of_the_responses_api_is_output():
    wire = {"input_tokens": 32, "output_tokens": 9, "total_tokens": 151}
    details = {"output_tokens_details": {"reasoning_tokens": 110}}
    assert parse_response_usage(wire | details).output == 119
    assert parse_response_usage(wire | details | {"total_tokens": 41}).output == 9


@pytest.mark.parametrize(
    "cost", [-1, "1", None, True, [], {"total_cost": "x"}, float("nan"), 2**80]
)
def test_a_cost_that_is_no_amount_is_unknown(cost: Any):
    usage = parse_usage({"prompt_tokens": 3, "completion_tokens": 1, "cost": cost})
    assert usage is not None and usage.provider_cost is None


def test_a_cost_in_another_currency_is_unknown():
    cost = {"currency": "EUR", "total_cost": 1.0}
    usage = parse_usage({"prompt_tokens": 3, "completion_tokens": 1, "cost": cost})
    assert usage is not None and usage.provider_cost is None


def test_unknown_usage_is_not_rendered():
    assert render_completion_usage(None) is None
    assert render_completion_usage(Usage()) is None
    assert render_completion_usage(Usage(reasoning=5)) is None


@pytest.mark.parametrize("parse", [parse_usage, parse_completion_usage])
def test_counts_of_audio_images_and_predictions_reach_the_client(parse: Any):
    prompt = {"cached_tokens": 4, "audio_tokens": 5, "image_tokens": 7, "text_tokens": 8}
    output = {
        "reasoning_tokens": 2,
        "audio_tokens": 3,
        "text_tokens": 1,
        "accepted_prediction_tokens": 1,
        "rejected_prediction_tokens": 6,
    }
    wire = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": output,
    }
    usage = render_completion_usage(parse(wire))
    assert usage == wire
    CompletionUsage.model_validate(usage, strict=True)


def test_details_that_are_no_counts_are_omitted():
    wire = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    details = {"prompt_tokens_details": {"audio_tokens": None}, "completion_tokens_details": []}
    assert render_completion_usage(parse_usage(wire | details)) == wire
