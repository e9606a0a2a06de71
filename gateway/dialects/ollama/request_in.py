"""A client's request, a chat or a bare prompt -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canon.errors import invalid
from gateway.canon.request import Output, Request, Sampling, Text, Thinking, Turn
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
from gateway.dialects.ollama.messages_in import images_in, messages_in, nothing_asked
from gateway.dialects.ollama.names import NAME, PATHS, Json
from gateway.dialects.ollama.tools import tools_in

_READ = frozenset(
    {
        *("model", "stream", "messages", "tools", "think", "format", "options"),
        *("logprobs", "top_logprobs", "prompt", "system", "images"),
    }
)
_READ_OPTIONS = frozenset(
    {
        *("num_predict", "temperature", "top_p", "top_k", "min_p", "seed", "stop"),
        *("frequency_penalty", "presence_penalty", "repeat_penalty"),
    }
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    options = mapping(body, "options") or {}
    extra = _extra(body, options)
    if "prompt" in body and "messages" not in body:
        instructions, turns = _prompt_in(body)
    else:
        conversation = messages_in(body)
        instructions, turns = conversation.instructions, conversation.turns
        extra |= conversation.unknown
    stream = flag(body, "stream")
    return Request(
        model=needed_text(body, "model"),
        # Left out it means yes, here alone.
        stream=stream is not False,
        instructions=tuple(instructions),
        turns=tuple(turns),
        tools=tools_in(body),
        output=_output_in(body),
        thinking=_thinking_in(body),
        max_output=_limit(options),
        sampling=_sampling_in(body, options),
        extra={NAME: extra} if extra else {},
        at=dict(PATHS),
    )


def _prompt_in(body: Json) -> tuple[list[Text], list[Turn]]:
    """The conversation of /api/generate: one prompt, and what the system says."""
    words, system = text(body, "prompt"), text(body, "system")
    images = images_in(body)
    if not words and not images:
        raise nothing_asked("prompt is required: there is nothing to answer", "prompt")
    said = [Text(text=words, at="prompt")] if words else []
    turn = Turn(role="user", parts=(*said, *images), at="prompt")
    return [Text(text=system, at="system")] if system else [], [turn]


def _extra(body: Json, options: Json) -> Json:
    """The fields that have no canonical place; an option's key begins with `options.`."""
    extra = {k: v for k, v in body.items() if k not in _READ and v is not None}
    for key, value in options.items():
        if key not in _READ_OPTIONS and value is not None:
            extra[f"options.{key}"] = value
    if (limit := options.get("num_predict")) == -2:
        extra["options.num_predict"] = limit
    return extra


def _limit(options: Json) -> int | None:
    """The most tokens; -1 means none, -2 to fill the context, which only Ollama can do."""
    limit = whole(options, "num_predict", least=-2, most=MOST_TOKENS, at="options")
    return limit if limit is not None and limit >= 0 else None


def _sampling_in(body: Json, options: Json) -> Sampling:
    at = "options"
    return Sampling(
        temperature=number(options, "temperature", at=at),
        top_p=number(options, "top_p", at=at),
        top_k=whole(options, "top_k", least=-1, most=MOST_TOKENS, at=at),
        min_p=number(options, "min_p", at=at),
        frequency_penalty=number(options, "frequency_penalty", at=at),
        presence_penalty=number(options, "presence_penalty", at=at),
        repetition_penalty=number(options, "repeat_penalty", at=at),
        seed=whole(options, "seed", at=at),
        stop=strings(options, "stop", at),
        logprobs=flag(body, "logprobs"),
        top_logprobs=whole(body, "top_logprobs", least=0, most=1000),
    )


def _output_in(body: Json) -> Output:
    wanted = body.get("format")
    if wanted is None or wanted == "":
        return Output()
    if wanted == "json" or wanted == {}:
        return Output(format="json")
    if type(wanted) is not dict:
        raise wrong("format", "'json' or a JSON Schema", wanted)
    return Output(format="schema", schema=wanted)


def _thinking_in(body: Json) -> Thinking | None:
    wanted = body.get("think")
    if wanted is None or wanted == "":
        return None
    if type(wanted) is bool:
        return Thinking(mode="auto" if wanted else "off")
    if type(wanted) is not str:
        raise wrong("think", "true, false or an effort", wanted)
    if wanted not in _EFFORTS:
        known = ", ".join(_EFFORTS)
        raise invalid(f"think must be true, false or one of {known}, not {wanted[:40]!r}", "think")
    return Thinking(mode="off") if wanted == "none" else Thinking(effort=wanted)
