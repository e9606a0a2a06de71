"""A client's generateContent request -> canonical.

The model and whether to stream stand in the path; the relay puts them into the body as
`model` and `stream` before it is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Request, Role, Sampling, Text, Turn
from gateway.dialects.fields import (
    MOST_TOKENS,
    flag,
    items,
    mapping,
    needed_text,
    number,
    strings,
    text,
    whole,
)
from gateway.dialects.gemini.casing import camel
from gateway.dialects.gemini.names import CONFIG, NAME, PATHS, TIERS, Json
from gateway.dialects.gemini.output import output_in
from gateway.dialects.gemini.parts_in import Pending, parts_in
from gateway.dialects.gemini.signatures import gathered
from gateway.dialects.gemini.thinking import thinking_in
from gateway.dialects.gemini.tools import choice_in, tools_in

_KNOWN = frozenset(
    {
        "model",
        "stream",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "labels",
        "serviceTier",
        "store",
    }
)
_CONFIG = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
    }
)
# Values that say no more than leaving the field out: no loss where it has no equivalent.
_USUAL = {"responseModalities": ["TEXT"]}
_ROLES: dict[str | None, Role] = {
    None: "user",
    "": "user",
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
    "system": "system",
}


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    body = _unwrapped(camel(body))
    rest = {key: value for key, value in body.items() if key not in _KNOWN}
    config = mapping(body, "generationConfig") or {}
    rest |= {
        f"{CONFIG}.{k}": v for k, v in config.items() if k not in _CONFIG and v != _USUAL.get(k)
    }
    pending = Pending()
    turns = _turns_in(body, pending)
    rest |= pending.unknown
    at = dict(PATHS)
    return Request(
        model=_model_in(body),
        stream=flag(body, "stream") or False,
        instructions=_instructions_in(body),
        turns=turns,
        tools=tools_in(body),
        tool_choice=choice_in(body, rest),
        output=output_in(config, at, rest),
        thinking=thinking_in(config, rest),
        max_output=whole(config, "maxOutputTokens", least=0, most=MOST_TOKENS, at=CONFIG),
        sampling=_sampling_in(config),
        meta=_meta_in(body, rest),
        extra={NAME: rest},
        at=at,
    )


def _unwrapped(body: Json) -> Json:
    """The request inside a countTokens body, which may hold one instead of contents."""
    inner = mapping(body, "generateContentRequest")
    if inner is None:
        return body
    outer: Json = {key: body[key] for key in ("model", "stream") if key in body}
    return {**inner, **outer}


def _model_in(body: Json) -> str:
    model = needed_text(body, "model")
    return model.removeprefix("models/") or model


def _instructions_in(body: Json) -> tuple[Text, ...]:
    value = body.get("systemInstruction")
    if type(value) is str:
        return (Text(text=value, at="systemInstruction"),) if value else ()
    content = mapping(body, "systemInstruction") or {}
    parts = parts_in(content, "systemInstruction", Pending(), model=False)
    for part in parts:
        if not isinstance(part, Text):
            raise invalid(f"{part.at}: a system instruction holds text only", part.at)
    return tuple(part for part in parts if isinstance(part, Text) and part.text)


def _turns_in(body: Json, pending: Pending) -> tuple[Turn, ...]:
    contents = items(body, "contents")
    if not contents:
        raise invalid("contents is required: give a list of at least one content", "contents")
    return gathered([_turn_in(item, place, pending) for place, item in enumerate(contents)])


def _turn_in(content: Json, place: int, pending: Pending) -> Turn:
    at = f"contents[{place}]"
    pending.begin(place)
    said = text(content, "role", at)
    role = _ROLES.get(said)
    if role is None:
        path = f"{at}.role"
        raise invalid(f"{path} must be 'user' or 'model', not {str(said)[:60]!r}", path)
    parts = parts_in(content, at, pending, model=role == "assistant")
    return Turn(role=role, parts=parts, at=at)


def _sampling_in(config: Json) -> Sampling:
    logprobs = flag(config, "responseLogprobs", CONFIG)
    return Sampling(
        temperature=number(config, "temperature", at=CONFIG),
        top_p=number(config, "topP", at=CONFIG),
        top_k=_rounded(number(config, "topK", bound=1e6, at=CONFIG)),
        frequency_penalty=number(config, "frequencyPenalty", at=CONFIG),
        presence_penalty=number(config, "presencePenalty", at=CONFIG),
        seed=whole(config, "seed", at=CONFIG),
        stop=strings(config, "stopSequences", CONFIG),
        n=whole(config, "candidateCount", least=1, most=128, at=CONFIG),
        logprobs=logprobs,
        top_logprobs=whole(config, "logprobs", least=0, most=20, at=CONFIG),
    )


def _rounded(value: float | None) -> int | None:
    """`topK` is a number with a point in Google's types."""
    return None if value is None else round(value)


def _meta_in(body: Json, rest: Json) -> Meta:
    told = text(body, "serviceTier")
    tier: Any = TIERS.get((told or "").lower().removeprefix("service_tier_"))
    if told is not None and tier is None:
        rest["serviceTier"] = told
    labels = mapping(body, "labels")
    return Meta(metadata=labels or None, service_tier=tier, store=flag(body, "store"))
