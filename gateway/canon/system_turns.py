"""System messages for targets that take them only at the start of a conversation."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.request import Part, Request, Text, ToolResult, Turn

# The tags in which Claude Code puts text that its user did not write.
_REMINDER_START, _REMINDER_END = "<system-reminder>\n", "\n</system-reminder>"


def merge_system_turns(request: Request, *, in_results: bool) -> tuple[Request, list[Adaptation]]:
    """The request without system turns, and what had to be changed for it.

    Leading ones join the instructions. A later one becomes text of the user turn before it,
    else of the one after it, else a user turn of its own. With `in_results`, text after tool
    results becomes part of the last result: such a target takes no user message there.
    Call it after `pair_tool_results`.
    """
    if all(turn.role != "system" for turn in request.turns):
        return request, []
    start = _first_conversation_turn(request.turns)
    leading_parts = [part for turn in request.turns[:start] for part in turn.parts]
    instructions = (
        *request.instructions,
        *(part for part in leading_parts if isinstance(part, Text)),
    )
    report = [
        dropped_field(f"{turn.path}.name", "no equivalent")
        for turn in request.turns
        if turn.role == "system" and turn.name is not None
    ]
    report += [
        dropped_field(part.path, "no equivalent")
        for part in leading_parts
        if not isinstance(part, Text)
    ]
    runs = _group_runs(request.turns[start:], report)
    turns = tuple(_merge_run(run, in_results=in_results) for run in runs)
    return replace(request, instructions=instructions, turns=turns), report


def _first_conversation_turn(turns: tuple[Turn, ...]) -> int:
    """The index of the first turn that is not a system turn."""
    return next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))


def _group_runs(turns: Iterable[Turn], report: list[Adaptation]) -> list[list[Turn]]:
    """The turns grouped so that each group becomes one turn."""
    runs: list[list[Turn]] = []
    for turn in turns:
        if turn.role == "system":
            reason = (
                "sent as text in the user's turn: the target accepts system messages only at "
                "the start"
            )
            if turn.path:
                report.append(approximated_field(turn.path, reason))
        last_run = runs[-1] if runs else []
        # A user turn that follows another, with no system turn between, stays by itself.
        joins = turn.role == "system" or (bool(last_run) and last_run[-1].role == "system")
        if last_run and joins and turn.role != "assistant" and last_run[0].role != "assistant":
            last_run.append(turn)
        else:
            runs.append([turn])
    return runs


def _merge_run(run: list[Turn], *, in_results: bool) -> Turn:
    """One turn for a group of turns that may contain system turns."""
    if len(run) == 1 and run[0].role != "system":
        return run[0]
    users = [turn for turn in run if turn.role == "user"]
    results = [p for turn in users for p in turn.parts if isinstance(p, ToolResult)]
    text_parts: list[Part] = []
    for turn in users:
        text_parts += [part for part in turn.parts if not isinstance(part, ToolResult)]
    if in_results and results and not text_parts:
        reminders = [part for turn in run if turn.role == "system" for part in _as_reminders(turn)]
        results[-1] = replace(results[-1], parts=(*results[-1].parts, *reminders))
    else:
        text_parts = [part for turn in run for part in _text_parts(turn)]
    effort = next((turn.effort for turn in reversed(run) if turn.effort), None)
    first = users[0] if users else replace(run[0], role="user")
    return replace(first, parts=(*results, *text_parts), effort=effort)


def _text_parts(turn: Turn) -> list[Part]:
    if turn.role == "system":
        return _as_reminders(turn)
    return [part for part in turn.parts if not isinstance(part, ToolResult)]


def _as_reminders(turn: Turn) -> list[Part]:
    """The parts of a system turn, their texts marked as the system's."""
    return [
        replace(part, text=f"{_REMINDER_START}{part.text}{_REMINDER_END}")
        if isinstance(part, Text) and part.text
        else part
        for part in turn.parts
    ]
