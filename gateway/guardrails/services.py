"""Builds requests to guardrail services, and parses their responses into verdicts.

moderation  POST /moderations of OpenAI and Mistral
presidio    POST /analyze of Presidio's analyzer (microsoft.github.io/presidio/api-docs)
litellm     POST /beta/litellm_basic_guardrail_api
            (docs.litellm.ai/docs/adding_provider/generic_guardrail_api, 2026-10)
portkey     POST to a webhook (portkey.ai/docs/integrations/guardrails/bring-your-own-guardrails)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.guardrails.guardrail import (
    LiteLLMSettings,
    ModerationSettings,
    PortkeySettings,
    PresidioSettings,
    Stage,
)
from gateway.guardrails.patterns import PatternMatch, mask_matches

LITELLM_PATH = "/beta/litellm_basic_guardrail_api"
_SEPARATOR = "\n\n"
_MAX_REASON_CHARS = 300
Json = dict[str, Any]


class GuardrailVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check.

    Attributes:
        findings: number of findings by name; empty if there are none.
        blocked: whether a service demands to block; a guardrail of the action `block` blocks for
            any finding.
        texts: the rewritten texts, one for each text that was checked; None if unchanged.
        document: the rewritten body, for a webhook that returns one.
        reason: the service's explanation. It may quote the checked text.
    """

    findings: dict[str, int] = {}
    blocked: bool = False
    texts: list[str] | None = None
    document: Json | None = None
    reason: str = ""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Data about a request that is sent to guardrail services with its texts."""

    request_id: str
    model: str
    key_name: str = ""
    key_id: int = 0
    team: str = ""
    end_user: str = ""
    stream: bool = False
    endpoint: str = ""


class InvalidVerdict(Exception):
    """The response of a service is not in its documented format."""


# --- moderation -------------------------------------------------------------------------


def moderation_request(settings: ModerationSettings, texts: Sequence[str]) -> Json:
    """The body of a moderation request."""
    return {"model": settings.model, "input": list(texts)}


def moderation_verdict(settings: ModerationSettings, reply: Any) -> GuardrailVerdict:
    """The verdict of a moderation response. Raises InvalidVerdict."""
    results = reply.get("results") if isinstance(reply, dict) else None
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise InvalidVerdict("the response has no `results`")
    category_counts: Counter[str] = Counter()
    for result in results:
        category_counts.update(_flagged_categories(settings, result))
    return GuardrailVerdict(findings=dict(category_counts))


def _flagged_categories(settings: ModerationSettings, result: Json) -> list[str]:
    categories, scores = result.get("categories") or {}, result.get("category_scores") or {}
    if settings.threshold is not None:
        names = [
            name
            for name, score in scores.items()
            if isinstance(score, int | float) and score >= settings.threshold
        ]
    else:
        names = [name for name, is_flagged in categories.items() if is_flagged is True]
        if result.get("flagged") is True and not names and not settings.categories:
            names = ["flagged"]
    return [name for name in names if not settings.categories or name in settings.categories]


# --- Presidio ---------------------------------------------------------------------------


def presidio_text(texts: Sequence[str]) -> str:
    """The text for the analyzer: all texts joined."""
    return _SEPARATOR.join(texts)


def presidio_request(settings: PresidioSettings, texts: Sequence[str]) -> Json:
    """The body of a request to the analyzer's service."""
    body: Json = {
        "text": presidio_text(texts),
        "language": settings.language,
        "score_threshold": settings.min_score,
    }
    if settings.entities:
        body["entities"] = list(settings.entities)
    return body


def presidio_verdict(
    settings: PresidioSettings, texts: Sequence[str], reply: Any, *, mask: bool
) -> GuardrailVerdict:
    """The verdict of an analyzer's response. Raises InvalidVerdict."""
    if not isinstance(reply, list):
        raise InvalidVerdict("the response is not a list of entities")
    matches: list[PatternMatch] = []
    for entity in reply:
        try:
            start, end, name = int(entity["start"]), int(entity["end"]), str(entity["entity_type"])
            score = float(entity.get("score", 1.0))
        except (KeyError, TypeError, ValueError):
            raise InvalidVerdict("an entity has no start, end or entity_type") from None
        if score >= settings.min_score and end > start:
            matches.append(PatternMatch(start, end, name))
    counts = Counter(match.name for match in matches)
    masked_texts = _mask_joined(texts, matches) if mask and matches else None
    return GuardrailVerdict(findings=dict(counts), texts=masked_texts)


