"""Instructions and turns -> a provider's `instructions` and `input` items."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.arguments import written
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
from gateway.canon.signature import belongs
from gateway.canon.turns import repaired
from gateway.dialects.fields import compact
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.job import Job
from gateway.dialects.openai_responses.names import NAME, STATE, Json
from gateway.dialects.openai_responses.parts_out import native_out, parts_out

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every prompt cache.
BILLING = "x-anthropic-billing-header:"
_MADE = frozenset({"message", "function_call", "custom_tool_call", "reasoning"})


def input_out(job: Job, body: Json) -> None:
    """Write instructions and items into the body."""
    job.request, report = repaired(job.request)
    job.report += report
    items = _instructions_out(job, body)
    for place, turn in enumerate(job.request.turns):
        if turn.name is not None:
            job.drop(f"{turn.at}.name" if turn.at else "", "no equivalent")
        items += _turn_out(job, turn, place)
    _refuse_prefill(job, items)
    if not items and "instructions" in body:
        # The API demands an input; instructions alone are one as a message.
        text = {"type": "input_text", "text": body.pop("instructions")}
        items = [_message("developer", [text])]
    body["input"] = _paired(job, items)


def _instructions_out(job: Job, body: Json) -> list[Json]:
    """The instructions as one text; as a message where they have to stand among the items."""
    kept: list[Text] = []
    for block in job.request.instructions:
        if block.text.startswith(BILLING):
            job.drop(block.at, "attribution block: of use to api.anthropic.com only")
        else:
            kept.append(block)
    kept += [Text(text=hint) for hint in job.hints]
    marked = any(block.cache for block in kept) and job.traits.cache == "breakpoints"
    if kept and (marked or job.all_in_items):
        return [_message("developer", parts_out(job, kept))]
    for block in kept:
        job.unmark(block.cache)
    if kept:
        body["instructions"] = "\n\n".join(block.text for block in kept)
    return []


def _message(role: str, content: list[Json]) -> Json:
    return {"type": "message", "role": role, "content": content}


def _turn_out(job: Job, turn: Turn, place: int) -> list[Json]:
    match turn.role:
        case "user":
            return _user_out(job, turn)
        case "assistant":
            return _assistant_out(job, turn, place)
        case "system":
            content = parts_out(job, turn.parts)
            return [_message("developer", content)] if content else []
        case _:
            assert_never(turn.role)


def _user_out(job: Job, turn: Turn) -> list[Json]:
    """Results first, each an item of its own; then what else the user says."""
    results = [_result_out(job, part) for part in turn.parts if isinstance(part, ToolResult)]
    others = [part for part in turn.parts if not isinstance(part, ToolResult)]
    content = parts_out(job, others)
    return [*results, _message("user", content)] if content else results


def _result_out(job: Job, result: ToolResult) -> Json:
    content = parts_out(job, result.parts)
    if content:
        job.mark(content[-1], result.cache)
    else:
        job.unmark(result.cache)
    if result.is_error:
        _say_error(job, result, content)
    plain = [item for item in content if item.keys() == {"type", "text"}]
    kind = "function_call_output"
    if result.custom and job.traits.custom_tools:
        kind = "custom_tool_call_output"
    output: str | list[Json] = content
    if not content:
        output = ""
    elif len(content) == len(plain) == 1 and plain[0]["text"]:
        output = plain[0]["text"]
    return {"type": kind, "call_id": job.call_id(result.id), "output": output}


def _say_error(job: Job, result: ToolResult, content: list[Json]) -> None:
    if content and content[0].get("type") == "input_text":
        words = content[0]["text"]
        content[0]["text"] = f"Error: {words}" if words else "Error"
    else:
        content.insert(0, {"type": "input_text", "text": "Error:" if content else "Error"})
    if result.at:
        job.bend(f"{result.at}.is_error", "text prefixed with 'Error: '")


# --- the assistant's ---------------------------------------------------------------------


def _assistant_out(job: Job, turn: Turn, place: int) -> list[Json]:
    """The items of a turn in order; words that follow each other are one message."""
    items: list[Json] = []
    said: list[Part] = []
    calls = any(isinstance(part, ToolCall) for part in turn.parts)
    for part in turn.parts:
        if isinstance(part, Text | Refusal):
            if said and _phase(job, part) != _phase(job, said[-1]):
                items += _said_out(job, said, f"msg_{place}_{len(items)}")
                said = []
            # An empty message would part a call from the reasoning that led to it.
            if part.text or not calls:
                said.append(part)
            continue
        items += _said_out(job, said, f"msg_{place}_{len(items)}")
        said = []
        items += _item_out(job, part)
    return items + _said_out(job, said, f"msg_{place}_{len(items)}")


def _said_out(job: Job, said: list[Part], item_id: str) -> list[Json]:
    """A message: in the short form where one text says it all, as ids are made up here."""
    content = [_spoken(job, part) for part in said]
    if not content:
        return []
    phase = _phase(job, said[0])
    more = {} if phase is None else {"phase": phase}
    short = content[0].get("type") == "output_text" and not content[0]["annotations"]
    if len(content) == 1 and short:
        message = {"type": "message", "role": "assistant", "content": content[0]["text"]}
        return [message | more]
    return [{**_message("assistant", content), "id": item_id, "status": "completed", **more}]


def _phase(job: Job, part: Part) -> Any:
    """Whether a message is a comment or the answer, as a client of this dialect says it."""
    return job.request.extra.get(NAME, {}).get(f"{part.at.partition('.content')[0]}.phase")


def _spoken(job: Job, part: Part) -> Json:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    assert isinstance(part, Text)
    job.unmark(part.cache)
    shown = [citation_out(citation, 0, len(part.text)) for citation in part.citations]
    annotations = [item for item in shown if item is not None]
    if len(annotations) < len(shown):
        job.drop(f"{part.at}.citations", "a source without a URL has no place in a message")
    return {"type": "output_text", "text": part.text, "annotations": annotations}


def _item_out(job: Job, part: Part) -> list[Json]:
    match part:
        case ToolCall():
            return [_call_out(job, part)]
        case Reasoning():
            return _thought_out(job, part)
        case Native():
            return native_out(job, part)
        case _:
            job.drop(part.at, "an assistant's message holds text only in OpenAI's Responses")
            return []


def _call_out(job: Job, call: ToolCall) -> Json:
    job.unmark(call.cache)
    if call.signature is not None:
        job.unsign(call)
    sent_id = job.call_id(call.id)
    if sent_id != call.id:
        why = "rewritten to the form the upstream demands, mapped back"
        job.bend(f"{call.at}.id", why, before=call.id[:80], after=sent_id)
    named = {"call_id": sent_id, **job.sent_name(call.name)}
    if call.custom and job.traits.custom_tools:
        return {"type": "custom_tool_call", **named, "input": call.raw or ""}
    words = compact({"input": call.raw or ""}) if call.custom else written(call)
    return {"type": "function_call", **named, "arguments": words}


def _thought_out(job: Job, thought: Reasoning) -> list[Json]:
    """A thought that goes back to the model that made it; another's is left out."""
    state = thought.signature
    if state is None or not belongs(state, job.traits):
        job.drop(thought.at, "reasoning of another model, or without its state")
        return []
    if state.kind != STATE or not state.value:
        job.drop(thought.at, "the provider gave no state by which it would know it again")
        return []
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    item: Json = {"type": "reasoning", "summary": summary, "encrypted_content": state.value}
    return [{**item, "id": state.item} if state.item else item]


def _paired(job: Job, items: list[Json]) -> list[Json]:
    """The items without reasoning that what it led to does not follow: that is refused."""
    out: list[Json] = []
    for item in reversed(items):
        if item.get("type") != "reasoning" or (out and _is_made(out[-1])):
            out.append(item)
        else:
            job.drop(f"{job.request.path('turns')}", "reasoning without the item that it led to")
    out.reverse()
    return out


def _is_made(item: Json) -> bool:
    """Whether an item is one that a model makes."""
    kind = item.get("type", "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return kind in _MADE or kind.endswith("_call")


def _refuse_prefill(job: Job, items: list[Json]) -> None:
    """Refuse a last message of the assistant's: this API begins a new one, whatever it says."""
    last = items[-1] if items else {}
    if last.get("type") != "message" or last.get("role") != "assistant" or job.native:
        return
    path = job.request.turns[-1].at or job.request.path("turns")
    why = f"{path}: {job.model} can not continue an assistant message; end with a user message"
    raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
