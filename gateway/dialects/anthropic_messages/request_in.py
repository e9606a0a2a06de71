"""A client's Messages request -> canonical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Meta, Request, Sampling
from gateway.dialects.anthropic_messages.blocks_in import parse_cache_control, parse_system
from gateway.dialects.anthropic_messages.messages_in import parse_turns
from gateway.dialects.anthropic_messages.names import FIELD_PATHS, NAME, VERSION, Json
from gateway.dialects.anthropic_messages.output import parse_output_format
from gateway.dialects.anthropic_messages.thinking import parse_thinking
from gateway.dialects.anthropic_messages.tools import parse_tool_choice, parse_tools
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
_PARSED_OUTPUT_CONFIG = frozenset({"effort", "format"})
# The relay names the verb in a header of its own, as the path is not ours to see.
_VERB_HEADER = "x-dragoman-verb"


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra = {
        key: value for key, value in body.items() if key not in _PARSED_FIELDS and value is not None
    }
    field_paths = dict(FIELD_PATHS)
    output = parse_output_format(body, field_paths)
    config = mapping(body, "output_config") or {}
    extra |= {
        f"output_config.{k}": v
        for k, v in config.items()
        if k not in _PARSED_OUTPUT_CONFIG and v is not None
    }
    turns = parse_turns(body, extra)
    request = Request(
        model=required_text(body, "model"),
        stream=flag(body, "stream") or False,
        instructions=parse_system(body.get("system"), "system", extra),
        turns=turns,
        tools=parse_tools(body, turns),
        tool_choice=parse_tool_choice(body),
        output=output,
        thinking=parse_thinking(body, extra),
        max_output=_parse_max_output(body, counting=headers.get(_VERB_HEADER) == "count_tokens"),
        sampling=_parse_sampling(body),
        meta=_parse_meta(body, extra),
        cache=parse_cache_control(body),
        version=headers.get("anthropic-version") or VERSION,
        betas=_parse_betas(headers),
        client_paths=field_paths,
    )
    return msgspec.structs.replace(request, extra={NAME: extra}) if extra else request


def _parse_max_output(body: Json, *, counting: bool) -> int | None:
    max_tokens = integer(body, "max_tokens", minimum=0, maximum=MAX_TOKENS)
    if max_tokens is None and not counting:
        raise invalid("max_tokens is required: give a whole number", "max_tokens")
    return max_tokens


def _parse_sampling(body: Json) -> Sampling:
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        stop=strings(body, "stop_sequences"),
    )


def _parse_meta(body: Json, extra: Json) -> Meta:
    tier = enum_value(body, "service_tier", ("auto", "standard_only"))
    metadata = mapping(body, "metadata") or {}
    extra |= {f"metadata.{k}": v for k, v in metadata.items() if k != "user_id" and v is not None}
    user_id = text(metadata, "user_id", "metadata")
    return Meta(
        user_id=user_id,
        session_key=_parse_session_id(user_id),
        # `auto` is what a request without the field gets.
        service_tier="default" if tier == "standard_only" else None,
    )


def _parse_session_id(user_id: str | None) -> str | None:
    """The session that Claude Code puts into `user_id`, a JSON object in a string."""
    if user_id is None or not user_id.startswith("{"):
        return None
    try:
        user_object: Any = msgspec.json.decode(user_id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    session_id = user_object.get("session_id") if isinstance(user_object, dict) else None
    return session_id if isinstance(session_id, str) and session_id else None


def _parse_betas(headers: Mapping[str, str]) -> tuple[str, ...]:
    header = headers.get("anthropic-beta", "")
    return tuple(beta for item in header.split(",") if (beta := item.strip()))
