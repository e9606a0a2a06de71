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


class _ToolExchange:
    """Consecutive assistant turns, the results of their calls, and the turns after them."""

    def __init__(
        self,
        assistant_turns: list[Turn],
        calls: list[tuple[str, ToolCall]],
        report: list[Adaptation],
    ) -> None:
        self.assistant_turns = assistant_turns
        self.report = report
        self.results: list[Part] = []
        self.other_turns: list[Turn] = []
        # Calls without a result, by the id that the client used.
        self.pending_calls: dict[str, deque[ToolCall]] = {}
        for original, call in calls:
            self.pending_calls.setdefault(original, deque()).append(call)

    def add_result(self, result: ToolResult) -> None:
        """Add the result of a pending call.

        It gets the call's name: some clients send another one, which Gemini rejects.
        """
        call = self.pending_calls[result.id].popleft()
        self.results.append(replace(result, id=call.id, name=call.name, custom=call.custom))

    def complete(self) -> list[Turn]:
        """The turns, with a result for each call before the other turns."""
        for calls in self.pending_calls.values():
            self.results += [_missing_result(call, self.report) for call in calls]
        return [*self.assistant_turns, *_prepend_results(self.results, self.other_turns)]


def pair_tool_results(request: Request) -> tuple[Request, list[Adaptation]]:
    """The request with calls and results paired, and a report of the changes."""
    if not _has_calls_or_results(request.turns):
        return request, []
    exchanges: list[_ToolExchange] = []
    # The exchanges with a call that still has no result, by the call's id.
    incomplete: dict[str, _ToolExchange] = {}
    ids = UnusedIds(call.id for call in _tool_calls(request.turns))
    seen_ids: set[str] = set()
    for assistant_turns, reply_turns in _split_exchanges(request.turns):
        report: list[Adaptation] = []
        renamed_turns, calls = _deduplicate_call_ids(
            _merge_call_turns(assistant_turns), seen_ids, ids, report
        )
        exchange = _ToolExchange(renamed_turns, calls, report)
        exchanges.append(exchange)
        _attach_results(exchange, reply_turns, incomplete, seen_ids)
        for call_id, pending_calls in exchange.pending_calls.items():
            if pending_calls:
                incomplete[call_id] = exchange
    turns = tuple(turn for exchange in exchanges for turn in exchange.complete())
    return replace(request, turns=turns), [row for item in exchanges for row in item.report]


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
    exchange: _ToolExchange,
    reply_turns: list[Turn],
    incomplete: Mapping[str, _ToolExchange],
    seen_ids: set[str],
) -> None:
    """Add each result to its call, which may be in an earlier exchange; drop all others."""
    follows_text = False
    for turn in reply_turns:
        other_parts: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                other_parts.append(part)
                follows_text = True
                continue
            owner = exchange if exchange.pending_calls.get(part.id) else incomplete.get(part.id)
            if owner is None or not owner.pending_calls[part.id]:
                reason = _unmatched_reason(part.id, seen_ids)
                exchange.report.append(dropped_field(part.path, reason))
                continue
            owner.add_result(part)
            if follows_text or owner is not exchange:
                reason = "moved next to its tool call"
                exchange.report.append(approximated_field(part.path, reason))
        if other_parts or not turn.parts or turn.name:
            is_changed = len(other_parts) < len(turn.parts)
            exchange.other_turns.append(
                replace(turn, parts=tuple(other_parts)) if is_changed else turn
            )
        elif turn is reply_turns[0] and turn.role == "user":
            exchange.other_turns.append(replace(turn, parts=()))


def _prepend_results(results: list[Part], turns: list[Turn]) -> list[Turn]:
    """The turns with the results at the start of the first user turn, or in a turn before it."""
    if turns and turns[0].role == "user" and (results or not turns[0].parts):
        first = replace(turns[0], parts=(*results, *turns[0].parts))
        return [first, *turns[1:]] if first.parts else turns[1:]
    if results:
        return [Turn(role="user", parts=tuple(results)), *turns]
    return turns


def _unmatched_reason(call_id: str, seen_ids: set[str]) -> str:
    """Why a result is not sent."""
    if call_id in seen_ids:
        return "its tool call already has a result"
    return f"no tool call before it has the id {call_id[:100]!r}"


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
