"""A client's generateContent request -> canonical.

The model and whether to stream stand in the path; the relay puts them into the body as
`model` and `stream` before it is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Part, Request, Role, Sampling, Text, Turn
from gateway.dialects.gemini.casing import camel_case_keys
from gateway.dialects.gemini.names import FIELD_PATHS, GENERATION_CONFIG, NAME, SERVICE_TIERS, Json
from gateway.dialects.gemini.output import parse_output_format
from gateway.dialects.gemini.parts_in import PendingCalls, parse_parts
from gateway.dialects.gemini.signatures import merge_split_reasoning
from gateway.dialects.gemini.thinking import parse_thinking
from gateway.dialects.gemini.tools import parse_tool_choice, parse_tools
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    flag,
    integer,
    mapping,
    number,
    objects,
    required_text,
    strings,
    text,
)

_PARSED_FIELDS = frozenset(
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
_PARSED_CONFIG_FIELDS = frozenset(
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
# Default values: dropping them loses nothing.
_DEFAULT_CONFIG_VALUES = {"responseModalities": ["TEXT"]}
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
    body = _unwrap_counted_request(camel_case_keys(body))
    extra = {key: value for key, value in body.items() if key not in _PARSED_FIELDS}
    config = mapping(body, "generationConfig") or {}
    extra |= {
        f"{GENERATION_CONFIG}.{k}": v
        for k, v in config.items()
        if k not in _PARSED_CONFIG_FIELDS and v != _DEFAULT_CONFIG_VALUES.get(k)
    }
    pending_calls = PendingCalls()
    turns = _parse_turns(body, pending_calls)
    extra |= pending_calls.extra_fields
    field_paths = dict(FIELD_PATHS)
    return Request(
        model=_parse_model(body),
        stream=flag(body, "stream") or False,
        instructions=_parse_instructions(body),
        turns=turns,
        tools=parse_tools(body),
        tool_choice=parse_tool_choice(body, extra),
        output=parse_output_format(config, field_paths, extra),
        thinking=parse_thinking(config, extra),
        max_output=integer(
            config, "maxOutputTokens", minimum=0, maximum=MAX_TOKENS, path=GENERATION_CONFIG
        ),
        sampling=_parse_sampling(config),
        meta=_parse_metadata(body, extra),
        extra={NAME: extra},
        client_paths=field_paths,
    )


def _unwrap_counted_request(body: Json) -> Json:
    """The request inside a countTokens body, which may hold one instead of contents."""
    inner = mapping(body, "generateContentRequest")
    if inner is None:
        return body
    outer: Json = {key: body[key] for key in ("model", "stream") if key in body}
    return {**inner, **outer}


def _parse_model(body: Json) -> str:
    model = required_text(body, "model")
    return model.removeprefix("models/") or model


def _parse_instructions(body: Json) -> tuple[Text, ...]:
    value = body.get("systemInstruction")
    if type(value) is str:
        return (Text(text=value, path="systemInstruction"),) if value else ()
    content = mapping(body, "systemInstruction") or {}
    parts = parse_parts(content, "systemInstruction", PendingCalls(), model=False)
    for part in parts:
        if not isinstance(part, Text):
            raise invalid(f"{part.path}: a system instruction holds text only", part.path)
    return tuple(part for part in parts if isinstance(part, Text) and part.text)


def _parse_turns(body: Json, pending_calls: PendingCalls) -> tuple[Turn, ...]:
    contents = objects(body, "contents")
    if not contents:
        raise invalid("contents is required: give a list of at least one content", "contents")
    turns = merge_split_reasoning(
        [_parse_turn(item, index, pending_calls) for index, item in enumerate(contents)]
    )
    return tuple(_merge_split_answers(turns))


def _merge_split_answers(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    """Joins the fragments of each answer: chats of Google's SDK store every chunk as a turn.

    An empty answer is dropped.
    """
    for role, turn_run in groupby(turns, key=lambda turn: turn.role):
        if role != "assistant":
            yield from turn_run
            continue
        fragments = list(turn_run)
        parts = _join_fragments(fragments)
        if parts:
            yield replace(fragments[0], parts=parts)


def _join_fragments(fragments: list[Turn]) -> tuple[Part, ...]:
    """The parts of an answer, a text that goes on in the next piece joined; no empty ones."""
    joined_parts: list[Part] = []
    text_fragments: list[str] = []  # of the last part, if it is a text
    for fragment in fragments:
        continues_text = bool(text_fragments)
        for part in fragment.parts:
            if not isinstance(part, Text):
                _end_text(joined_parts, text_fragments)
                joined_parts.append(part)
            elif not part.text:
                continue
            elif continues_text:
                text_fragments.append(part.text)
            else:
                _end_text(joined_parts, text_fragments)
                joined_parts.append(part)
                text_fragments.append(part.text)
            continues_text = False
    _end_text(joined_parts, text_fragments)
    return tuple(joined_parts)


def _end_text(joined_parts: list[Part], text_fragments: list[str]) -> None:
    if text_fragments and isinstance(joined_parts[-1], Text):
        joined_parts[-1] = replace(joined_parts[-1], text="".join(text_fragments))
    text_fragments.clear()


def _parse_turn(content: Json, index: int, pending_calls: PendingCalls) -> Turn:
    path = f"contents[{index}]"
    pending_calls.start_content(index)
    role_value = text(content, "role", path)
    role = _ROLES.get(role_value)
    if role is None:
        role_path = f"{path}.role"
        raise invalid(
            f"{role_path} must be 'user' or 'model', not {str(role_value)[:60]!r}", role_path
        )
    parts = parse_parts(content, path, pending_calls, model=role == "assistant")
    return Turn(role=role, parts=parts, path=path)


def _parse_sampling(config: Json) -> Sampling:
    logprobs = flag(config, "responseLogprobs", GENERATION_CONFIG)
    return Sampling(
        temperature=number(config, "temperature", path=GENERATION_CONFIG),
        top_p=number(config, "topP", path=GENERATION_CONFIG),
        top_k=_round_or_none(number(config, "topK", bound=1e6, path=GENERATION_CONFIG)),
        frequency_penalty=number(config, "frequencyPenalty", path=GENERATION_CONFIG),
        presence_penalty=number(config, "presencePenalty", path=GENERATION_CONFIG),
        seed=integer(config, "seed", path=GENERATION_CONFIG),
        stop=strings(config, "stopSequences", GENERATION_CONFIG),
        n=integer(config, "candidateCount", minimum=1, maximum=128, path=GENERATION_CONFIG),
        logprobs=logprobs,
        top_logprobs=integer(config, "logprobs", minimum=0, maximum=20, path=GENERATION_CONFIG),
    )


def _round_or_none(value: float | None) -> int | None:
    """`topK` is a number with a point in Google's types."""
    return None if value is None else round(value)


def _parse_metadata(body: Json, extra: Json) -> Meta:
    tier_value = text(body, "serviceTier")
    tier: Any = SERVICE_TIERS.get((tier_value or "").lower().removeprefix("service_tier_"))
    if tier_value is not None and tier is None:
        extra["serviceTier"] = tier_value
    labels = mapping(body, "labels")
    return Meta(metadata=labels or None, service_tier=tier, store=flag(body, "store"))
