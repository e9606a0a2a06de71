"""Prompt-cache breakpoints that a route sets for clients that set none (`Route.prompt_cache`).

The model's trait `auto_cache` says which prefixes get one: the tools, the system prompt, and
the last two user turns: one writes the prefix that the next request of the conversation reads,
the other reads what the previous request wrote. That is at most four, the maximum of Anthropic
and Bedrock. Vendors ignore a breakpoint after a prefix that is too short to cache.

platform.claude.com/docs/en/build-with-claude/prompt-caching,
docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html,
openrouter.ai/docs/features/prompt-caching
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, defaulted_field
from gateway.canon.json_values import to_raw
from gateway.canon.request import (
    CacheBreakpoint,
    Document,
    Image,
    Part,
    Request,
    Text,
    Tool,
    ToolResult,
    Turn,
)
from gateway.canon.traits import Traits
from gateway.relay.event_loop import offload

Fields = dict[str, msgspec.Raw]
Json = dict[str, Any]

# A shorter body has fewer than 1,024 tokens, the minimum that vendors cache.
MIN_BODY_BYTES = 2048
MAX_TURNS = 2
# A quotation mark in a text is escaped, so these are fields of the body.
_CLIENT_BREAKPOINTS = (b'"cache_control"', b'"cachePoint"', b'"prompt_cache_breakpoint"')
# Dialect -> roles of a user turn, and types of parts that may have a breakpoint.
_PASSTHROUGH = {
    "anthropic_messages": (
        frozenset({"user"}),
        frozenset({"text", "image", "document", "tool_result", "search_result"}),
    ),
    "openai_chat": (frozenset({"user", "tool"}), frozenset({"text"})),
}
_SYSTEM_ROLES = frozenset({"system", "developer"})
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_string_decoder = msgspec.json.Decoder(str)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def needs_breakpoints(body: bytes, traits: Traits) -> bool:
    """Whether to add breakpoints to a request with this body: the client has set none."""
    return (
        bool(traits.auto_cache)
        and traits.cache in {"cache_control", "cachePoint"}
        and len(body) >= MIN_BODY_BYTES
        and not offload.contains(body, _CLIENT_BREAKPOINTS)
    )


def _breakpoint_report(count: int) -> tuple[Adaptation, ...]:
    if not count:
        return ()
    reason = f"the route's prompt_cache sets cache breakpoints ({count})"
    return (defaulted_field("cache_control", reason),)


# --- a translated request -------------------------------------------------------------------------


def add_breakpoints_to_request(
    request: Request, traits: Traits, ttl: str
) -> tuple[Request, tuple[Adaptation, ...]]:
    """The canonical request with breakpoints, and the report."""
    # Five minutes is the default, and some models of Bedrock reject the field.
    cache = CacheBreakpoint(ttl=ttl if ttl == "1h" else None)
    changes: dict[str, Any] = {}
    count = 0
    if "tools" in traits.auto_cache:
        tools = _with_breakpoint(request.tools, _tool_accepts_breakpoint, cache)
        if tools is not None:
            changes["tools"] = tools
            count += 1
    if "system" in traits.auto_cache:
        instructions = _with_breakpoint(request.instructions, _part_accepts_breakpoint, cache)
        if instructions is not None:
            changes["instructions"] = instructions
            count += 1
    if "turns" in traits.auto_cache:
        turns = list(request.turns)
        marked_count = _add_breakpoints_to_turns(turns, cache)
        if marked_count:
            changes["turns"] = tuple(turns)
            count += marked_count
    return msgspec.structs.replace(request, **changes), _breakpoint_report(count)


def _add_breakpoints_to_turns(turns: list[Turn], cache: CacheBreakpoint) -> int:
    """Mark the last user turns; return their number. Consecutive ones count as one."""
    marked_count, in_user_turn = 0, False
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.role != "user":
            in_user_turn = False
            continue
        parts = (
            None if in_user_turn else _with_breakpoint(turn.parts, _part_accepts_breakpoint, cache)
        )
        if parts is None:
            continue
        turns[index] = msgspec.structs.replace(turn, parts=parts)
        in_user_turn = True
        marked_count += 1
        if marked_count == MAX_TURNS:
            break
    return marked_count


def _with_breakpoint(
    items: tuple[Any, ...], accepts_breakpoint: Callable[[Any], bool], cache: CacheBreakpoint
) -> Any:
    """The items with a breakpoint on the last that may have one; None if there is none."""
    for index in range(len(items) - 1, -1, -1):
        if accepts_breakpoint(items[index]):
            item = msgspec.structs.replace(items[index], cache=cache)
            return (*items[:index], item, *items[index + 1 :])
    return None


def _tool_accepts_breakpoint(tool: Tool) -> bool:
    """Anthropic rejects a breakpoint on a deferred tool; server tools are rendered as received."""
    return tool.kind != "server" and not tool.defer


def _part_accepts_breakpoint(part: Part) -> bool:
    """Anthropic rejects a breakpoint on an empty text, and on reasoning."""
    if isinstance(part, Text):
        return bool(part.text.strip())
    return isinstance(part, Image | Document | ToolResult)


# --- a passthrough body ---------------------------------------------------------------------------


def add_breakpoints_to_fields(
    fields: Fields, dialect: str, traits: Traits, ttl: str
) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The top-level fields of a passthrough body with breakpoints, and the report.

    Only the marked values are written anew; all others are sent byte for byte.
    """
    if dialect not in _PASSTHROUGH:
        return fields, ()
    cache_control: Json = (
        {"type": "ephemeral", "ttl": "1h"} if ttl == "1h" else {"type": "ephemeral"}
    )
    user_roles, types = _PASSTHROUGH[dialect]
    marked_fields = dict(fields)
    count = 0
    if "tools" in traits.auto_cache and "tools" in fields:
        count += _add_breakpoint_to_tools(marked_fields, cache_control)
    if "system" in traits.auto_cache and "system" in fields:
        content = _content_with_breakpoint(fields["system"], types, cache_control)
        if content is not None:
            marked_fields["system"] = content
            count += 1
    messages = _decode_array(fields.get("messages"))
    if "system" in traits.auto_cache and dialect == "openai_chat":
        count += _add_breakpoint_to_system_message(messages, types, cache_control)
    if "turns" in traits.auto_cache:
        count += _add_breakpoints_to_messages(messages, user_roles, types, cache_control)
    if not count:
        return fields, ()
    if messages:
        marked_fields["messages"] = to_raw(messages)
    return marked_fields, _breakpoint_report(count)


