"""Token counts of every provider, parsed and rendered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.response import Usage
from gateway.dialects.openai_chat.response import parse_usage, render_usage


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
    token_usage = parse_usage(render_usage(usage))
    assert token_usage is not None
    assert replace(token_usage, native={}) == usage


def test_unknown_usage_is_not_rendered():
    assert render_usage(None) is None
    assert render_usage(Usage()) is None
    assert render_usage(Usage(reasoning=5)) is None
