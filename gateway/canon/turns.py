"""Turns of a conversation put into the order that every provider demands.

After `repaired`: the turn after an assistant turn with calls is a user turn that
begins with exactly one result for each of them; no other results are left; no two
calls of a history share an id. Renderers apply it first and then only print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.request import Part, Request, Text, ToolCall, ToolResult, Turn

NO_RESULT = "[no result provided]"


def repaired(request: Request) -> tuple[Request, list[Adaptation]]:
    """The request with calls and results paired, and what had to be changed for it."""
    if not any(isinstance(p, ToolCall | ToolResult) for t in request.turns for p in t.parts):
        return request, []
    report: list[Adaptation] = []
    turns: list[Turn] = []
    taken: set[str] = {call.id for turn in request.turns for call in _calls([turn])}
    met: set[str] = set()
    for spoken, heard in _exchanges(request.turns):
        said, calls = _with_own_ids(_one_call_turn(spoken), met, taken, report)
        turns += said
        turns += _answered(heard, calls, report)
    return replace(request, turns=tuple(turns)), report


def merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns with neighbours of one role joined; `at` and `name` are the first one's."""
    out: list[Turn] = []
    for turn in turns:
        if out and out[-1].role == turn.role:
            effort = turn.effort or out[-1].effort
            out[-1] = replace(out[-1], parts=out[-1].parts + turn.parts, effort=effort)
        else:
            out.append(turn)
    return tuple(out)


def _calls(turns: Iterable[Turn]) -> Iterator[ToolCall]:
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                yield part


def _exchanges(turns: tuple[Turn, ...]) -> Iterator[tuple[list[Turn], list[Turn]]]:
    """Runs of assistant turns, each with the turns up to the next run."""
    spoken: list[Turn] = []
    heard: list[Turn] = []
    for turn in turns:
        if turn.role != "assistant":
            heard.append(turn)
            continue
        if heard:
            yield spoken, heard
            spoken, heard = [], []
        spoken.append(turn)
    yield spoken, heard


def _one_call_turn(spoken: list[Turn]) -> list[Turn]:
    """Assistant turns such that only the last holds calls, as results must follow at once."""
    if any(_calls(spoken[:-1])):
        return list(merged(spoken))
    return spoken


def _with_own_ids(
    spoken: list[Turn], met: set[str], taken: set[str], report: list[Adaptation]
) -> tuple[list[Turn], list[tuple[str, ToolCall]]]:
    """The turns with unique call ids, and each call beside the id the client gave it."""
    calls: list[tuple[str, ToolCall]] = []
    said: list[Turn] = []
    for turn in spoken:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                original = part.id
                if original in met:
                    part = replace(part, id=_free(original, taken))
                    why = "another call of this conversation has the same id"
                    report.append(
                        approximated(f"{part.at}.id", why, before=original, after=part.id)
                    )
                met.add(part.id)
                calls.append((original, part))
            parts.append(part)
        said.append(replace(turn, parts=tuple(parts)))
    return said, calls


def _free(call_id: str, taken: set[str]) -> str:
    count = 2
    while (candidate := f"{call_id}_{count}") in taken:
        count += 1
    taken.add(candidate)
    return candidate


def _answered(
    heard: list[Turn], calls: list[tuple[str, ToolCall]], report: list[Adaptation]
) -> list[Turn]:
    """The turns with one result for each call at their head and no other results."""
    owed: dict[str, list[ToolCall]] = {}
    for original, call in calls:
        owed.setdefault(original, []).append(call)
    results: list[Part] = []
    rest: list[Turn] = []
    other = False
    for turn in heard:
        kept: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                kept.append(part)
                other = True
            elif owed.get(part.id):
                results.append(_named(part, owed[part.id].pop(0)))
                if other:
                    report.append(approximated(part.at, "moved next to the call it answers"))
            else:
                report.append(dropped(part.at, f"no call has the id {part.id[:100]!r}"))
        if kept or not turn.parts or turn.name:
            rest.append(replace(turn, parts=tuple(kept)) if len(kept) < len(turn.parts) else turn)
        elif turn is heard[0] and turn.role == "user":
            rest.append(replace(turn, parts=()))
    results += [_missing(call, report) for calls_left in owed.values() for call in calls_left]
    return _headed(results, rest)


def _headed(results: list[Part], rest: list[Turn]) -> list[Turn]:
    """The turns with the results at the head of the first user turn, or in one of their own."""
    if rest and rest[0].role == "user" and (results or not rest[0].parts):
        first = replace(rest[0], parts=(*results, *rest[0].parts))
        return [first, *rest[1:]] if first.parts else rest[1:]
    if results:
        return [Turn(role="user", parts=tuple(results)), *rest]
    return rest


def _named(result: ToolResult, call: ToolCall) -> ToolResult:
    return replace(result, id=call.id, name=result.name or call.name, custom=call.custom)


def _missing(call: ToolCall, report: list[Adaptation]) -> ToolResult:
    report.append(approximated(call.at, f"no result follows this call; {NO_RESULT!r} is sent"))
    return ToolResult(
        id=call.id,
        parts=(Text(text=NO_RESULT),),
        is_error=True,
        name=call.name,
        custom=call.custom,
    )


def empty_texts(turn: Turn) -> list[Text]:
    """The texts of a turn that say nothing, but for those that clients write beside calls."""
    if any(isinstance(part, ToolCall) for part in turn.parts):
        return []
    return [part for part in turn.parts if isinstance(part, Text) and not part.text]
