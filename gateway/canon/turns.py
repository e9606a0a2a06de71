"""Turns of a conversation in the order that every provider requires.

`pair_tool_results` ensures that the turn after an assistant turn with calls is a user turn
that begins with exactly one result for each of them, that there are no other results, and that
no two calls of a history have the same id. Renderers call it first and rely on that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.call_ids import UnusedIds
from gateway.canon.request import Part, Request, Text, ToolCall, ToolResult, Turn

NO_RESULT = "[no result provided]"


def pair_tool_results(request: Request) -> tuple[Request, list[Adaptation]]:
    """The request with calls and results paired, and a report of the changes."""
    if not _has_calls_or_results(request.turns):
        return request, []
    report: list[Adaptation] = []
    turns: list[Turn] = []
    ids = UnusedIds(call.id for call in _tool_calls(request.turns))
    seen_ids: set[str] = set()
    for assistant_turns, reply_turns in _split_exchanges(request.turns):
        renamed_turns, calls = _deduplicate_call_ids(
            _merge_call_turns(assistant_turns), seen_ids, ids, report
        )
        turns += renamed_turns
        turns += _attach_results(reply_turns, calls, seen_ids, report)
    return replace(request, turns=tuple(turns)), report


def _has_calls_or_results(turns: tuple[Turn, ...]) -> bool:
    for turn in turns:
        for part in turn.parts:
            if type(part) is ToolCall or type(part) is ToolResult:
                return True
    return False


def merge_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns, consecutive ones of a role merged; `path` and `name` are those of the first."""
    return tuple(_join_turns(list(group)) for _, group in groupby(turns, key=attrgetter("role")))


def _join_turns(turns: list[Turn]) -> Turn:
    """One turn with all parts; the last of several efforts applies."""
    if len(turns) == 1:
        return turns[0]
    effort = next((turn.effort for turn in reversed(turns) if turn.effort), turns[0].effort)
    parts = tuple(part for turn in turns for part in turn.parts)
    return replace(turns[0], parts=parts, effort=effort)


def _tool_calls(turns: Iterable[Turn]) -> Iterator[ToolCall]:
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                yield part


def _split_exchanges(turns: tuple[Turn, ...]) -> Iterator[tuple[list[Turn], list[Turn]]]:
    """Runs of assistant turns, each with the turns up to the next run."""
    assistant_turns: list[Turn] = []
    reply_turns: list[Turn] = []
    for turn in turns:
        if turn.role != "assistant":
            reply_turns.append(turn)
            continue
        if reply_turns:
            yield assistant_turns, reply_turns
            assistant_turns, reply_turns = [], []
        assistant_turns.append(turn)
    yield assistant_turns, reply_turns


def _merge_call_turns(assistant_turns: list[Turn]) -> list[Turn]:
    """Assistant turns of which only the last has calls, as results must follow at once."""
    if any(_tool_calls(assistant_turns[:-1])):
        return list(merge_turns(assistant_turns))
    return assistant_turns


def _deduplicate_call_ids(
    assistant_turns: list[Turn], seen_ids: set[str], ids: UnusedIds, report: list[Adaptation]
) -> tuple[list[Turn], list[tuple[str, ToolCall]]]:
    """The turns with unique call ids, and each call with the id that the client used."""
    calls: list[tuple[str, ToolCall]] = []
    renamed_turns: list[Turn] = []
    for turn in assistant_turns:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                original = part.id
                if original in seen_ids:
                    part = replace(part, id=ids.create(original))
                    reason = "another tool call in this conversation has the same id"
                    report.append(
                        approximated_field(
                            f"{part.path}.id", reason, before=original, after=part.id
                        )
                    )
                seen_ids.add(part.id)
                calls.append((original, part))
            parts.append(part)
        renamed_turns.append(replace(turn, parts=tuple(parts)))
    return renamed_turns, calls


