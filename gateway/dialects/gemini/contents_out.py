"""Instructions and turns -> a provider's `systemInstruction` and `contents`.

What the API demands: roles take turns and the user begins, results stand after the turn
with their calls and in its order, and Gemini 3 wants a signature under the first call of
each step since the user last spoke.
"""

from __future__ import annotations

import re

from gateway.canon.errors import invalid
from gateway.canon.request import Part, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.canon.turns import repaired
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import SENTINEL, Json
from gateway.dialects.gemini.parts_out import parts_out

START = "(conversation start)"
# A block of Claude Code's that changes with each version and would spoil prompt caches.
_BILLING = "x-anthropic-billing-header:"
_LAST_INDEX = re.compile(r"\[\d+\]$")


def system_out(job: Job) -> list[Json]:
    """The parts of the instructions."""
    parts: list[Json] = []
    for part in job.request.instructions:
        if part.text.startswith(_BILLING):
            job.drop(part.at, "attribution block: of use to api.anthropic.com only")
        else:
            parts += parts_out(job, (part,))
    return parts


def contents_out(job: Job, system: list[Json]) -> tuple[list[Json], str | None]:
    """The contents, and the effort of a later turn; leading system turns go into `system`."""
    job.request, report = repaired(job.request)
    job.report += report
    effort: str | None = None
    contents: list[Json] = []
    last: Turn | None = None
    for turn in job.request.turns:
        if turn.name is not None:
            job.drop(f"{turn.at}.name", "no equivalent")
        effort = turn.effort or effort
        parts = _said(job, turn)
        if turn.role == "system":
            if not contents:
                job.bend(turn.at, "sent with the system instruction")
                system += parts
                continue
            parts = _as_user(job, turn, parts)
        if not parts:
            continue
        _add(contents, "model" if turn.role == "assistant" else "user", parts)
        last = turn
    _begin(job, contents)
    _check_last(job, contents, last)
    _sign(job, contents)
    return contents, effort


def _said(job: Job, turn: Turn) -> list[Json]:
    kept: list[Part] = []
    if turn.role == "assistant":
        called = any(isinstance(part, ToolCall) for part in turn.parts)
        for part in turn.parts:
            if isinstance(part, ToolResult):
                job.drop(part.at, "only the user gives results")
            elif not (called and isinstance(part, Text) and not part.text):
                kept.append(part)
        return parts_out(job, tuple(kept))
    for part in _in_call_order(job, turn):
        if isinstance(part, Reasoning) and not job.native:
            job.drop(part.at, "only the model thinks")
        elif isinstance(part, ToolCall):
            job.drop(part.at, "only the model calls tools")
        else:
            kept.append(part)
    return parts_out(job, tuple(kept))


def _in_call_order(job: Job, turn: Turn) -> tuple[Part, ...]:
    """The parts with the results first, in the order of their calls."""
    results = {part.id: part for part in turn.parts if isinstance(part, ToolResult)}
    if len(results) < 2:
        return turn.parts
    order = [
        part.id
        for other in job.request.turns
        if other.role == "assistant"
        for part in other.parts
        if isinstance(part, ToolCall) and part.id in results
    ]
    sorted_results = [results[call_id] for call_id in dict.fromkeys(order)]
    return (*sorted_results, *(p for p in turn.parts if not isinstance(p, ToolResult)))


def _as_user(job: Job, turn: Turn, parts: list[Json]) -> list[Json]:
    """A word of the system in the middle, which only a user can say here."""
    job.bend(turn.at, "mid-conversation system message sent as the user's")
    if turn.effort is not None:
        job.bend(f"{turn.at}.output_config.effort", "holds for the whole request")
    return [
        {**part, "text": f"<system>\n{part['text']}\n</system>"} if "text" in part else part
        for part in parts
    ]


def _add(contents: list[Json], role: str, parts: list[Json]) -> None:
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _begin(job: Job, contents: list[Json]) -> None:
    if contents and contents[0]["role"] == "user":
        return
    where = job.request.turns[0].at if job.request.turns else ""
    job.bend(where or "messages", "placeholder user turn inserted before the model's")
    contents.insert(0, {"role": "user", "parts": [{"text": START}]})


def _check_last(job: Job, contents: list[Json], last: Turn | None) -> None:
    if contents[-1]["role"] != "model" or job.traits.prefill or job.native:
        return
    path = (last.at if last else "") or "messages"
    why = f"{job.model} does not continue an assistant message; end with a user message"
    raise invalid(f"{path}: {why}", path)


# --- signatures --------------------------------------------------------------------------


def _sign(job: Job, contents: list[Json]) -> None:
    """Put the sentinel under each step's first call that has no signature of its own."""
    if job.traits.replay_reasoning != "required_on_tools":
        return
    paths = {p.id: p.at for t in job.request.turns for p in t.parts if isinstance(p, ToolCall)}
    for content in contents[_current(contents) :]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        if content["role"] != "model" or not calls or "thoughtSignature" in calls[0]:
            continue
        calls[0]["thoughtSignature"] = SENTINEL
        path = _LAST_INDEX.sub("", paths.get(calls[0]["functionCall"]["id"], ""))
        why = "no thought signature is known for this step: the validator is told to skip it"
        job.bend(path, why)


def _current(contents: list[Json]) -> int:
    """Where the current turn begins: the last user content without results."""
    for place in range(len(contents) - 1, -1, -1):
        content = contents[place]
        answers = any("functionResponse" in part for part in content["parts"])
        if content["role"] == "user" and not answers:
            return place
    return 0
