"""A run as its public link shows it: the prompt if it is shared, and the responses.

Leaves out whose run it is, request ids, providers' error messages and reasoning.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from console.models import PlaygroundRun
from console.playground import run_store
from console.playground.plan import Column
from console.playground.results import ColumnResponse
from console.playground.validation import Invalid
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)


class SharedMessage(msgspec.Struct, frozen=True):
    """A message of the prompt as text."""

    role: str
    text: str


class SharedPrompt(msgspec.Struct, frozen=True):
    """The prompt of the columns `letters`."""

    letters: str
    messages: tuple[SharedMessage, ...]


class SharedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One response. `state` is `ok`, `stopped` or `failed`; times are in milliseconds."""

    letter: str
    repetition: int
    model: str
    text: str
    calls: tuple[tuple[str, str], ...]
    state: str
    first_token_ms: float | None
    total_ms: float | None
    tokens_per_s: float | None
    output_tokens: int | None
    cost_usd: float | None
    checks: tuple[tuple[str, bool], ...]


class SharedRun(msgspec.Struct, frozen=True):
    """Content of a shared run's page and image; `title` is empty if the prompt is not shared."""

    title: str
    prompts: tuple[SharedPrompt, ...]
    responses: tuple[SharedResponse, ...]


def shared_view(row: PlaygroundRun, *, with_prompt: bool) -> SharedRun:
    """The run, with or without its prompt."""
    responses = tuple(_shared_response(each) for each in run_store.results_of(row).by_key.values())
    title = (row.name or row.title) if with_prompt else row.name
    return SharedRun(title, _shared_prompts(row) if with_prompt else (), responses)


def _shared_response(response: ColumnResponse) -> SharedResponse:
    end: dict[str, Any] = response.end or {}
    status = end.get("status")
    return SharedResponse(
        letter=response.col,
        repetition=response.n + 1,
        model=response.model,
        text=response.text or response.refusal,
        calls=tuple((call.name, call.arguments) for call in response.calls),
        state=status if status == "ok" else "failed" if status == "error" else "stopped",
        first_token_ms=end.get("ttft_ms"),
        total_ms=end.get("total_ms"),
        tokens_per_s=end.get("tok_s"),
        output_tokens=end.get("output"),
        cost_usd=end.get("cost"),
        checks=tuple((name, bool(each.get("ok"))) for name, each in response.verdicts.items()),
    )


def _shared_prompts(row: PlaygroundRun) -> tuple[SharedPrompt, ...]:
    """The prompts, each with the columns that share it; empty if the document is outdated."""
    try:
        columns = run_store.plan_of(row).columns
    except Invalid:
        return ()
    letters_by_messages: dict[tuple[SharedMessage, ...], str] = {}
    for column in columns:
        messages = _shared_messages(column)
        letters_by_messages[messages] = letters_by_messages.get(messages, "") + column.id
    return tuple(SharedPrompt(letters, each) for each, letters in letters_by_messages.items())


def _shared_messages(column: Column) -> tuple[SharedMessage, ...]:
    system = column.settings.system
    messages = [SharedMessage("system", system)] if system else []
    for turn in column.turns:
        text = "\n".join(filter(None, map(_part_text, turn.parts)))
        messages.append(SharedMessage(turn.role, text))
    return tuple(messages)


def _part_text(part: Part) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case ToolCall():
            return f"{part.name}({part.arguments})"
        case ToolResult():
            return "\n".join(filter(None, map(_part_text, part.parts)))
        case Image():
            return "[image]"
        case Audio():
            return "[audio]"
        case Document():
            return "[document]"
        case Reasoning() | Native():
            return ""
        case _:
            assert_never(part)
