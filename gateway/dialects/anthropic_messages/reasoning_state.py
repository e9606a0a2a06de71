"""State in messages that pass through: tokens become the model's own thinking or are left out.

So is all thinking where the provider refuses what it holds.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.signature import is_from_target, recover_reasoning_text, unwrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.shared import state_tokens
from gateway.dialects.shared.state_tokens import (
    REASONING_REFUSED,
    Fields,
    foreign_reasoning_drop,
    is_token,
)
from gateway.dialects.shared.web_search import is_foreign

_THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})
_THINKING_MARKERS = (b'"thinking"', b'"redacted_thinking"')


def replace_tokens(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body with the target's own thinking for each token, and a record of the others."""
    return state_tokens.replace_tokens(fields, "messages", _replace_message_thinking, traits)


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without thinking blocks, and an adaptation for each."""
    return state_tokens.edit_items(
        fields, "messages", _THINKING_MARKERS, _drop_message_thinking, traits
    )


def _replace_message_thinking(
    message: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    """The message without thinking of other models; None if it held nothing else."""
    return _replace_blocks(
        message,
        path,
        lambda block, block_path: _replace_block_token(block, block_path, traits, report),
    )


def _drop_message_thinking(
    message: Json, path: str, _: Traits, report: list[Adaptation]
) -> Json | None:
    """The message without thinking; None if it held nothing else."""

    def drop_thinking(block: Json, block_path: str) -> Json | None:
        if block.get("type") not in _THINKING_TYPES:
            return block
        report.append(dropped(block_path, REASONING_REFUSED))
        return None

    return _replace_blocks(message, path, drop_thinking)


def _replace_blocks(
    message: Json, path: str, replace_block: Callable[[Json, str], Json | None]
) -> Json | None:
    """The message with each block replaced or left out; None if none is left."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    blocks: list[object] = []
    for index, block in enumerate(content):
        block_path = f"{path}.content[{index}]"
        replacement = replace_block(block, block_path) if isinstance(block, dict) else block
        if replacement is not None:
            blocks.append(replacement)
    return {**message, "content": blocks} if blocks else None


def _replace_block_token(
    block: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    block_type = block.get("type")
    if is_foreign(block):
        report.append(dropped(path, "a search of another provider"))
        return None
    token = block.get(
        {"thinking": "signature", "redacted_thinking": "data"}.get(str(block_type), "")
    )
    if not is_token(token):
        return block
    thinking_text, signature = recover_reasoning_text(
        str(block.get("thinking", "")), unwrap_signature(str(token))
    )
    if signature is None or not is_from_target(signature, traits):
        report.append(foreign_reasoning_drop(path))
        return None
    if block_type == "redacted_thinking":
        return {**block, "data": signature.value}
    return {**block, "thinking": thinking_text, "signature": signature.value}
