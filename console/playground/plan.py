"""The plan of a run: prompts, settings and models. `plan_parser` reads it from the page."""

from __future__ import annotations

from typing import Any

import msgspec

from console.playground.logged_settings import LoggedBody, LoggedSettings
from gateway.canon.request import Turn

MAX_COLUMNS = 8
MAX_REPEATS = 20
COLUMN_LETTERS = "ABCDEFGH"
# Schema of a tool without arguments.
EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool definition. `mock` is returned as the result of its calls, and the model continues."""

    name: str
    description: str = ""
    schema: dict[str, Any] = {}
    mock: Any = None


class ExpectedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that a correct response makes; `arguments` None accepts any."""

    name: str
    arguments: dict[str, Any] | None = None


class GenerationParams(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling and output parameters; None is not sent."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None


class PromptSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings besides the messages; a column may override each of them.

    `logged_settings` are those of a logged request, for what the page does not display.
    """

    system: str = ""
    params: GenerationParams = GenerationParams()
    tools: tuple[Tool, ...] = ()
    expected: tuple[ExpectedCall, ...] = ()
    schema: dict[str, Any] | None = None
    logged_settings: LoggedSettings | None = None


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One model with its settings and its conversation."""

    id: str
    model: str
    settings: PromptSettings = PromptSettings()
    turns: tuple[Turn, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A complete run: each column answers its own conversation.

    `blind` hides the models of the columns until the user has voted; `preset` is the
    preset whose scoreboard counts the vote. `logged` is the body that an unedited request
    sends again.
    """

    dialect: str
    columns: tuple[Column, ...]
    repeat: int = 1
    stream: bool = True
    blind: bool = False
    preset: str = ""
    logged: LoggedBody | None = None
