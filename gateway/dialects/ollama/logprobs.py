"""Log probabilities: a provider's tokens -> those of `openai_logprobs`, which are much alike."""

from __future__ import annotations

from typing import Any

from gateway.dialects.ollama.names import Json
from gateway.dialects.openai_logprobs import token


def logprobs_in(told: Any) -> list[Json]:
    """The tokens; what the upstream leaves out of one is filled in."""
    return [_token(one) for one in _objects(told)]


def _token(one: Json) -> Json:
    others = [token(o.get("token"), o.get("logprob")) for o in _objects(one.get("top_logprobs"))]
    return token(one.get("token"), one.get("logprob"), others)


def _objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
