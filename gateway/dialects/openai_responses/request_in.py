"""A client's Responses request -> the canonical request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import Meta, Request, Sampling, Text
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
)
from gateway.dialects.openai_responses.items_in import Conversation, conversation_in, placed_in
from gateway.dialects.openai_responses.job import refused
from gateway.dialects.openai_responses.names import ENCRYPTED, LOGPROBS, NAME, PATHS, Json
from gateway.dialects.openai_responses.output import output_in
from gateway.dialects.openai_responses.state import recalled
from gateway.dialects.openai_responses.thinking import thinking_in
from gateway.dialects.openai_responses.tools_in import choice_in, listed_in

_READ = frozenset(
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
        # The gateway keeps answers itself, whoever gives them.
        "store",
        "previous_response_id",
        "background",
    }
)
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
# Values that say no more than leaving the field out: no loss where it has no equivalent.
_USUAL = {"truncation": "disabled"}
# What only OpenAI keeps; without it the request would mean something else.
_ELSEWHERE = ("conversation", "prompt")


def parse_request(
    body: Json, headers: Mapping[str, str], stored: Mapping[str, Any] | None = None
) -> Request:
    """The canonical request, with what went before it from the answers in `stored`.

    Raises GatewayError naming the field at fault.
    """
    _refuse(body)
    earlier, known = recalled(body, stored or {})
    rest = {
        k: v for k, v in body.items() if k not in _READ and v is not None and v != _USUAL.get(k)
    }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        rest["user"] = user
    at = dict(PATHS)
    output = output_in(body, rest)
    thinking = thinking_in(body, rest)
    include = _include_in(body, rest)
    conversation = conversation_in([*earlier, *placed_in(body)], known)
    tools = listed_in(body, "", rest) + conversation.tools
    rest |= conversation.unknown
    return Request(
        model=needed_text(body, "model"),
        stream=bool(flag(body, "stream")),
        instructions=_instructions_in(body, conversation),
        turns=tuple(conversation.turns),
        # One tool for each name: what was handed in last is what counts.
        tools=tuple({tool.name: tool for tool in tools}.values()),
        tool_choice=choice_in(body),
        output=output,
        thinking=thinking,
        max_output=whole(body, "max_output_tokens", least=0, most=MOST_TOKENS),
        sampling=_sampling_in(body, include),
        meta=_meta_in(body, at),
        extra={NAME: rest} if rest else {},
        at=at,
    )


def _refuse(body: Json) -> None:
    """Refuse what goes on from something that is not here."""
    for name in _ELSEWHERE:
        if body.get(name) is not None:
            raise refused(name, "only OpenAI itself keeps it; send the items in input instead")


def _instructions_in(body: Json, conversation: Conversation) -> tuple[Text, ...]:
    words = text(body, "instructions")
    first = (Text(text=words, at="instructions"),) if words else ()
    return (*first, *conversation.instructions)


def _include_in(body: Json, rest: Json) -> tuple[str, ...]:
    """What the answer is to hold beside the text; what others do not know goes to `rest`."""
    include = strings(body, "include")
    others = [word for word in include if word not in {ENCRYPTED, LOGPROBS}]
    if others:
        rest["include"] = others
    return include


def _sampling_in(body: Json, include: tuple[str, ...]) -> Sampling:
    top = whole(body, "top_logprobs", least=0, most=1000)
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=top,
    )


def _meta_in(body: Json, at: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    if user_id is None:
        user_id = text(body, "user")
        at["user_id"] = "user"
    tier = one_of(body, "service_tier", _TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        # `auto` is what leaving it out means; OpenAI answers `fast` with `priority`.
        service_tier={"auto": None, "fast": "priority"}.get(tier or "auto", tier),
    )
