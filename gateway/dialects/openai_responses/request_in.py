"""A client's Responses request -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import Meta, Request, Sampling, Text
from gateway.dialects.openai_responses.conversation_state import load_history
from gateway.dialects.openai_responses.items_in import (
    Conversation,
    conversation_in,
    pathed_items_in,
)
from gateway.dialects.openai_responses.names import ENCRYPTED, LOGPROBS, NAME, PATHS, Json
from gateway.dialects.openai_responses.output import output_in
from gateway.dialects.openai_responses.reasoning import thinking_in
from gateway.dialects.openai_responses.render_context import refused
from gateway.dialects.openai_responses.tools_in import choice_in, tools_in
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
)

_PARSED_FIELDS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "include",
        "metadata",
        "safety_identifier",
        "user",
        "prompt_cache_key",
        "service_tier",
        # The gateway stores responses itself, whichever provider created them.
        "store",
        "previous_response_id",
        "background",
    }
)
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
# Default values: dropping them loses nothing where the field has no equivalent.
_DEFAULT_VALUES = {"truncation": "disabled"}
# State that only OpenAI stores; without it the request would have another meaning.
_OPENAI_STATE_FIELDS = ("conversation", "prompt")


def parse_request(
    body: Json, headers: Mapping[str, str], stored: Mapping[str, Any] | None = None
) -> Request:
    """The canonical request, with the conversation of the responses in `stored`.

    Raises GatewayError naming the field at fault.
    """
    _refuse_openai_state(body)
    earlier_items, items_by_id = load_history(body, stored or {})
    extra = {
        k: v
        for k, v in body.items()
        if k not in _PARSED_FIELDS and v is not None and v != _DEFAULT_VALUES.get(k)
    }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        extra["user"] = user
    paths = dict(PATHS)
    output = output_in(body, extra)
    thinking = thinking_in(body, extra)
    include = _include_in(body, extra)
    conversation = conversation_in([*earlier_items, *pathed_items_in(body)], items_by_id)
    tools = tools_in(body, "") + conversation.tools
    extra |= conversation.unknown_fields
    return Request(
        model=required_text(body, "model"),
        stream=bool(flag(body, "stream")),
        instructions=_instructions_in(body, conversation),
        turns=tuple(conversation.turns),
        # One tool for each name: the last one counts.
        tools=tuple({tool.name: tool for tool in tools}.values()),
        tool_choice=choice_in(body),
        output=output,
        thinking=thinking,
        max_output=integer(body, "max_output_tokens", minimum=0, maximum=MAX_TOKENS),
        sampling=_sampling_in(body, include),
        meta=_meta_in(body, paths),
        extra={NAME: extra} if extra else {},
        client_paths=paths,
    )


def _refuse_openai_state(body: Json) -> None:
    """Refuse a request that continues state which only OpenAI stores."""
    for name in _OPENAI_STATE_FIELDS:
        if body.get(name) is not None:
            raise refused(name, "only OpenAI stores it; send the items in input instead")


def _instructions_in(body: Json, conversation: Conversation) -> tuple[Text, ...]:
    instructions = text(body, "instructions")
    first = (Text(text=instructions, path="instructions"),) if instructions else ()
    return (*first, *conversation.instructions)


def _include_in(body: Json, extra: Json) -> tuple[str, ...]:
    """The `include` values; values specific to this dialect go to `extra`."""
    include = strings(body, "include")
    other_values = [value for value in include if value not in {ENCRYPTED, LOGPROBS}]
    if other_values:
        extra["include"] = other_values
    return include


def _sampling_in(body: Json, include: tuple[str, ...]) -> Sampling:
    top_logprobs = integer(body, "top_logprobs", minimum=0, maximum=1000)
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=top_logprobs,
    )


def _meta_in(body: Json, paths: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    if user_id is None:
        user_id = text(body, "user")
        paths["user_id"] = "user"
    tier = enum_value(body, "service_tier", _TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        # `auto` equals an absent field; OpenAI answers `fast` with `priority`.
        service_tier={"auto": None, "fast": "priority"}.get(tier or "auto", tier),
    )