def _attach_results(
    reply_turns: list[Turn],
    calls: list[tuple[str, ToolCall]],
    seen_ids: set[str],
    report: list[Adaptation],
) -> list[Turn]:
    """The turns, beginning with one result for each call; other results are dropped."""
    pending_calls: dict[str, deque[ToolCall]] = {}
    for original, call in calls:
        pending_calls.setdefault(original, deque()).append(call)
    results: list[Part] = []
    remaining_turns: list[Turn] = []
    follows_text = False
    for turn in reply_turns:
        remaining_parts: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                remaining_parts.append(part)
                follows_text = True
            elif pending_calls.get(part.id):
                results.append(_match_result_to_call(part, pending_calls[part.id].popleft()))
                if follows_text:
                    report.append(approximated_field(part.path, "moved next to its tool call"))
            else:
                report.append(
                    dropped_field(part.path, _unmatched_reason(part.id, pending_calls, seen_ids))
                )
        if remaining_parts or not turn.parts or turn.name:
            remaining_turns.append(
                replace(turn, parts=tuple(remaining_parts))
                if len(remaining_parts) < len(turn.parts)
                else turn
            )
        elif turn is reply_turns[0] and turn.role == "user":
            remaining_turns.append(replace(turn, parts=()))
    results += [
        _missing_result(call, report)
        for unanswered in pending_calls.values()
        for call in unanswered
    ]
    return _prepend_results(results, remaining_turns)


def _prepend_results(results: list[Part], turns: list[Turn]) -> list[Turn]:
    """The turns with the results at the start of the first user turn, or in a turn before it."""
    if turns and turns[0].role == "user" and (results or not turns[0].parts):
        first = replace(turns[0], parts=(*results, *turns[0].parts))
        return [first, *turns[1:]] if first.parts else turns[1:]
    if results:
        return [Turn(role="user", parts=tuple(results)), *turns]
    return turns


def _unmatched_reason(
    call_id: str, answered_calls: Mapping[str, object], seen_ids: set[str]
) -> str:
    """Why a result is not sent."""
    if call_id in answered_calls:
        return "its tool call already has a result"
    if call_id in seen_ids:
        return "its tool call is not in the assistant message before it"
    return f"no tool call before it has the id {call_id[:100]!r}"


def _match_result_to_call(result: ToolResult, call: ToolCall) -> ToolResult:
    """The result with the call's name: some clients send another one, which Gemini rejects."""
    return replace(result, id=call.id, name=call.name, custom=call.custom)


def _missing_result(call: ToolCall, report: list[Adaptation]) -> ToolResult:
    report.append(
        approximated_field(call.path, f"this tool call has no result; {NO_RESULT!r} is sent")
    )
    return ToolResult(
        id=call.id,
        parts=(Text(text=NO_RESULT),),
        is_error=True,
        name=call.name,
        custom=call.custom,
    )


def join_cited_texts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts of a response, with texts joined that are separate only for their citations.

    Claude begins a new block in mid-sentence where a source is cited.
    """
    joined_parts: list[Part] = []
    run: list[Text] = []
    for part in parts:
        if isinstance(part, Text) and run and (part.citations or run[-1].citations):
            run.append(part)
            continue
        joined_parts += _join_texts(run)
        run = [part] if isinstance(part, Text) else []
        joined_parts += [] if isinstance(part, Text) else [part]
    return (*joined_parts, *_join_texts(run))


def _join_texts(run: list[Text]) -> list[Text]:
    if len(run) < 2:
        return run
    cited_text = next(part for part in run if part.citations)
    text = "".join(part.text for part in run)
    citations = tuple(citation for part in run for citation in part.citations)
    cache = next((part.cache for part in reversed(run) if part.cache), None)
    return [replace(cited_text, text=text, citations=citations, cache=cache)]


def find_empty_texts(turn: Turn) -> list[Text]:
    """The empty texts of a turn; none for a turn with calls, where clients often send one."""
    if any(isinstance(part, ToolCall) for part in turn.parts):
        return []
    return [part for part in turn.parts if isinstance(part, Text) and not part.text]
