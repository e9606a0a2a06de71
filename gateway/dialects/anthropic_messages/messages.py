"""Instructions and turns: a client's messages to canonical turns, and back for a provider.

The API requires that the first message is the user's, no text is empty, roles alternate,
tool results come first in the turn after their calls, and a system message comes only
between a user turn and an assistant turn.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Native, Reasoning, Role, Text, ToolCall, Turn
from gateway.canon.turns import pair_tool_results
from gateway.dialects.anthropic_messages.blocks import (
    parse_content,
    parse_system_message,
    render_blocks,
    render_text,
)
from gateway.dialects.anthropic_messages.context import Json, RenderContext
from gateway.dialects.anthropic_messages.reasoning import parse_effort
from gateway.dialects.shared.fields import required_messages, text
from gateway.dialects.shared.render_context import PLACEHOLDER_TEXT

# --- a client's messages --------------------------------------------------------------------------

_ROLES = get_args(Role)
_SYSTEM_FIELDS = frozenset({"role", "content", "output_config"})


def parse_turns(body: Json, extra: Json) -> tuple[Turn, ...]:
    """The conversation. Raises GatewayError naming the message at fault."""
    messages = required_messages(body)
    return tuple(
        [_parse_turn(message, f"messages[{i}]", extra) for i, message in enumerate(messages)]
    )


def _parse_turn(message: Json, path: str, extra: Json) -> Turn:
    role: Any = message.get("role")
    if role not in _ROLES:
        role_path = f"{path}.role"
        role_value = text(message, "role", path)
        problem = "it is missing" if role_value is None else f"not {role_value[:60]!r}"
        raise invalid(f"{role_path} must be one of {', '.join(_ROLES)}, {problem}", role_path)
    if role != "system":
        return Turn(role=role, parts=parse_content(message, path, extra), path=path)
    if not message.keys() <= _SYSTEM_FIELDS:
        extra |= {f"{path}.{key}": message[key] for key in message if key not in _SYSTEM_FIELDS}
    role_path = path if type(message.get("content")) is str else f"{path}.content"
    parts = parse_system_message(message.get("content"), role_path, extra)
    return Turn(role=role, parts=parts, effort=parse_effort(message, path), path=path)


# --- a provider's messages ------------------------------------------------------------------------

# A last assistant message that ends with one of these is a prefill.
_PREFILL_BLOCK_TYPES = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "document"})
# Parts that only an assistant message can contain.
_ASSISTANT_PARTS = frozenset({Reasoning, ToolCall})
# Block types that the API rejects in an assistant message.
_NOT_IN_ASSISTANT_TURNS = frozenset({"image", "search_result", "tool_result"})


class _RenderedTurn(msgspec.Struct):
    """A turn and its rendered blocks."""

    turn: Turn
    role: str
    blocks: list[Json]


def render_system(context: RenderContext) -> list[Json]:
    """The blocks of the instructions."""
    blocks: list[Json] = []
    for part in context.sent_instructions():
        blocks += render_text(context, part)
    return blocks


def render_messages(context: RenderContext, system: list[Json]) -> list[Json]:
    """The messages; instructions that are not accepted among them are added to `system`."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    rendered_turns: list[_RenderedTurn] = []
    empty_turns: list[Turn] = []
    has_system_message = False
    for turn in context.request.turns:
        blocks = _render_turn(context, turn)
        if blocks:
            rendered_turns.append(_RenderedTurn(turn, turn.role, blocks))
            has_system_message = has_system_message or turn.role == "system"
        else:
            empty_turns.append(turn)
    for turn in empty_turns:
        _apply_effort_to_request(context, turn)
    if has_system_message:
        rendered_turns = _arrange_system_messages(context, rendered_turns, system)
    messages = _merge_messages(context, rendered_turns)
    if not messages or messages[0]["role"] == "assistant":
        context.report_placeholder()
        messages.insert(
            0, {"role": "user", "content": [{"type": "text", "text": PLACEHOLDER_TEXT}]}
        )
    if messages[-1]["role"] == "assistant":
        _check_prefill(context, rendered_turns[-1].turn, messages[-1]["content"])
    return messages


def _render_turn(context: RenderContext, turn: Turn) -> list[Json]:
    if turn.name is not None:
        context.drop(f"{turn.path}.name", "no equivalent")
    parts = turn.parts
    if turn.role != "assistant":
        for part in parts:
            if type(part) in _ASSISTANT_PARTS:
                context.drop(
                    part.path, "only assistant messages can contain reasoning and tool calls"
                )
        parts = tuple([part for part in parts if type(part) not in _ASSISTANT_PARTS])
    elif any(type(part) is ToolCall for part in parts):
        # Clients often send an empty text next to calls: omitting it is no loss.
        parts = tuple([part for part in parts if type(part) is not Text or part.text or part.cache])
    if turn.role == "system":
        for part in parts:
            if not isinstance(part, Text | Native):
                context.drop(part.path, "a system message can only contain text")
        parts = tuple(part for part in parts if isinstance(part, Text | Native))
    blocks = render_blocks(context, parts)
    if turn.role == "assistant":
        blocks = _filter_assistant_blocks(context, turn, blocks)
    elif turn.role == "user":
        for block in blocks:
            if block.get("citations") and block.get("type") == "text":
                context.requires_older_version = True
    return blocks


def _filter_assistant_blocks(context: RenderContext, turn: Turn, blocks: list[Json]) -> list[Json]:
    """The blocks that are allowed in an assistant message."""
    allowed_blocks = [block for block in blocks if block.get("type") not in _NOT_IN_ASSISTANT_TURNS]
    if len(allowed_blocks) < len(blocks):
        context.drop(turn.path, "media in an assistant message")
    # The newer version refuses documents here; the older one takes them.
    context.requires_older_version = context.requires_older_version or any(
        block.get("type") == "document" for block in allowed_blocks
    )
    return allowed_blocks


