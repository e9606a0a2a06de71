"""A plan: what is asked of which models. `document` reads one from the page's JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Turn

MOST_COLUMNS = 8
MOST_REPEATS = 20
MOST_CASES = 100
# All answers of one run; a matrix with repetitions grows fast.
MOST_ANSWERS = 800
LETTERS = "ABCDEFGH"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool on offer. With a `mock` its calls are answered by it, and the model goes on."""

    name: str
    description: str = ""
    schema: dict[str, Any] = {}
    mock: Any = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a good answer makes; `arguments` None means any."""

    name: str
    arguments: dict[str, Any] | None = None


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn; None where nothing is sent."""

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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked beside the messages; a column may have its own of each."""

    system: str = ""
    params: Params = Params()
    tools: tuple[Tool, ...] = ()
    expected: tuple[Expected, ...] = ()
    schema: dict[str, Any] | None = None


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One model with its settings. `turns` is its own dialogue so far, if it has one."""

    id: str
    model: str
    settings: Settings = Settings()
    turns: tuple[Turn, ...] | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a matrix. `expected` and `schema` None mean the columns' own."""

    name: str
    turns: tuple[Turn, ...]
    expected: tuple[Expected, ...] | None = None
    schema: dict[str, Any] | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. Outside a matrix `cases` is one without a name.

    `blind` hides which model a column is until there is a vote; `preset` says whose
    scoreboard the vote counts for.
    """

    dialect: str
    columns: tuple[Column, ...]
    cases: tuple[Case, ...]
    matrix: bool = False
    repeat: int = 1
    stream: bool = True
    blind: bool = False
    preset: str = ""


def settings_for(column: Column, case: Case) -> Settings:
    """What is asked of a column in a case of the matrix."""
    changes: dict[str, Any] = {}
    if case.expected is not None:
        changes["expected"] = case.expected
    if case.schema is not None:
        changes["schema"] = case.schema
    return msgspec.structs.replace(column.settings, **changes)


def turns_for(column: Column, case: Case) -> tuple[Turn, ...]:
    """The dialogue that a column answers."""
    return case.turns if column.turns is None else column.turns
