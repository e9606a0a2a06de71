"""Instructions and turns -> a provider's system text and messages.

What the API demands: the first message is the user's, no text is empty, neighbours
of one role are one message, results stand first after the turn with their calls, and
a system message stands only between a user's turn and the model's.
"""

from __future__ import annotations

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Native, Reasoning, Text, ToolCall, Turn
from gateway.canon.turns import repaired
from gateway.dialects.anthropic_messages.blocks_out import blocks_out, text_out
from gateway.dialects.anthropic_messages.job import Job
from gateway.dialects.anthropic_messages.names import BILLING, Json

START = "(conversation start)"
# What an assistant may not say: only its answers, thoughts and calls are its own.
_SPOKEN = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "document"})
_NOT_SPOKEN = frozenset({"image", "search_result", "tool_result"})


class _Said(msgspec.Struct):
    """A turn and the blocks it came to."""

    turn: Turn
    role: str
    blocks: list[Json]


def system_out(job: Job) -> list[Json]:
    """The blocks of the instructions."""
    blocks: list[Json] = []
    for part in job.request.instructions:
        if part.text.startswith(BILLING):
            job.drop(part.at, "attribution block: of use to api.anthropic.com only")
        else:
            blocks += text_out(job, part)
    return blocks


def messages_out(job: Job, system: list[Json]) -> list[Json]:
    """The messages; instructions that may not stand among them are added to `system`."""
    job.request, report = repaired(job.request)
    job.report += report
    said = [_said(job, turn) for turn in job.request.turns]
    for item in said:
        if not item.blocks:
            _hold_effort(job, item.turn)
    said = _placed(job, [item for item in said if item.blocks], system)
    messages = _merged(job, said)
    if not messages or messages[0]["role"] == "assistant":
        where = "messages[0]" if messages else "messages"
        job.bend(where, "placeholder user turn inserted before leading assistant turn")
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": START}]})
    if messages[-1]["role"] == "assistant":
        _check_last(job, said[-1].turn, messages[-1]["content"])
    return messages


def _said(job: Job, turn: Turn) -> _Said:
    if turn.name is not None:
        job.drop(f"{turn.at}.name", "no equivalent")
    parts = turn.parts
    if turn.role != "assistant":
        for part in parts:
            if isinstance(part, Reasoning | ToolCall):
                job.drop(part.at, "only the assistant thinks and calls tools")
        parts = tuple(part for part in parts if not isinstance(part, Reasoning | ToolCall))
    if turn.role == "system":
        for part in parts:
            if not isinstance(part, Text | Native):
                job.drop(part.at, "a system message holds text only")
        parts = tuple(part for part in parts if isinstance(part, Text | Native))
    blocks = blocks_out(job, parts)
    if turn.role == "assistant":
        blocks = _spoken(job, turn, blocks)
    elif turn.role == "user" and any(block.get("citations") for block in blocks if _is_text(block)):
        job.older = True
    return _Said(turn, turn.role, blocks)


def _is_text(block: Json) -> bool:
    return block.get("type") == "text"


def _spoken(job: Job, turn: Turn, blocks: list[Json]) -> list[Json]:
    """The blocks that an assistant may say."""
    kept = [block for block in blocks if block.get("type") not in _NOT_SPOKEN]
    if len(kept) < len(blocks):
        job.drop(turn.at, "media in an assistant message")
    # The newer version refuses documents here; the older one takes them.
    job.older = job.older or any(block.get("type") == "document" for block in kept)
    return kept


# --- system messages -------------------------------------------------------------------


def _placed(job: Job, said: list[_Said], system: list[Json]) -> list[_Said]:
    """The turns without those system messages that may not stand where they are."""
    if all(item.role != "system" for item in said):
        return said
    kept: list[_Said] = []
    before: _Said | None = None
    for item, after in zip(said, _following(said), strict=True):
        if item.role != "system":
            before = item
            kept.append(item)
        elif job.traits.mid_system and _may_stand(before, after):
            kept.append(item)
        elif after is None and before is not None and before.role == "assistant":
            kept += _as_user(job, item)
        else:
            _hoist(job, item, system)
    return kept


def _following(said: list[_Said]) -> list[_Said | None]:
    """For each turn the next one that is not the system's."""
    found: list[_Said | None] = []
    after: _Said | None = None
    for item in reversed(said):
        found.append(after)
        after = item if item.role != "system" else after
    return found[::-1]


def _may_stand(before: _Said | None, after: _Said | None) -> bool:
    """After a user's turn (or a server tool's result), and last or before the model's."""
    if before is None or (after is not None and after.role != "assistant"):
        return False
    return before.role == "user" or _is_server_result(before.blocks[-1])


def _is_server_result(block: Json) -> bool:
    kind = str(block.get("type", ""))
    return kind.endswith("_tool_result") and kind != "tool_result"


def _hoist(job: Job, item: _Said, system: list[Json]) -> None:
    why = "mid-conversation system hoisted: it may only follow a user turn and end or precede"
    if not job.traits.mid_system:
        why = (
            f"mid-conversation system hoisted: {job.model} has no mid-conversation system messages"
        )
    job.bend(item.turn.at, why)
    _hold_effort(job, item.turn)
    system += _words(job, item)


def _as_user(job: Job, item: _Said) -> list[_Said]:
    """A last word of the system as the user's: hoisted, it would leave the model's turn last."""
    job.bend(item.turn.at, "system message after the assistant's turn sent as a user message")
    _hold_effort(job, item.turn)
    words = _words(job, item)
    for block in words:
        block["text"] = f"<system>\n{block['text']}\n</system>"
    return [_Said(item.turn, "user", words)] if words else []


def _words(job: Job, item: _Said) -> list[Json]:
    """The texts of a system message that is moved: a change of tools counts in its place only."""
    words = [block for block in item.blocks if _is_text(block)]
    if len(words) < len(item.blocks):
        job.drop(f"{item.turn.at}.content", "a change of tools counts where it stands")
    return words


def _hold_effort(job: Job, turn: Turn) -> None:
    if turn.effort is not None:
        job.effort = turn.effort
        job.bend(f"{turn.at}.output_config.effort", "holds for the whole request")


# --- messages --------------------------------------------------------------------------


def _merged(job: Job, said: list[_Said]) -> list[Json]:
    """The messages, neighbours of one role in one."""
    messages: list[Json] = []
    for item in said:
        if messages and messages[-1]["role"] == item.role:
            messages[-1]["content"] += item.blocks
        else:
            messages.append({"role": item.role, "content": list(item.blocks)})
        if item.role == "system" and item.turn.effort is not None:
            _put_effort(job, item.turn, messages[-1])
    return messages


def _put_effort(job: Job, turn: Turn, message: Json) -> None:
    """A system message's own effort; only clients of this dialect bring the beta for it."""
    if job.native:
        message["output_config"] = {"effort": turn.effort}
    else:
        _hold_effort(job, turn)


def _check_last(job: Job, turn: Turn, content: list[Json]) -> None:
    """Let a model go on with the assistant's words, or refuse where it can not."""
    last = content[-1]
    if last.get("type") not in _SPOKEN:
        return  # a server tool's turn that was paused
    if not job.traits.prefill:
        path = turn.at or "messages"
        why = f"{job.model} does not continue an assistant message; end with a user message"
        raise invalid(f"{path}: {why}", path)
    if _is_text(last) and last["text"] != last["text"].rstrip():
        job.bend(turn.at, "white space at the end of the assistant's words left out")
        last["text"] = last["text"].rstrip()