# --- system messages ------------------------------------------------------------------------------


def _arrange_system_messages(
    context: RenderContext, rendered_turns: list[_RenderedTurn], system: list[Json]
) -> list[_RenderedTurn]:
    """The turns without those system messages that are not accepted in their position."""
    remaining_turns: list[_RenderedTurn] = []
    previous_turn: _RenderedTurn | None = None
    for rendered_turn, next_turn in zip(
        rendered_turns, _next_conversation_turns(rendered_turns), strict=True
    ):
        if rendered_turn.role != "system":
            previous_turn = rendered_turn
            remaining_turns.append(rendered_turn)
        elif context.traits.mid_system and _may_send_system_message(previous_turn, next_turn):
            remaining_turns.append(rendered_turn)
        elif next_turn is None and previous_turn is not None and previous_turn.role == "assistant":
            remaining_turns += _render_system_as_user(context, rendered_turn)
        else:
            # Before the conversation, its place is the same.
            if previous_turn is not None:
                _report_hoisted_system_message(context, rendered_turn.turn)
            _apply_effort_to_request(context, rendered_turn.turn)
            system += _select_text_blocks(context, rendered_turn)
    return remaining_turns


def _next_conversation_turns(rendered_turns: list[_RenderedTurn]) -> list[_RenderedTurn | None]:
    """For each turn, the next one that is not a system message."""
    next_turns: list[_RenderedTurn | None] = []
    next_turn: _RenderedTurn | None = None
    for rendered_turn in reversed(rendered_turns):
        next_turns.append(next_turn)
        next_turn = rendered_turn if rendered_turn.role != "system" else next_turn
    return next_turns[::-1]


def _may_send_system_message(
    previous_turn: _RenderedTurn | None, next_turn: _RenderedTurn | None
) -> bool:
    """Whether it follows a user turn or a server tool's result, and no user turn follows it."""
    if previous_turn is None or (next_turn is not None and next_turn.role != "assistant"):
        return False
    return previous_turn.role == "user" or _is_server_result(previous_turn.blocks[-1])


def _is_server_result(block: Json) -> bool:
    block_type = str(block.get("type", ""))
    return block_type.endswith("_tool_result") and block_type != "tool_result"


def _report_hoisted_system_message(context: RenderContext, turn: Turn) -> None:
    reason = "mid-conversation system hoisted: it may only follow a user turn and end or precede"
    if not context.traits.mid_system:
        reason = f"{context.model} has no mid-conversation system messages"
        reason = f"mid-conversation system hoisted: {reason}"
    context.approximate(turn.path, reason)


def _render_system_as_user(
    context: RenderContext, rendered_turn: _RenderedTurn
) -> list[_RenderedTurn]:
    """Render a final system message as a user message, as no assistant turn may be last."""
    context.approximate(
        rendered_turn.turn.path, "system message after the assistant's turn sent as a user message"
    )
    _apply_effort_to_request(context, rendered_turn.turn)
    text_blocks = _select_text_blocks(context, rendered_turn)
    for block in text_blocks:
        block["text"] = f"<system>\n{block['text']}\n</system>"
    return [_RenderedTurn(rendered_turn.turn, "user", text_blocks)] if text_blocks else []


def _select_text_blocks(context: RenderContext, rendered_turn: _RenderedTurn) -> list[Json]:
    """The text blocks of a moved system message; tool changes apply in their position only."""
    text_blocks = [block for block in rendered_turn.blocks if block.get("type") == "text"]
    if len(text_blocks) < len(rendered_turn.blocks):
        context.drop(
            f"{rendered_turn.turn.path}.content", "a change of tools applies only from its position"
        )
    return text_blocks


def _apply_effort_to_request(context: RenderContext, turn: Turn) -> None:
    if turn.effort is not None:
        context.effort_override = turn.effort
        context.approximate(f"{turn.path}.output_config.effort", "applies to the whole request")


# --- messages -------------------------------------------------------------------------------------


def _merge_messages(context: RenderContext, rendered_turns: list[_RenderedTurn]) -> list[Json]:
    """Merge consecutive messages of the same role."""
    messages: list[Json] = []
    for rendered_turn in rendered_turns:
        if messages and messages[-1]["role"] == rendered_turn.role:
            messages[-1]["content"] += rendered_turn.blocks
        else:
            messages.append({"role": rendered_turn.role, "content": list(rendered_turn.blocks)})
        if rendered_turn.role == "system" and rendered_turn.turn.effort is not None:
            _render_turn_effort(context, rendered_turn.turn, messages[-1])
    return messages


def _render_turn_effort(context: RenderContext, turn: Turn, message: Json) -> None:
    """A system message's own effort; only clients of this dialect bring the beta for it."""
    if context.same_dialect:
        message["output_config"] = {"effort": turn.effort}
    else:
        _apply_effort_to_request(context, turn)


def _check_prefill(context: RenderContext, turn: Turn, content: list[Json]) -> None:
    """Check that the model can continue a final assistant message."""
    last_block = content[-1]
    if last_block.get("type") not in _PREFILL_BLOCK_TYPES:
        return  # a server tool's turn that was paused
    if not context.traits.prefill:
        raise context.prefill_error(turn.path or "messages")
    if last_block.get("type") == "text" and last_block["text"] != last_block["text"].rstrip():
        context.approximate(turn.path, "whitespace at the end of the assistant's text removed")
        last_block["text"] = last_block["text"].rstrip()
