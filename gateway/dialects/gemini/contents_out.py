"""Instructions and turns -> a provider's `systemInstruction` and `contents`.

The API requires that roles alternate and the user begins, results come after the turn with
their calls and in its order, and, for Gemini 3, a signature on the first call of each step
since the last user turn.
"""

from __future__ import annotations

import re

from gateway.canon.errors import invalid
from gateway.canon.request import Part, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.canon.turns import pair_tool_results
from gateway.dialects.gemini.names import SKIP_SIGNATURE, Json
from gateway.dialects.gemini.parts_out import render_parts
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.gemini.signatures import MISSING_SIGNATURE

PLACEHOLDER_TEXT = "(conversation start)"
# A block of Claude Code's that changes with each version and would spoil prompt caches.
_BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"
_TRAILING_INDEX = re.compile(r"\[\d+\]$")


def render_system(context: RenderContext) -> list[Json]:
    """The parts of the instructions."""
    parts: list[Json] = []
    for part in context.request.instructions:
        if part.text.startswith(_BILLING_HEADER_PREFIX):
            context.drop(part.path, "attribution block: of use to api.anthropic.com only")
        else:
            parts += render_parts(context, (part,))
    return parts


def render_contents(context: RenderContext, system: list[Json]) -> tuple[list[Json], str | None]:
    """The contents, and the effort of a later turn; leading system turns go into `system`."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    effort: str | None = None
    contents: list[Json] = []
    last_turn: Turn | None = None
    for turn in context.request.turns:
        if turn.name is not None:
            context.drop(f"{turn.path}.name", "no equivalent")
        effort = turn.effort or effort
        parts = _render_turn(context, turn)
        if turn.role == "system":
            if not contents:
                context.approximate(turn.path, "sent with the system instruction")
                system += parts
                continue
            parts = _render_system_as_user(context, turn, parts)
        if not parts:
            continue
        _append_parts(contents, "model" if turn.role == "assistant" else "user", parts)
        last_turn = turn
    _insert_first_user_content(context, contents)
    _check_prefill(context, contents, last_turn)
    _add_missing_signatures(context, contents)
    return contents, effort


def _render_turn(context: RenderContext, turn: Turn) -> list[Json]:
    sent_parts: list[Part] = []
    if turn.role == "assistant":
        has_tool_call = any(isinstance(part, ToolCall) for part in turn.parts)
        for part in turn.parts:
            if isinstance(part, ToolResult):
                context.drop(part.path, "only the user gives results")
            elif not (has_tool_call and isinstance(part, Text) and not part.text):
                sent_parts.append(part)
        return render_parts(context, tuple(sent_parts))
    for part in _results_in_call_order(context, turn):
        if isinstance(part, Reasoning) and not context.same_dialect:
            context.drop(part.path, "only the model thinks")
        elif isinstance(part, ToolCall):
            context.drop(part.path, "only the model calls tools")
        else:
            sent_parts.append(part)
    return render_parts(context, tuple(sent_parts))


def _results_in_call_order(context: RenderContext, turn: Turn) -> tuple[Part, ...]:
    """The parts with the results first, in the order of their calls."""
    results = {part.id: part for part in turn.parts if isinstance(part, ToolResult)}
    if len(results) < 2:
        return turn.parts
    order = [
        part.id
        for turn_with_calls in context.request.turns
        if turn_with_calls.role == "assistant"
        for part in turn_with_calls.parts
        if isinstance(part, ToolCall) and part.id in results
    ]
    sorted_results = [results[call_id] for call_id in dict.fromkeys(order)]
    return (*sorted_results, *(p for p in turn.parts if not isinstance(p, ToolResult)))


def _render_system_as_user(context: RenderContext, turn: Turn, parts: list[Json]) -> list[Json]:
    """Renders a mid-conversation system message as the user's."""
    context.approximate(turn.path, "mid-conversation system message sent as the user's")
    if turn.effort is not None:
        context.approximate(f"{turn.path}.output_config.effort", "holds for the whole request")
    return [
        {**part, "text": f"<system>\n{part['text']}\n</system>"} if "text" in part else part
        for part in parts
    ]


def _append_parts(contents: list[Json], role: str, parts: list[Json]) -> None:
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _insert_first_user_content(context: RenderContext, contents: list[Json]) -> None:
    if contents and contents[0]["role"] == "user":
        return
    context.report_placeholder(PLACEHOLDER_TEXT)
    contents.insert(0, {"role": "user", "parts": [{"text": PLACEHOLDER_TEXT}]})


def _check_prefill(context: RenderContext, contents: list[Json], last_turn: Turn | None) -> None:
    if contents[-1]["role"] != "model" or context.traits.prefill or context.same_dialect:
        return
    path = (last_turn.path if last_turn else "") or "messages"
    why = f"{context.model} does not continue an assistant message; end with a user message"
    raise invalid(f"{path}: {why}", path)


# --- signatures --------------------------------------------------------------------------


def _add_missing_signatures(context: RenderContext, contents: list[Json]) -> None:
    """Sets the skip value on each step's first call that has no signature."""
    if context.traits.replay_reasoning != "required_on_tools":
        return
    paths = {
        p.id: p.path for t in context.request.turns for p in t.parts if isinstance(p, ToolCall)
    }
    for content in contents[_current_turn_start(contents) :]:
        call_parts = [part for part in content["parts"] if "functionCall" in part]
        if content["role"] != "model" or not call_parts or "thoughtSignature" in call_parts[0]:
            continue
        call_parts[0]["thoughtSignature"] = SKIP_SIGNATURE
        path = _TRAILING_INDEX.sub("", paths.get(call_parts[0]["functionCall"]["id"], ""))
        context.approximate(path, MISSING_SIGNATURE)


def _current_turn_start(contents: list[Json]) -> int:
    """Where the current turn begins: the last user content without results."""
    for index in range(len(contents) - 1, -1, -1):
        content = contents[index]
        answers = any("functionResponse" in part for part in content["parts"])
        if content["role"] == "user" and not answers:
            return index
    return 0
