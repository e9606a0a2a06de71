"""A client's prompt -> the canonical request: one user message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Request, Sampling, Text, Turn
from gateway.dialects.fields import (
    MOST_TOKENS,
    flag,
    mapping,
    needed_text,
    number,
    strings,
    text,
    whole,
    wrong,
)
from gateway.dialects.openai_completions.names import NAME, Json, refused

_READ = frozenset(
    {
        *("model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p"),
        *("frequency_penalty", "presence_penalty", "seed", "stop", "n", "best_of", "logprobs"),
        *("logit_bias", "user", "echo", "suffix"),
    }
)
# `logprobs` says both whether and how many; a report names it once.
_PATHS = {
    "user_id": "user",
    "max_output": "max_tokens",
    "logprobs": "logprobs",
    "top_logprobs": "",
}


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra, include_usage = _extra(body)
    if (whole(body, "best_of", least=0, most=128) or 1) > 1:
        raise refused("best_of", "only one answer is asked for, so there is no best of several")
    top = whole(body, "logprobs", least=0, most=1000)
    return Request(
        model=needed_text(body, "model"),
        stream=bool(flag(body, "stream")),
        include_usage=include_usage,
        turns=(_prompt_in(body.get("prompt")),),
        max_output=whole(body, "max_tokens", least=0, most=MOST_TOKENS),
        sampling=Sampling(
            temperature=number(body, "temperature"),
            top_p=number(body, "top_p"),
            frequency_penalty=number(body, "frequency_penalty"),
            presence_penalty=number(body, "presence_penalty"),
            seed=whole(body, "seed"),
            stop=strings(body, "stop"),
            n=whole(body, "n", least=1, most=128),
            logprobs=True if top is not None else None,
            top_logprobs=top,
            logit_bias=_biases(body),
        ),
        meta=Meta(user_id=text(body, "user")),
        extra={NAME: extra} if extra else {},
        at=dict(_PATHS),
    )


def _prompt_in(value: Any) -> Turn:
    """The only turn. Several prompts are several requests, which the relay makes of them."""
    at = "prompt"
    if type(value) is list and len(value) == 1:
        value, at = value[0], "prompt[0]"
    if type(value) is str:
        return Turn(role="user", parts=(Text(text=value, at=at),), at=at)
    if value is None:
        raise invalid("prompt is required: give a text", "prompt")
    if type(value) is not list:
        raise wrong("prompt", "a string or a list", value)
    if not value:
        raise invalid("prompt must hold at least one text", "prompt")
    if all(type(item) is str for item in value):
        raise refused("prompt", "one prompt at a time here; send a request for each", "several")
    raise refused("prompt", "tokens mean nothing to another model; send the text")


def _extra(body: Json) -> tuple[Json, bool | None]:
    """The fields that have no canonical place, and whether a usage chunk is asked for."""
    extra = {k: v for k, v in body.items() if k not in _READ and v is not None}
    if flag(body, "echo"):
        extra["echo"] = True
    if suffix := text(body, "suffix"):
        extra["suffix"] = suffix
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    return extra, flag(options, "include_usage", "stream_options")


def _biases(body: Json) -> dict[str, float] | None:
    biases = mapping(body, "logit_bias")
    if not biases:
        return None
    for token, bias in biases.items():
        if type(bias) is not int and type(bias) is not float:
            raise wrong(f"logit_bias.{token}", "a number", bias)
    return biases
