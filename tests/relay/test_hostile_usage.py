"""Absurd usage from an upstream affects neither the response nor its log row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.relay.exchange.usage import MAX_TOKENS
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse

CHAT = "/v1/chat/completions"
ABSURD: list[Any] = [2**63, 2**70, 1e300, -5, -(2**70), "7", None, [1], {"a": 1}, True, 0.5]


def usage(value: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": value,
        "completion_tokens": value,
        "total_tokens": value,
        "cost": value,
        "prompt_tokens_details": {"cached_tokens": value, "x": value},
        "completion_tokens_details": value,
    }


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_absurd_usage_is_answered_and_logged(
    tmp_path: Path, dialect: str, stream: bool
) -> None:
    """For passthrough and for translation to Anthropic clients."""
    responses = iter(ABSURD)

    def respond(_: Any) -> Any:
        token_usage = usage(next(responses))
        if stream:
            return sse(chunk("hello"), chunk(finish="stop", usage=token_usage), DONE)
        return completion("hello", usage=token_usage)

    path = CHAT if dialect == "openai_chat" else "/v1/messages"
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=respond) as live:
        for value in ABSURD:
            response = await live.post(path, {**body, "stream": stream})
            assert response.status == 200, value
            assert b"hello" in response.body, value
        rows = await live.rows(len(ABSURD))
    for row, value in zip(rows, ABSURD, strict=True):
        counts = (row.input_tokens, row.output_tokens, row.cache_read_tokens)
        assert all(count is None or 0 <= count <= MAX_TOKENS for count in counts), value
        assert row.cost_usd is None or row.cost_usd.is_finite(), value


async def test_a_number_beyond_64_bits_in_a_request_is_logged(tmp_path: Path) -> None:
    """The row contains the fields that translation omits."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    hostile = {**body, "modalities": [2**64], "seed": 3, "metadata": {"a": 2**70}, "x": 2**90}
    mistral = provider("a", preset="mistral")
    async with gateway(tmp_path, snapshot(route("m", mistral)), a=lambda _: completion()) as live:
        for path in (CHAT, "/v1/messages"):
            assert (await live.post(path, {**hostile, "max_tokens": 5})).status == 200
        assert len(await live.rows(2)) == 2
