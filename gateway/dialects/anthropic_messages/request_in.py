"""A client's Messages request -> canonical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Request, Sampling
from gateway.dialects.anthropic_messages.blocks_in import cache_in, system_in
from gateway.dialects.anthropic_messages.messages_in import turns_in
from gateway.dialects.anthropic_messages.names import NAME, PATHS, VERSION, Json
from gateway.dialects.anthropic_messages.output import output_in
from gateway.dialects.anthropic_messages.thinking import thinking_in
from gateway.dialects.anthropic_messages.tools import choice_in, tools_in
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

_KNOWN = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "stop_sequences",
        "service_tier",
        "cache_control",
        "temperature",
        "top_p",
        "top_k",
    }
)
_CONFIG = frozenset({"effort", "format"})
# The relay names the verb in a header of its own, as the path is not ours to see.
_VERB = "x-dragoman-verb"


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    rest = {key: value for key, value in body.items() if key not in _KNOWN and value is not None}
    at = dict(PATHS)
    output = output_in(body, at)
    config = mapping(body, "output_config") or {}
    rest |= {
        f"output_config.{k}": v for k, v in config.items() if k not in _CONFIG and v is not None
    }
    turns = turns_in(body, rest)
    request = Request(
        model=needed_text(body, "model"),
        stream=flag(body, "stream") or False,
        instructions=system_in(body.get("system"), "system", rest),
        turns=turns,
        tools=tools_in(body, turns),
        tool_choice=choice_in(body),
        output=output,
        thinking=thinking_in(body, rest),
        max_output=_max_output_in(body, counting=headers.get(_VERB) == "count_tokens"),
        sampling=_sampling_in(body),
        meta=_meta_in(body, rest),
        cache=cache_in(body),
        version=headers.get("anthropic-version") or VERSION,
        betas=_betas_in(headers),
        at=at,
    )
    return msgspec.structs.replace(request, extra={NAME: rest}) if rest else request


def _max_output_in(body: Json, *, counting: bool) -> int | None:
    most = whole(body, "max_tokens", least=0, most=MOST_TOKENS)
    if most is None and not counting:
        raise invalid("max_tokens is required: give a whole number", "max_tokens")
    return most


def _sampling_in(body: Json) -> Sampling:
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=whole(body, "top_k"),
        stop=strings(body, "stop_sequences"),
    )


def _meta_in(body: Json, rest: Json) -> Meta:
    tier = one_of(body, "service_tier", ("auto", "standard_only"))
    metadata = mapping(body, "metadata") or {}
    rest |= {f"metadata.{k}": v for k, v in metadata.items() if k != "user_id" and v is not None}
    user_id = text(metadata, "user_id", "metadata")
    return Meta(
        user_id=user_id,
        session_key=_session_in(user_id),
        # `auto` is what a request without the field gets.
        service_tier="default" if tier == "standard_only" else None,
    )


def _session_in(user_id: str | None) -> str | None:
    """The session that Claude Code puts into `user_id`, a JSON object in a string."""
    if user_id is None or not user_id.startswith("{"):
        return None
    try:
        told: Any = msgspec.json.decode(user_id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    session = told.get("session_id") if isinstance(told, dict) else None
    return session if isinstance(session, str) and session else None


def _betas_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    told = headers.get("anthropic-beta", "")
    return tuple(beta for part in told.split(",") if (beta := part.strip()))
