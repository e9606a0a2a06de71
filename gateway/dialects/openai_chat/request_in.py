"""A client's Chat request -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import Cache, Meta, Request, Sampling
from gateway.dialects.fields import (
    MOST_TOKENS,
    flag,
    mapping,
    needed_text,
    number,
    one_of,
    strings,
    text,
    whole,
    wrong,
)
from gateway.dialects.openai_chat.job import cache_in
from gateway.dialects.openai_chat.messages_in import messages_in
from gateway.dialects.openai_chat.output import output_in
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_chat.reasoning import thinking_in
from gateway.dialects.openai_chat.tools import choice_in, tools_in

_READ = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "response_format",
        "verbosity",
        "reasoning_effort",
        "reasoning",
        "thinking",
        "include_reasoning",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "web_search_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "metadata",
        "service_tier",
        "store",
        "cache_control",
    ]
)
# Values that say no more than leaving the field out: no loss where it has no equivalent.
_USUAL = {"modalities": ["text"]}
# Fields that we hand on unread, where a wrong type can still be named here and now.
_OBJECTS = ("audio", "prediction", "prompt_cache_options", "moderation")
_TIERS = (
    "auto",
    "default",
    "flex",
    "scale",
    "priority",
    "fast",
    "on_demand",
    "performance",
)
# `auto` is what leaving it out means; OpenAI answers `fast` with `priority`; Groq has two
# words of its own.
_CANONICAL_TIERS = {
    "auto": None,
    "fast": "priority",
    "on_demand": "default",
    "performance": "priority",
}

# Where things stand; those that one may have many of below the value's own path.
_PATHS = {
    "turns": "messages",
    "logprobs": "logprobs",
    "cache": "cache_control",
    "tool_schema": "function.parameters",
    "detail": "image_url.detail",
}


def parse_request(body: dict[str, Any], headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    at: dict[str, str] = dict(_PATHS)
    conversation = messages_in(body)
    extra, include_usage = _extra(body, at)
    extra |= conversation.unknown
    return Request(
        model=needed_text(body, "model"),
        stream=bool(flag(body, "stream")),
        include_usage=include_usage,
        instructions=tuple(conversation.instructions),
        turns=tuple(conversation.turns),
        tools=tools_in(body),
        tool_choice=choice_in(body, at),
        output=output_in(body, at),
        thinking=thinking_in(body, at),
        max_output=_max_output(body, at),
        sampling=_sampling_in(body),
        meta=_meta_in(body, at),
        cache=_cache_in(body),
        extra={NAME: extra} if extra else {},
        at=at,
    )


def _extra(body: Json, at: dict[str, str]) -> tuple[Json, bool | None]:
    """The fields that have no canonical place, and whether a usage chunk is asked for."""
    for key in _OBJECTS:
        mapping(body, key)
    extra = {
        k: v for k, v in body.items() if k not in _READ and v is not None and v != _USUAL.get(k)
    }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        extra["user"] = user
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    at["include_usage"] = "stream_options"
    include_usage = flag(options, "include_usage", "stream_options")
    others = {k: v for k, v in options.items() if k != "include_usage" and v is not None}
    if others:
        extra["stream_options"] = others
    return extra, include_usage


def _max_output(body: Json, at: dict[str, str]) -> int | None:
    """The newer name counts where both are given; they mean the same."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = whole(body, name, least=0, most=MOST_TOKENS)
        if value is not None:
            at["max_output"] = name
            return value
    return None


def _sampling_in(body: Json) -> Sampling:
    logprobs, top_logprobs = _logprobs_in(body)
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=whole(body, "top_k", least=-1, most=MOST_TOKENS),
        min_p=number(body, "min_p"),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        repetition_penalty=number(body, "repetition_penalty"),
        seed=whole(body, "seed"),
        stop=strings(body, "stop"),
        n=whole(body, "n", least=1, most=128),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        logit_bias=_logit_bias_in(body),
    )


def _logprobs_in(body: Json) -> tuple[bool | None, int | None]:
    """Together's clients give `logprobs` as the number of alternatives."""
    top = whole(body, "top_logprobs", least=0, most=1000)
    value = body.get("logprobs")
    if type(value) is int:
        return True, value if top is None else top
    return flag(body, "logprobs"), top


def _logit_bias_in(body: Json) -> dict[str, float] | None:
    biases = mapping(body, "logit_bias")
    if not biases:
        return None
    for token, bias in biases.items():
        if type(bias) is not int and type(bias) is not float:
            raise wrong(f"logit_bias.{token}", "a number", bias)
    return biases


def _meta_in(body: Json, at: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    at["user_id"] = "safety_identifier"
    if user_id is None:
        user_id = text(body, "user")
        at["user_id"] = "user"
    at["session_key"] = "prompt_cache_key"
    tier = one_of(body, "service_tier", _TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        service_tier=_CANONICAL_TIERS.get(tier or "auto", tier),
        store=flag(body, "store"),
    )


def _cache_in(body: Json) -> Cache | None:
    """OpenRouter's mark for the whole request."""
    return cache_in(body) if mapping(body, "cache_control") is not None else None
