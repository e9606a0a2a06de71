"""Token counts of a passthrough embedding response."""

from __future__ import annotations

import msgspec
import pytest

from gateway.dialects.ollama import DIALECT


@pytest.mark.parametrize("count", [7, None])
def test_a_passthrough_response_is_not_parsed_in_full(count: int | None) -> None:
    body = {"model": "all-minilm", "embeddings": [[0.5, 1.0]], "prompt_eval_count": count}
    assert DIALECT.embed_provider is not None
    peeked = DIALECT.embed_provider.peek_embed_usage(msgspec.json.encode(body))
    parsed_response = DIALECT.embed_provider.parse_embed(body)
    assert peeked is not None
    assert (peeked.model, peeked.vectors) == ("all-minilm", ())
    assert (
        (peeked.usage and peeked.usage.input)
        == (parsed_response.usage and parsed_response.usage.input)
        == count
    )
