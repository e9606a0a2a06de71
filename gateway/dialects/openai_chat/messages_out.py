"""Instructions and turns -> a provider's messages."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import (
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.turns import repaired
from gateway.dialects.openai_chat.calls import call_out, results_out
from gateway.dialects.openai_chat.job import Job
from gateway.dialects.openai_chat.parts import NAME, Json, content_out, parts_out, words_out
from gateway.dialects.openai_chat.reasoning import thoughts_out

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every prompt cache.
BILLING = "x-anthropic-billing-header:"


def messages_out(job: Job, body: Json) -> None:
    """Write the messages into the body."""
    request, report = repaired(job.request)
    job.request = request
    job.report += report
    instructions = list(request.instructions)
    turns: list[Turn] = []
    for turn in request.turns:
        if turn.role == "system" and not job.traits.mid_system:
            why = f"system message moved to the front: {job.traits.model} takes none later"
            job.bend(turn.at, why)
            instructions += [part for part in turn.parts if isinstance(part, Text)]
        else:
            turns.append(turn)
    messages = _system_out(job, instructions)
    for turn in turns:
        messages += _turn_out(job, turn)
    _continue_last(job, turns, messages, body)
    body["messages"] = messages


def _system_out(job: Job, instructions: list[Text]) -> list[Json]:
    kept: list[Part] = []
    for block in instructions:
        if block.text.startswith(BILLING):
            job.drop(block.at, "attribution block: of use to api.anthropic.com only")
        else:
            kept.append(block)
    items = parts_out(job, (*kept, *(Text(text=hint) for hint in job.hints)))
    if not items:
        return []
    return [{"role": job.traits.system_role, "content": content_out(job, items)}]


def _turn_out(job: Job, turn: Turn) -> list[Json]:
    match turn.role:
        case "user":
            return _user_out(job, turn)
        case "assistant":
            return _assistant_out(job, turn)
        case "system":
            items = words_out(job, turn.parts, "system")
            content = content_out(job, items)
            return [_named(job, turn, {"role": job.traits.system_role}, content)] if items else []
        case _:
            assert_never(turn.role)


def _named(job: Job, turn: Turn, message: Json, content: Any) -> Json:
    _name_out(job, turn, message)
    message["content"] = content
    return message


def _name_out(job: Job, turn: Turn, message: Json) -> None:
    if turn.name is None:
        return
    if job.traits.plain_messages:
        job.drop(f"{turn.at}.name", "no equivalent")
    else:
        message["name"] = turn.name


def _user_out(job: Job, turn: Turn) -> list[Json]:
    """Tool messages first, with nothing between them; then what else the user says."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    others = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    messages, moved = results_out(job, results) if results else ([], [])
    items = moved + parts_out(job, others)
    if not items:
        return messages
    # One text in a list stays in a list: what was cached under one shape is found again.
    listed = isinstance(others[0], Text) and others[0].at.endswith("]") if others else False
    listed = listed and not _is_message(others[0].at)
    message = _named(job, turn, {"role": "user"}, content_out(job, items, listed=listed))
    return [*messages, message]


def _is_message(at: str) -> bool:
    """Whether a path is that of a whole message: its content was a plain string."""
    return at.count("[") < 2


def _assistant_out(job: Job, turn: Turn) -> list[Json]:
    said: list[Part] = []
    message: Json = {"role": "assistant"}
    calls: list[ToolCall] = []
    for part in turn.parts:
        match part:
            case ToolCall():
                calls.append(part)
            case Reasoning():
                pass
            case Refusal() if job.traits.plain_messages:
                job.bend(part.at, "a refusal in the history is sent as text")
                said.append(Text(text=part.text, at=part.at))
            case Refusal():
                message["refusal"] = message.get("refusal", "") + part.text
            case Native() if part.dialect == NAME and "audio" in part.data:
                message["audio"] = part.data["audio"]
            case _:
                said.append(part)
    _name_out(job, turn, message)
    items = words_out(job, said, "assistant")
    chunks = thoughts_out(job, turn, message, has_calls=bool(calls))
    if calls:
        message["tool_calls"] = [call_out(job, call) for call in calls]
    if chunks:
        message["content"] = [*chunks, *items]
    elif items:
        message["content"] = content_out(job, items)
    elif not message.keys() & _SAYING:
        # Nothing is left of what the client sent; or the client sent nothing, as a turn of its own.
        if turn.parts:
            return []
        message["content"] = ""
    else:
        _empty_content(job, message)
    return [message]


_SAYING = frozenset(
    {"tool_calls", "refusal", "audio", "reasoning", "reasoning_content", "reasoning_details"}
)


def _empty_content(job: Job, message: Json) -> None:
    """The content of a message that speaks by other fields."""
    match job.traits.empty_content:
        case "empty":
            message["content"] = ""
        case "null":
            message["content"] = None
        case "omit":
            return
        case _:
            assert_never(job.traits.empty_content)


def _continue_last(job: Job, turns: list[Turn], messages: list[Json], body: Json) -> None:
    """Ask for a last assistant message to be continued, where the target can do that."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    if not job.traits.prefill:
        path = turns[-1].at or "messages"
        why = (
            f"{path}: {job.traits.model or 'this model'} can not continue an assistant message; "
            "end with a user message"
        )
        raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
    match job.traits.prefill_field:
        case "prefix":
            messages[-1]["prefix"] = True
        case "continue_final_message":
            body["continue_final_message"] = True
            body["add_generation_prompt"] = False
        case "none":
            return
        case _:
            assert_never(job.traits.prefill_field)
