"""A client's prompt -> the canonical request: one user message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Request, Sampling, Text, Turn
from gateway.dialects.openai_completions.names import NAME, Json, refused
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
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
    {
        *("model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p"),
        *("frequency_penalty", "presence_penalty", "seed", "stop", "n", "best_of", "logprobs"),
        *("logit_bias", "user", "echo", "suffix"),
    }
)
# `logprobs` sets both whether and how many, so a report mentions it once.
_PATHS = {
    "user_id": "user",
    "max_output": "max_tokens",
    "logprobs": "logprobs",
    "top_logprobs": "",
}


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra, include_usage = _extra_fields(body)
    if (integer(body, "best_of", minimum=0, maximum=128) or 1) > 1:
        raise refused("best_of", "must be 1: the gateway requests each choice once")
    top_logprobs = integer(body, "logprobs", minimum=0, maximum=1000)
    return Request(
        model=required_text(body, "model"),
        stream=bool(flag(body, "stream")),
        include_usage=include_usage,
        turns=(_prompt_in(body.get("prompt")),),
        max_output=integer(body, "max_tokens", minimum=0, maximum=MAX_TOKENS),
        sampling=Sampling(
            temperature=number(body, "temperature"),
            top_p=number(body, "top_p"),
            frequency_penalty=number(body, "frequency_penalty"),
            presence_penalty=number(body, "presence_penalty"),
            seed=integer(body, "seed"),
            stop=strings(body, "stop"),
            n=integer(body, "n", minimum=1, maximum=128),
            logprobs=True if top_logprobs is not None else None,
            top_logprobs=top_logprobs,
            logit_bias=_logit_bias_in(body),
        ),
        meta=Meta(user_id=text(body, "user")),
        extra={NAME: extra} if extra else {},
        client_paths=dict(_PATHS),
    )


def _prompt_in(value: Any) -> Turn:
    """The only turn. The relay splits several prompts into one request each."""
    path = "prompt"
    if type(value) is list and len(value) == 1:
        value, path = value[0], "prompt[0]"
    if type(value) is str:
        return Turn(role="user", parts=(Text(text=value, path=path),), path=path)
    if value is None:
        raise invalid("prompt is required: a text", "prompt")
    if type(value) is not list:
        raise wrong_type("prompt", "a string or a list", value)
    if not value:
        raise invalid("prompt must hold at least one text", "prompt")
    if all(type(item) is str for item in value):
        raise refused(
            "prompt",
            "only one prompt per request is supported; send one request for each",
            "multiple_prompts",
        )
    raise refused("prompt", "token ids are specific to a model; send the text")


def _extra_fields(body: Json) -> tuple[Json, bool | None]:
    """The fields without a canonical equivalent, and whether a usage chunk is requested."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    if flag(body, "echo"):
        extra["echo"] = True
    if suffix := text(body, "suffix"):
        extra["suffix"] = suffix
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    return extra, flag(options, "include_usage", "stream_options")


def _logit_bias_in(body: Json) -> dict[str, float] | None:
    biases = mapping(body, "logit_bias")
    if not biases:
        return None
    for token, bias in biases.items():
        if type(bias) is not int and type(bias) is not float:
            raise wrong_type(f"logit_bias.{token}", "a number", bias)
    return biases
