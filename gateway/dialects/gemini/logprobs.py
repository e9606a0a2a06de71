"""Log probabilities: a candidate's `logprobsResult` <-> the tokens of `openai_logprobs`."""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.names import Json
from gateway.dialects.openai_logprobs import token


def logprobs_in(told: Any) -> list[Json]:
    """The tokens of an answer, each with the likeliest in its place."""
    result = told if isinstance(told, dict) else {}
    places = [_objects(place.get("candidates")) for place in _objects(result.get("topCandidates"))]
    chosen = _objects(result.get("chosenCandidates"))
    places += [[]] * (len(chosen) - len(places))
    return [_token(one, others) for one, others in zip(chosen, places, strict=False)]


def _token(one: Json, others: list[Json]) -> Json:
    alike = [_token(other, []) for other in others]
    return token(one.get("token"), one.get("logProbability"), alike)


def _objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def logprobs_out(tokens: list[Json]) -> Json:
    """The `logprobsResult` for a client."""
    tops = [{"candidates": [_shown(other) for other in t.get("top_logprobs", [])]} for t in tokens]
    chosen: Json = {"chosenCandidates": [_shown(one) for one in tokens]}
    return {**chosen, "topCandidates": tops} if any(t["candidates"] for t in tops) else chosen


def _shown(one: Json) -> Json:
    return {"token": one.get("token"), "logProbability": one.get("logprob")}
