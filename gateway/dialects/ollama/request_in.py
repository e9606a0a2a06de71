"""A client's request, a chat or a bare prompt -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canon.errors import invalid
from gateway.canon.request import Output, Request, Sampling, Text, Thinking, Turn
from gateway.dialects.ollama.messages_in import empty_request_error, parse_images, parse_messages
from gateway.dialects.ollama.names import FIELD_PATHS, NAME, Json
from gateway.dialects.ollama.tools import parse_tools
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
        *("model", "stream", "messages", "tools", "think", "format", "options"),
        *("logprobs", "top_logprobs", "prompt", "system", "images"),
    }
)
_PARSED_OPTIONS = frozenset(
    {
        *("num_predict", "temperature", "top_p", "top_k", "min_p", "seed", "stop"),
        *("frequency_penalty", "presence_penalty", "repeat_penalty"),
    }
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    options = mapping(body, "options") or {}
    extra = _collect_extra_fields(body, options)
    if "prompt" in body and "messages" not in body:
        instructions, turns = _parse_prompt(body)
    else:
        conversation = parse_messages(body)
        instructions, turns = conversation.instructions, conversation.turns
        extra |= conversation.extra_fields
    stream = flag(body, "stream")
    return Request(
        model=required_text(body, "model"),
        # Left out it means yes, here alone.
        stream=stream is not False,
        instructions=tuple(instructions),
        turns=tuple(turns),
        tools=parse_tools(body),
        output=_parse_output(body),
        thinking=_parse_thinking(body),
        max_output=_parse_max_tokens(options),
        sampling=_parse_sampling(body, options),
        extra={NAME: extra} if extra else {},
        client_paths=dict(FIELD_PATHS),
    )


def _parse_prompt(body: Json) -> tuple[list[Text], list[Turn]]:
    """The conversation of /api/generate: one prompt, and what the system says."""
    prompt, system = text(body, "prompt"), text(body, "system")
    images = parse_images(body)
    if not prompt and not images:
        raise empty_request_error("prompt is required: there is nothing to answer", "prompt")
    text_parts = [Text(text=prompt, path="prompt")] if prompt else []
    turn = Turn(role="user", parts=(*text_parts, *images), path="prompt")
    return [Text(text=system, path="system")] if system else [], [turn]


def _collect_extra_fields(body: Json, options: Json) -> Json:
    """The fields that have no canonical place; an option's key begins with `options.`."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    for key, value in options.items():
        if key not in _PARSED_OPTIONS and value is not None:
            extra[f"options.{key}"] = value
    if (limit := options.get("num_predict")) == -2:
        extra["options.num_predict"] = limit
    return extra


def _parse_max_tokens(options: Json) -> int | None:
    """The most tokens; -1 means none, -2 to fill the context, which only Ollama can do."""
    limit = integer(options, "num_predict", minimum=-2, maximum=MAX_TOKENS, path="options")
    return limit if limit is not None and limit >= 0 else None


def _parse_sampling(body: Json, options: Json) -> Sampling:
    path = "options"
    return Sampling(
        temperature=number(options, "temperature", path=path),
        top_p=number(options, "top_p", path=path),
        top_k=integer(options, "top_k", minimum=-1, maximum=MAX_TOKENS, path=path),
        min_p=number(options, "min_p", path=path),
        frequency_penalty=number(options, "frequency_penalty", path=path),
        presence_penalty=number(options, "presence_penalty", path=path),
        repetition_penalty=number(options, "repeat_penalty", path=path),
        seed=integer(options, "seed", path=path),
        stop=strings(options, "stop", path),
        logprobs=flag(body, "logprobs"),
        top_logprobs=integer(body, "top_logprobs", minimum=0, maximum=1000),
    )


def _parse_output(body: Json) -> Output:
    output_format = body.get("format")
    if output_format is None or output_format == "":
        return Output()
    if output_format == "json" or output_format == {}:
        return Output(format="json")
    if type(output_format) is not dict:
        raise wrong_type("format", "'json' or a JSON Schema", output_format)
    return Output(format="schema", schema=output_format)


def _parse_thinking(body: Json) -> Thinking | None:
    think = body.get("think")
    if think is None or think == "":
        return None
    if type(think) is bool:
        return Thinking(mode="auto" if think else "off")
    if type(think) is not str:
        raise wrong_type("think", "true, false or an effort", think)
    if think not in _EFFORTS:
        effort_names = ", ".join(_EFFORTS)
        raise invalid(
            f"think must be true, false or one of {effort_names}, not {think[:40]!r}", "think"
        )
    return Thinking(mode="off") if think == "none" else Thinking(effort=think)
