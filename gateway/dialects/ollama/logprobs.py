"""Log probabilities: a provider's tokens -> those of `openai_logprobs`, which are much alike."""

from __future__ import annotations

from typing import Any

from gateway.dialects.ollama.names import Json
from gateway.dialects.shared.openai_logprobs import token


def parse_logprobs(tokens: Any) -> list[Json]:
    """The tokens; what the upstream leaves out of one is filled in."""
    return [_parse_token(token_object) for token_object in _dict_items(tokens)]


def _parse_token(token_object: Json) -> Json:
    alternatives = [
        token(alternative.get("token"), alternative.get("logprob"))
        for alternative in _dict_items(token_object.get("top_logprobs"))
    ]
    return token(token_object.get("token"), token_object.get("logprob"), alternatives)


def _dict_items(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
