"""Log probabilities: a candidate's `logprobsResult` <-> the tokens of `openai_logprobs`."""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.names import Json
from gateway.dialects.shared.openai_logprobs import token


def parse_logprobs(logprobs_result: Any) -> list[Json]:
    """The tokens of a response, each with its top alternatives."""
    result_fields = logprobs_result if isinstance(logprobs_result, dict) else {}
    top_candidates = [
        _dict_items(position.get("candidates"))
        for position in _dict_items(result_fields.get("topCandidates"))
    ]
    chosen = _dict_items(result_fields.get("chosenCandidates"))
    top_candidates += [[]] * (len(chosen) - len(top_candidates))
    return [
        _parse_candidate(candidate, alternatives)
        for candidate, alternatives in zip(chosen, top_candidates, strict=False)
    ]


def _parse_candidate(candidate: Json, alternatives: list[Json]) -> Json:
    alternative_tokens = [_parse_candidate(alternative, []) for alternative in alternatives]
    return token(candidate.get("token"), candidate.get("logProbability"), alternative_tokens)


def _dict_items(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def render_logprobs(tokens: list[Json]) -> Json:
    """The `logprobsResult` for a client."""
    top_candidates = [
        {
            "candidates": [
                _render_candidate(alternative)
                for alternative in token_object.get("top_logprobs", [])
            ]
        }
        for token_object in tokens
    ]
    chosen: Json = {
        "chosenCandidates": [_render_candidate(token_object) for token_object in tokens]
    }
    return (
        {**chosen, "topCandidates": top_candidates}
        if any(token_object["candidates"] for token_object in top_candidates)
        else chosen
    )


def _render_candidate(token_object: Json) -> Json:
    return {"token": token_object.get("token"), "logProbability": token_object.get("logprob")}
