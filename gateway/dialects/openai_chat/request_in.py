"""A client's Chat request -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import CacheBreakpoint, Meta, Request, Sampling
from gateway.dialects.openai_chat.messages_in import messages_in
from gateway.dialects.openai_chat.output import output_in
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_chat.reasoning import thinking_in
from gateway.dialects.openai_chat.render_context import cache_in
from gateway.dialects.openai_chat.tools import choice_in, tools_in
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    enum_value,
    flag,
    integer,
    mapping,
    number,
    required_text,
    strings,
    text,
    wrong_type,
)

_PARSED_FIELDS = frozenset(
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
# Default values: dropping them loses nothing where the field has no equivalent.
_DEFAULT_VALUES = {"modalities": ["text"]}
# Fields that are passed on unparsed; only their type is checked here.
_OBJECT_FIELDS = ("audio", "prediction", "prompt_cache_options", "moderation")
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
# `auto` equals an absent field; OpenAI answers `fast` with `priority`; Groq has two values
# of its own.
_CANONICAL_TIERS = {
    "auto": None,
    "fast": "priority",
    "on_demand": "default",
    "performance": "priority",
}

# Canonical field -> path; for repeated values, the path below the value's own path.
_PATHS = {
    "turns": "messages",
    "logprobs": "logprobs",
    "cache": "cache_control",
    "tool_schema": "function.parameters",
    "detail": "image_url.detail",
}


def parse_request(body: dict[str, Any], headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    paths: dict[str, str] = dict(_PATHS)
    conversation = messages_in(body)
    extra, include_usage = _extra_fields(body, paths)
    extra |= conversation.unknown_fields
    return Request(
        model=required_text(body, "model"),
        stream=bool(flag(body, "stream")),
        include_usage=include_usage,
        instructions=tuple(conversation.instructions),
        turns=tuple(conversation.turns),
        tools=tools_in(body),
        tool_choice=choice_in(body, paths),
        output=output_in(body, paths),
        thinking=thinking_in(body, paths),
        max_output=_max_output(body, paths),
        sampling=_sampling_in(body),
        meta=_meta_in(body, paths),
        cache=_cache_in(body),
        extra={NAME: extra} if extra else {},
        client_paths=paths,
    )


def _extra_fields(body: Json, paths: dict[str, str]) -> tuple[Json, bool | None]:
    """The fields without a canonical equivalent, and whether a usage chunk is requested."""
    for key in _OBJECT_FIELDS:
        mapping(body, key)
    extra = {
        k: v
        for k, v in body.items()
        if k not in _PARSED_FIELDS and v is not None and v != _DEFAULT_VALUES.get(k)
    }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        extra["user"] = user
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    paths["include_usage"] = "stream_options"
    include_usage = flag(options, "include_usage", "stream_options")
    other_options = {k: v for k, v in options.items() if k != "include_usage" and v is not None}
    if other_options:
        extra["stream_options"] = other_options
    return extra, include_usage


def _max_output(body: Json, paths: dict[str, str]) -> int | None:
    """The output limit; the newer name wins if both are sent, as they mean the same."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = integer(body, name, minimum=0, maximum=MAX_TOKENS)
        if value is not None:
            paths["max_output"] = name
            return value
    return None


def _sampling_in(body: Json) -> Sampling:
    logprobs, top_logprobs = _logprobs_in(body)
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k", minimum=-1, maximum=MAX_TOKENS),
        min_p=number(body, "min_p"),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        repetition_penalty=number(body, "repetition_penalty"),
        seed=integer(body, "seed"),
        stop=strings(body, "stop"),
        n=integer(body, "n", minimum=1, maximum=128),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        logit_bias=_logit_bias_in(body),
    )


def _logprobs_in(body: Json) -> tuple[bool | None, int | None]:
    """`logprobs` and `top_logprobs`; Together's clients send `logprobs` as the number of both."""
    top_logprobs = integer(body, "top_logprobs", minimum=0, maximum=1000)
    value = body.get("logprobs")
    if type(value) is int:
        return True, value if top_logprobs is None else top_logprobs
    return flag(body, "logprobs"), top_logprobs


def _logit_bias_in(body: Json) -> dict[str, float] | None:
    biases = mapping(body, "logit_bias")
    if not biases:
        return None
    for token, bias in biases.items():
        if type(bias) is not int and type(bias) is not float:
            raise wrong_type(f"logit_bias.{token}", "a number", bias)
    return biases


def _meta_in(body: Json, paths: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    paths["user_id"] = "safety_identifier"
    if user_id is None:
        user_id = text(body, "user")
        paths["user_id"] = "user"
    paths["session_key"] = "prompt_cache_key"
    tier = enum_value(body, "service_tier", _TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        service_tier=_CANONICAL_TIERS.get(tier or "auto", tier),
        store=flag(body, "store"),
    )


def _cache_in(body: Json) -> CacheBreakpoint | None:
    """OpenRouter's cache breakpoint for the entire request."""
    return cache_in(body) if mapping(body, "cache_control") is not None else None
