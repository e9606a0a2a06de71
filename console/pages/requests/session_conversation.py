"""The requests of a session as one conversation: each turn has only what its request adds.

A session may interleave several conversations (an agent and its sub-agents), so each request is
compared with all earlier ones and follows the one with which it shares most messages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from console.pages.requests.cache_breaks import CacheBreakReport, Finding
from console.pages.requests.canonical import (
    LoggedResponse,
    has_conversation,
    request_of,
    response_of,
)
from console.pages.requests.messages import Block, Conversation, Message, conversation_of
from console.pages.requests.sessions import Session, Step
from gateway import store
from gateway.canon.arguments import render_arguments
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.models import RequestLog

# The newest requests that are read, for at most this long.
MAX_TURNS = 40
BUDGET_S = 2.0


class SessionTurn(msgspec.Struct, kw_only=True):
    """One request of a session, without the messages that an earlier request has.

    Attributes:
        previous: the request that it continues; None for the first of a conversation.
        skips: whether other requests lie between it and the one that it continues.
        is_rewritten: whether it changed messages that the earlier request had sent.
        tool_ms: time from the response with tool calls to this request with their results.
        cache_loss: what the prompt cache did not serve.
    """

    step: Step
    conversation: Conversation
    previous: RequestLog | None = None
    skips: bool = False
    is_rewritten: bool = False
    tool_ms: float | None = None
    cache_loss: Finding | None = None


class _Item(msgspec.Struct, frozen=True):
    """A part of a conversation that can be compared, and the index of its turn."""

    key: tuple[str, ...]
    turn: int


class _ParsedStep(msgspec.Struct, kw_only=True):
    """A request with what its conversation has after the response."""

    turn: SessionTurn
    request: Request
    items: list[_Item]
    with_response: list[tuple[str, ...]]


class SessionConversation(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of a session, oldest first; `missing` requests are not displayed."""

    turns: list[SessionTurn]
    missing: int = 0

    @property
    def tool_ms(self) -> float | None:
        """Total time of the tools; None if no tools were used."""
        times = [turn.tool_ms for turn in self.turns if turn.tool_ms is not None]
        return sum(times) if times else None


def session_conversation(
    session: Session, cache_breaks: CacheBreakReport | None
) -> SessionConversation:
    """The newest turns of a session. Reads bodies: callers check the permission."""
    losses = (
        {f.cache_break.row.pk: f for f in cache_breaks.findings} if cache_breaks is not None else {}
    )
    parsed_steps: list[_ParsedStep] = []
    until = time.monotonic() + BUDGET_S
    for step in _readable_steps(session.steps):
        turn = _parse_step(step) if time.monotonic() < until else None
        if turn is not None:
            _continue_conversation(turn, parsed_steps)
            turn.turn.cache_loss = losses.get(step.row.pk)
            parsed_steps.append(turn)
    turns = [item.turn for item in parsed_steps]
    return SessionConversation(turns=turns, missing=len(session.steps) - len(turns))


def _readable_steps(steps: list[Step]) -> list[Step]:
    """The newest steps whose conversations can be read in time."""
    return [step for step in steps if has_conversation(step.row)][-MAX_TURNS:]


def _parse_step(step: Step) -> _ParsedStep | None:
    try:
        bodies = store.load_bodies(step.row.pk)
    except ValueError:
        bodies = None
    if bodies is None:
        return None
    logged_request, logged_response = request_of(step.row, bodies), response_of(step.row, bodies)
    if logged_request.request is None:
        return None
    items = [
        _Item(key, index)
        for index, turn in enumerate(logged_request.request.turns)
        for key in _message_keys(turn.role, turn.parts)
    ]
    return _ParsedStep(
        turn=SessionTurn(
            step=step, conversation=conversation_of(logged_request, logged_response, step.row.pk)
        ),
        request=logged_request.request,
        items=items,
        with_response=[item.key for item in items] + _response_keys(logged_response),
    )


def _response_keys(response: LoggedResponse) -> list[tuple[str, ...]]:
    return (
        list(_message_keys("assistant", response.response.parts))
        if response.response is not None
        else []
    )


def _message_keys(role: str, parts: tuple[Part, ...]) -> Iterator[tuple[str, ...]]:
    """Keys to compare a message of two requests by; reasoning that clients omit is left out."""
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text.strip():
                    yield role, "text", part.text.strip()
            case ToolCall():
                yield role, "call", part.name, render_arguments(part)
            case ToolResult():
                yield role, "result", *(p.text for p in part.parts if isinstance(p, Text))
            case Image() | Document() | Audio():
                yield role, "file", str(part.data)
            case Reasoning():
                continue
            case _:
                yield role, "other", str(part)


def _continue_conversation(parsed_step: _ParsedStep, earlier_steps: list[_ParsedStep]) -> None:
    """Remove what the request shares with the earlier one that it continues."""
    keys = [item.key for item in parsed_step.items]
    shared_count, previous_step = 0, None
    for candidate in reversed(earlier_steps):
        count = _common_count(keys, candidate.with_response)
        if count > shared_count:
            shared_count, previous_step = count, candidate
    if previous_step is None:
        return
    turn, row = parsed_step.turn, parsed_step.turn.step.row
    first_turn = (
        parsed_step.items[shared_count].turn
        if shared_count < len(keys)
        else len(parsed_step.request.turns)
    )
    before = previous_step.turn.step.row
    turn.previous, turn.skips = before, previous_step is not earlier_steps[-1]
    turn.is_rewritten = shared_count < len(previous_step.items)
    _copy_results(turn.conversation, previous_step.turn.conversation)
    _keep_new_messages(turn.conversation, first_turn)
    if parsed_step.request.instructions == previous_step.request.instructions:
        turn.conversation.system = None
    if parsed_step.request.tools == previous_step.request.tools:
        turn.conversation.tools = []
    if not turn.is_rewritten and _has_new_results(parsed_step.request, first_turn):
        gap = (row.started_at - before.started_at).total_seconds() * 1000 - before.duration_ms
        turn.tool_ms = max(0.0, gap)


def _common_count(keys: list[tuple[str, ...]], other_keys: list[tuple[str, ...]]) -> int:
    count = 0
    for key, other in zip(keys, other_keys, strict=False):
        if key != other:
            break
        count += 1
    return count


def _keep_new_messages(conversation: Conversation, first_turn: int) -> None:
    messages = [*conversation.earlier, *conversation.messages]
    conversation.earlier = []
    conversation.messages = [m for m in messages if m.turn is None or m.turn >= first_turn]


def _has_new_results(request: Request, first_turn: int) -> bool:
    """Whether the request adds results of tool calls."""
    new_parts = (part for turn in request.turns[first_turn:] for part in turn.parts)
    return any(isinstance(part, ToolResult) for part in new_parts)


def _copy_results(after: Conversation, before: Conversation) -> None:
    """Display results with the calls in the response of the earlier request."""
    results = {
        block.call_id: block.results for block in _tool_calls([*after.earlier, *after.messages])
    }
    for block in _tool_calls(before.responses):
        block.results = block.results or results.get(block.call_id, [])


def _tool_calls(messages: list[Message]) -> Iterator[Block]:
    for message in messages:
        yield from (block for block in message.blocks if block.kind == "call")