def _mask_joined(texts: Sequence[str], matches: list[PatternMatch]) -> list[str]:
    """The texts, with matches in their concatenation masked."""
    matches.sort(key=lambda match: (match.start, -match.end))
    masked_texts, offset, index = [], 0, 0
    # Matches that begin before the end of the current text and do not end before its start.
    current: list[PatternMatch] = []
    for text in texts:
        while index < len(matches) and matches[index].start < offset + len(text):
            current.append(matches[index])
            index += 1
        inside: list[PatternMatch] = []
        for match in current:
            start, end = max(match.start - offset, 0), min(match.end - offset, len(text))
            if start < end and (not inside or start >= inside[-1].end):
                inside.append(PatternMatch(start, end, match.name))
        masked_texts.append(mask_matches(text, inside) if inside else text)
        offset += len(text) + len(_SEPARATOR)
        current = [match for match in current if match.end > offset]
    return masked_texts


# --- LiteLLM ----------------------------------------------------------------------------


def litellm_url(url: str) -> str:
    """The URL of the endpoint: LiteLLM appends its path to a base URL."""
    base = url.rstrip("/")
    return base if base.endswith(LITELLM_PATH) else base + LITELLM_PATH


def litellm_request(
    settings: LiteLLMSettings, texts: Sequence[str], stage: Stage, caller: Caller
) -> Json:
    """The body of a request in LiteLLM's format."""
    request_data = {
        "user_api_key_alias": caller.key_name,
        "user_api_key_team_alias": caller.team,
        "user_api_key_end_user_id": caller.end_user,
    }
    return {
        "texts": list(texts),
        "input_type": stage,
        "litellm_call_id": caller.request_id,
        "litellm_trace_id": caller.request_id,
        "model": caller.model,
        "request_data": {name: value for name, value in request_data.items() if value},
        "additional_provider_specific_params": settings.parameters,
    }


def litellm_verdict(texts: Sequence[str], reply: Any) -> GuardrailVerdict:
    """The verdict of a response in LiteLLM's format. Raises InvalidVerdict."""
    action = reply.get("action") if isinstance(reply, dict) else None
    if action == "NONE":
        return GuardrailVerdict()
    if action == "BLOCKED":
        return GuardrailVerdict(
            findings={"blocked": 1}, blocked=True, reason=_block_reason(reply, "blocked_reason")
        )
    if action != "GUARDRAIL_INTERVENED":
        raise InvalidVerdict("its action is not NONE, BLOCKED or GUARDRAIL_INTERVENED")
    rewritten_texts = reply.get("texts")
    if rewritten_texts is None:
        return GuardrailVerdict()
    if (
        not isinstance(rewritten_texts, list)
        or len(rewritten_texts) != len(texts)
        or not all(isinstance(text, str) for text in rewritten_texts)
    ):
        raise InvalidVerdict(f"it must return {len(texts)} texts, one for each text it received")
    return GuardrailVerdict(findings={"rewritten": 1}, texts=rewritten_texts)


# --- Portkey ----------------------------------------------------------------------------


def portkey_request(
    settings: PortkeySettings, texts: Sequence[str], stage: Stage, caller: Caller, document: Any
) -> Json:
    """The body of a request in Portkey's format; `document` is the checked body, or None."""
    text = _SEPARATOR.join(texts)
    is_request = stage == "request"
    return {
        "request": {
            "json": document if is_request else None,
            "text": text if is_request else "",
            "isStreamingRequest": caller.stream,
            "isTransformed": False,
        },
        "response": {
            "json": None if is_request else document,
            "text": "" if is_request else text,
            "statusCode": None if is_request else 200,
            "isTransformed": False,
        },
        "provider": "dragoman",
        "requestType": caller.endpoint,
        "metadata": {**settings.metadata, "request_id": caller.request_id},
        "eventType": "beforeRequestHook" if is_request else "afterRequestHook",
    }


def portkey_verdict(stage: Stage, reply: Any) -> GuardrailVerdict:
    """The verdict of a response in Portkey's format. Raises InvalidVerdict."""
    verdict = reply.get("verdict") if isinstance(reply, dict) else None
    if not isinstance(verdict, bool):
        raise InvalidVerdict("the response has no `verdict` of true or false")
    transformed_data = reply.get("transformedData")
    part = transformed_data.get(stage) if isinstance(transformed_data, dict) else None
    document = part.get("json") if isinstance(part, dict) else None
    if document is not None and not isinstance(document, dict):
        raise InvalidVerdict(f"transformedData.{stage}.json is not an object")
    if not verdict:
        return GuardrailVerdict(
            findings={"verdict false": 1}, blocked=True, reason=_block_reason(reply, "data")
        )
    if document is not None:
        return GuardrailVerdict(findings={"rewritten": 1}, document=document)
    return GuardrailVerdict()


def _block_reason(reply: Json, name: str) -> str:
    value = reply.get(name)
    if isinstance(value, dict):
        value = value.get("reason") or value.get("explanation")
    return value[:_MAX_REASON_CHARS] if isinstance(value, str) else ""