def _add_breakpoint_to_tools(fields: Fields, cache_control: Json) -> int:
    tools = _decode_array(fields["tools"])
    for index in range(len(tools) - 1, -1, -1):
        tool = _decode_object(tools[index])
        if tool and bytes(tool.get("defer_loading", b"")) != b"true":
            tools[index] = to_raw(tool | {"cache_control": cache_control})
            fields["tools"] = to_raw(tools)
            return 1
    return 0


def _add_breakpoint_to_system_message(
    messages: list[msgspec.Raw], types: frozenset[str], cache_control: Json
) -> int:
    """Mark the last of the messages with instructions at the start of a Chat request."""
    last_index, last_message = -1, {}
    for index, raw in enumerate(messages):
        message = _decode_object(raw)
        if _decode_text(message.get("role")) not in _SYSTEM_ROLES:
            break
        last_index, last_message = index, message
    return (
        _add_breakpoint_to_message(messages, last_index, last_message, types, cache_control)
        if last_index >= 0
        else 0
    )


def _add_breakpoints_to_messages(
    messages: list[msgspec.Raw],
    user_roles: frozenset[str],
    types: frozenset[str],
    cache_control: Json,
) -> int:
    """Mark the last user turns; return their number. Consecutive messages count as one."""
    marked_count, in_user_turn = 0, False
    for index in range(len(messages) - 1, -1, -1):
        message = _decode_object(messages[index])
        if _decode_text(message.get("role")) not in user_roles:
            in_user_turn = False
        elif not in_user_turn and _add_breakpoint_to_message(
            messages, index, message, types, cache_control
        ):
            in_user_turn = True
            marked_count += 1
            if marked_count == MAX_TURNS:
                break
    return marked_count


def _add_breakpoint_to_message(
    messages: list[msgspec.Raw],
    index: int,
    message: Mapping[str, msgspec.Raw],
    types: frozenset[str],
    cache_control: Json,
) -> int:
    content = _content_with_breakpoint(message.get("content"), types, cache_control)
    if content is None:
        return 0
    messages[index] = to_raw({**message, "content": content})
    return 1


def _content_with_breakpoint(
    raw: msgspec.Raw | None, types: frozenset[str], cache_control: Json
) -> msgspec.Raw | None:
    """A content, text or a list of parts, with its last part marked; None if none can be."""
    if raw is None:
        return None
    text = _decode_text(raw)
    if text is not None:
        part = {"type": "text", "text": text, "cache_control": cache_control}
        return to_raw([part]) if text.strip() else None
    parts = _decode_array(raw)
    for index in range(len(parts) - 1, -1, -1):
        fields = _decode_object(parts[index])
        kind = _decode_text(fields.get("type"))
        if kind not in types or (
            kind == "text" and not (_decode_text(fields.get("text")) or "").strip()
        ):
            continue
        parts[index] = to_raw(fields | {"cache_control": cache_control})
        return to_raw(parts)
    return None


def _decode_text(raw: msgspec.Raw | None) -> str | None:
    """The string; None for any other value."""
    if raw is None:
        return None
    try:
        return _string_decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _decode_array(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    """The elements; empty for anything but a list, which the upstream rejects."""
    if raw is None:
        return []
    try:
        return _array_decoder.decode(raw)
    except msgspec.ValidationError:
        return []


def _decode_object(raw: msgspec.Raw) -> Fields:
    """The fields; empty for anything but an object."""
    try:
        return _object_decoder.decode(raw)
    except msgspec.ValidationError:
        return {}
