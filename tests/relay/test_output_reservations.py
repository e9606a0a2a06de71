"""The output that is reserved for a request: no field of another API lowers it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.relay.exchange.call import Exchange
from gateway.relay.limits.max_rates import estimate_usage
from tests.relay.harness import snapshot

MODEL_MAX = 8192
# Limits of all APIs, each of them low.
OTHERS: dict[str, Any] = {
    "max_completion_tokens": 1,
    "max_output_tokens": 1,
    "max_tokens": 1,
    "options": {"num_predict": 1},
    "inferenceConfig": {"maxTokens": 1},
    "generationConfig": {"maxOutputTokens": 1},
}


def reserved_output(dialect: str, fields: dict[str, Any]) -> int:
    """Return the output that is reserved, at a price of one unit for output and none for input."""
    exchange = Exchange(
        request_id="r",
        endpoint="x",
        verb="generate",
        dialect=DIALECTS[dialect],
        snapshot=snapshot(),
        headers={},
        started=0.0,
    )
    exchange.body = json.dumps(fields).encode()
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    return estimate_usage(exchange, MODEL_MAX, (0, 1)).units


@pytest.mark.parametrize(
    ("dialect", "limit"),
    [
        ("openai_chat", {"max_tokens": 5000}),
        ("openai_chat", {"max_completion_tokens": 5000}),
        ("openai_completions", {"max_tokens": 5000}),
        ("openai_responses", {"max_output_tokens": 5000}),
        ("anthropic_messages", {"max_tokens": 5000}),
        ("cohere", {"max_tokens": 5000}),
        ("ollama", {"options": {"num_predict": 5000}}),
        ("bedrock_converse", {"inferenceConfig": {"maxTokens": 5000}}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 5000}}),
        ("gemini", {"generation_config": {"max_output_tokens": 5000}}),
    ],
)
def test_the_limit_of_the_clients_own_api_is_reserved(dialect: str, limit: dict[str, Any]) -> None:
    assert reserved_output(dialect, limit) == 5000
    assert reserved_output(dialect, {**OTHERS, **limit}) == 5000
    own_fields = {path[0] for path in DIALECTS[dialect].output_limits}
    others = {name: value for name, value in OTHERS.items() if name not in own_fields}
    assert reserved_output(dialect, others) == MODEL_MAX


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"generationConfig": {"candidateCount": 8}}, 8 * MODEL_MAX),
        ({"generation_config": {"candidate_count": 8}}, 8 * MODEL_MAX),
        ({"generationConfig": {"candidateCount": 8, "maxOutputTokens": 10}, "n": 1}, 80),
    ],
)
def test_all_candidates_are_reserved(fields: dict[str, Any], output: int) -> None:
    assert reserved_output("gemini", fields) == output
