"""Usage and cost of passthrough calls."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.providers.unit_prices import UnitPrice, unit_price_for
from gateway.relay.exchange.passthrough import (
    PassthroughUsage,
    parse_passthrough_usage,
    passthrough_cost,
)


def usd(preset: str, model: str, family: str, **response: Any) -> Decimal | None:
    usage = parse_passthrough_usage(family, json.dumps(response).encode())
    if usage is None:
        return None
    return passthrough_cost(usage, price_for(preset, model), unit_price_for(preset, model))[0]


@pytest.mark.parametrize(
    ("model", "family", "response", "millionths"),
    [
        pytest.param(
            "gpt-image-1.5",
            "images/edits",
            {
                "usage": {
                    "input_tokens": 50,
                    "output_tokens": 100,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                }
            },
            10 * 5 + 40 * 8 + 100 * 32,
            id="pictures in and out",
        ),
        pytest.param(
            "gpt-4o-transcribe",
            "audio/transcriptions",
            {
                "usage": {
                    "type": "tokens",
                    "input_tokens": 14,
                    "output_tokens": 4,
                    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                }
            },
            4 * 2.5 + 10 * 6 + 4 * 10,
            id="sound",
        ),
        pytest.param(
            "whisper-1",
            "audio/transcriptions",
            {"usage": {"type": "duration", "seconds": 3600}},
            360_000,
            id="an hour",
        ),
        pytest.param(
            "whisper-1",
            "audio/transcriptions",
            {"text": "a", "duration": 10.5},
            1050,
            id="told beside the words",
        ),
    ],
)
def test_reported_token_counts_are_billed(
    model: str, family: str, response: dict[str, Any], millionths: float
) -> None:
    assert usd("openai", model, family, **response) == Decimal(str(millionths)) / 1_000_000


@pytest.mark.parametrize(
    ("preset", "model", "family", "response"),
    [
        ("openai", "dall-e-3", "images/generations", {"data": []}),
        ("openai", "whisper-1", "audio/transcriptions", {"text": "no count"}),
        ("cohere", "rerank-v3.5", "rerank", {"meta": {"billed_units": {"search_units": 1}}}),
        ("openai", "no-such", "images/edits", {"usage": {"input_tokens": 1, "output_tokens": 1}}),
        ("openai", "gpt-image-1", "images/edits", {"usage": {"input_tokens": 1}}),
        ("openai", "omni-moderation-latest", "moderations", {"results": []}),
    ],
)
def test_missing_counts_or_prices_are_unknown(
    preset: str, model: str, family: str, response: dict[str, Any]
) -> None:
    assert usd(preset, model, family, **response) is None


def test_the_cost_in_the_response_takes_precedence() -> None:
    body = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost": 0.25}}
    assert usd("openrouter", "x", "images/generations", **body) == Decimal("0.25")


def test_cached_tokens_are_not_billed_twice() -> None:
    price = Price(input=Decimal(10), output=Decimal(0), cache_read=Decimal(1))
    details = {"cached_tokens": 4}
    body = {"usage": {"input_tokens": 10, "output_tokens": 0, "input_tokens_details": details}}
    usage = parse_passthrough_usage("rerank", json.dumps(body).encode())
    assert usage is not None
    assert passthrough_cost(usage, price, UnitPrice())[0] == Decimal(6 * 10 + 4) / 1_000_000


def test_characters_are_billed_where_there_is_a_price() -> None:
    usage_of_speech = PassthroughUsage(characters=1000)
    assert passthrough_cost(usage_of_speech, Price(), unit_price_for("openai", "tts-1"))[
        0
    ] == Decimal("0.015")
    assert passthrough_cost(usage_of_speech, Price(), UnitPrice()) == (None, "")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"usage": 3}', b'{"usage": {}}'])
def test_a_response_of_another_shape_counts_nothing(data: bytes) -> None:
    usage = parse_passthrough_usage("images/edits", data)
    assert usage is None or passthrough_cost(usage, Price(), UnitPrice()) == (None, "")
