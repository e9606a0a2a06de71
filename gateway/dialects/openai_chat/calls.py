"""Tool calls and their results in the history: a client's JSON <-> a provider's."""

from __future__ import annotations

from typing import Any

from gateway.canon.arguments import parsed, written
from gateway.canon.request import (
    Document,
    Image,
    Part,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import belongs, unwrap, wrap
from gateway.dialects.fields import (
    compact,
    items,
    joined,
    mapping,
    needed_mapping,
    needed_text,
    text,
    wrong,
)
from gateway.dialects.openai_chat.job import Job
from gateway.dialects.openai_chat.parts import Json, content_in, content_out, parts_out

THOUGHT = "thought_signature"


def calls_in(message: Json, at: str) -> list[ToolCall]:
    """The calls of an assistant message."""
    if not message.get("tool_calls"):
        items(message, "tool_calls", at)
        return []
    path = f"{at}.tool_calls"
    return [
        _call_in(call, f"{path}[{i}]") for i, call in enumerate(items(message, "tool_calls", at))
    ]


def _call_in(call: Json, at: str) -> ToolCall:
    # Some local servers give no ids; the place is one that stays the same every turn.
    call_id = text(call, "id", at) or made_id(at)
    if call.get("type") == "custom" or ("custom" in call and "function" not in call):
        custom = needed_mapping(call, "custom", at)
        name = needed_text(custom, "name", f"{at}.custom")
        raw = text(custom, "input", f"{at}.custom") or ""
        return ToolCall(id=call_id, name=name, raw=raw, custom=True, at=at)
    function = needed_mapping(call, "function", at)
    name = needed_text(function, "name", f"{at}.function")
    arguments, raw_text = arguments_in(function, f"{at}.function")
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments,
        raw=raw_text,
        signature=signature_in(call),
        at=at,
    )


def arguments_in(function: Json, at: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = function.get("arguments")
    if value is None:
        return {}, None
    if type(value) is str:
        return parsed(value)
    if type(value) is dict:
        return value, None
    raise wrong(joined(at, "arguments"), "a string of JSON", value)


def made_id(at: str) -> str:
    """An id for a call that came without one."""
    return "call_" + "".join(c if c.isalnum() else "_" for c in at).strip("_")


def signature_in(call: Json) -> Signature | None:
    """The state that Gemini's Chat surface hangs on a call, and we too for its clients."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    value = google.get(THOUGHT) if isinstance(google, dict) else None
    if not isinstance(value, str) or not value:
        return None
    return unwrap(value) or Signature(kind=THOUGHT, value=value)


def signature_slot(value: str) -> Json:
    """The `extra_content` that holds a call's state."""
    return {"google": {THOUGHT: value}}


def call_out(job: Job, call: ToolCall) -> Json:
    """A call of the history as the provider wants it."""
    sent_id = job.call_id(call.id)
    if sent_id != call.id:
        why = "rewritten to the form the upstream demands, mapped back"
        job.bend(f"{call.at}.id", why, before=call.id[:80], after=sent_id)
    job.unmark(call.cache)
    name = job.name(call.name)
    if call.custom and job.traits.custom_tools:
        return {
            "id": sent_id,
            "type": "custom",
            "custom": {"name": name, "input": call.raw or ""},
        }
    words = compact({"input": call.raw or ""}) if call.custom else written(call)
    out: Json = {
        "id": sent_id,
        "type": "function",
        "function": {"name": name, "arguments": words},
    }
    if belongs(call.signature, job.traits) and call.signature is not None:
        out["extra_content"] = signature_slot(call.signature.value)
    elif call.signature is not None:
        job.unsign(call)
    return out


def shown_signature(signature: Signature) -> Json:
    """The `extra_content` by which a Chat client carries a call's state for us."""
    return signature_slot(wrap(signature))


def result_in(message: Json, at: str, calls: dict[str, ToolCall]) -> ToolResult:
    """The result in a tool message; `calls` are those met so far, by id."""
    call_id = needed_text(message, "tool_call_id", at)
    call = calls.get(call_id)
    return ToolResult(
        id=call_id,
        parts=result_parts_in(message, at),
        name=text(message, "name", at),
        custom=call.custom if call is not None else False,
        at=at,
    )


def result_parts_in(message: Json, at: str) -> tuple[Part, ...]:
    """What a tool gave back; an empty string is no part."""
    return () if message.get("content") == "" else content_in(message, at)


def results_out(job: Job, results: list[ToolResult]) -> tuple[list[Json], list[Json]]:
    """The tool messages, and the content parts that have to follow in a user message."""
    messages: list[Json] = []
    after: list[Json] = []
    for result in results:
        inline, moved = _result_parts(job, result)
        message: Json = {"role": "tool", "tool_call_id": job.call_id(result.id)}
        if job.traits.tool_result_name and result.name:
            message["name"] = job.name(result.name)
        message["content"] = content_out(job, parts_out(job, inline))
        if result.is_error:
            _say_error(job, result, message)
        if result.cache is not None:
            _mark(job, result, message)
        messages.append(message)
        after += moved
    return messages, after


def _result_parts(job: Job, result: ToolResult) -> tuple[tuple[Part, ...], list[Json]]:
    """The parts that may stand in a tool message, and the media that may not."""
    inline: list[Part] = []
    moved: list[Json] = []
    counts: dict[str, int] = {}
    for part in result.parts:
        what = _moved_kind(job, part)
        if what is None:
            inline.append(part)
            continue
        count = counts[what] = counts.get(what, 0) + 1
        note = f"[{what} {count} of this tool result is attached to the next user message]"
        inline.append(Text(text=note))
        job.bend(part.at, f"{what} in tool result moved to a following user message")
        label = f"[{what} {count} from tool result {job.call_id(result.id)}]"
        moved += [{"type": "text", "text": label}, *parts_out(job, (part,))]
    return tuple(inline), moved


def _moved_kind(job: Job, part: Part) -> str | None:
    if job.traits.tool_result_images:
        return None
    if isinstance(part, Image):
        return "image" if job.traits.images else None
    if isinstance(part, Document) and part.text is None and part.parts is None:
        return "document" if job.traits.pdf else None
    return None


def _say_error(job: Job, result: ToolResult, message: Json) -> None:
    content = message["content"]
    if isinstance(content, str):
        message["content"] = f"Error: {content}" if content else "Error"
    elif content[0].get("type") == "text":
        content[0] = {**content[0], "text": f"Error: {content[0]['text']}"}
    else:
        content.insert(0, {"type": "text", "text": "Error:"})
    if result.at:
        job.bend(f"{result.at}.is_error", "text prefixed with 'Error: '")


def _mark(job: Job, result: ToolResult, message: Json) -> None:
    """A mark on a tool result belongs to the last part of its message."""
    if job.traits.cache not in {"breakpoints", "cache_control"}:
        job.unmark(result.cache)
        return
    content: Any = message["content"]
    if isinstance(content, str):
        content = message["content"] = [{"type": "text", "text": content}]
    job.mark(content[-1], result.cache)


def function_call_in(message: Json, at: str) -> ToolCall | None:
    """The call in the older form: one `function_call` without an id."""
    call = mapping(message, "function_call", at)
    if call is None:
        return None
    path = f"{at}.function_call"
    name = needed_text(call, "name", path)
    arguments, raw = arguments_in(call, path)
    return ToolCall(id=made_id(path), name=name, arguments=arguments, raw=raw, at=path)
