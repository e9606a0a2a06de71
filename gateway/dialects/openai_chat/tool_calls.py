"""Tool calls and their results in the history: a client's JSON <-> a provider's."""

from __future__ import annotations

from typing import Any

from gateway.canon.arguments import parse_arguments, render_arguments
from gateway.canon.request import (
    Document,
    Image,
    Part,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import is_from_target, unwrap_signature, wrap_signature
from gateway.dialects.openai_chat.parts import Json, content_in, content_out, parts_out
from gateway.dialects.openai_chat.render_context import ChatRenderContext
from gateway.dialects.shared.fields import (
    compact_json,
    join_path,
    mapping,
    objects,
    required_mapping,
    required_text,
    text,
    wrong_type,
)

THOUGHT_SIGNATURE = "thought_signature"


def calls_in(message: Json, path: str) -> list[ToolCall]:
    """The calls of an assistant message."""
    if not message.get("tool_calls"):
        objects(message, "tool_calls", path)
        return []
    field_path = f"{path}.tool_calls"
    return [
        _call_in(call, f"{field_path}[{i}]")
        for i, call in enumerate(objects(message, "tool_calls", path))
    ]


def _call_in(call: Json, path: str) -> ToolCall:
    # Some local servers send no ids; the path serves as one, the same in every turn.
    call_id = text(call, "id", path) or id_from_path(path)
    if call.get("type") == "custom" or ("custom" in call and "function" not in call):
        custom = required_mapping(call, "custom", path)
        name = required_text(custom, "name", f"{path}.custom")
        raw = text(custom, "input", f"{path}.custom") or ""
        return ToolCall(id=call_id, name=name, raw=raw, custom=True, path=path)
    function = required_mapping(call, "function", path)
    name = required_text(function, "name", f"{path}.function")
    arguments, raw_text = arguments_in(function, f"{path}.function")
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments,
        raw=raw_text,
        signature=signature_in(call),
        path=path,
    )


def arguments_in(function: Json, path: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = function.get("arguments")
    if value is None:
        return {}, None
    if type(value) is str:
        return parse_arguments(value)
    if type(value) is dict:
        return value, None
    raise wrong_type(join_path(path, "arguments"), "a string of JSON", value)


def id_from_path(path: str) -> str:
    """An id for a call without one, from its path."""
    return "call_" + "".join(c if c.isalnum() else "_" for c in path).strip("_")


def signature_in(call: Json) -> Signature | None:
    """The state of a call, in the field of Gemini's Chat API, which the gateway uses too."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    value = google.get(THOUGHT_SIGNATURE) if isinstance(google, dict) else None
    if not isinstance(value, str) or not value:
        return None
    return unwrap_signature(value) or Signature(kind=THOUGHT_SIGNATURE, value=value)


def extra_content_of(value: str) -> Json:
    """The `extra_content` that holds a call's state."""
    return {"google": {THOUGHT_SIGNATURE: value}}


def call_out(context: ChatRenderContext, call: ToolCall) -> Json:
    """A call of the history in the provider's format."""
    sent_id = context.call_id(call.id)
    if sent_id != call.id:
        why = "rewritten to the form the upstream requires, mapped back"
        context.approximate(f"{call.path}.id", why, before=call.id[:80], after=sent_id)
    context.drop_cache_marks(call.cache)
    name = context.sent_name(call.name)
    if call.custom and context.traits.custom_tools:
        return {
            "id": sent_id,
            "type": "custom",
            "custom": {"name": name, "input": call.raw or ""},
        }
    arguments = compact_json({"input": call.raw or ""}) if call.custom else render_arguments(call)
    out: Json = {
        "id": sent_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    if is_from_target(call.signature, context.traits) and call.signature is not None:
        out["extra_content"] = extra_content_of(call.signature.value)
    elif call.signature is not None:
        context.drop_signature(call)
    return out


def wrapped_extra_content(signature: Signature) -> Json:
    """The `extra_content` by which a Chat client sends a call's wrapped state back."""
    return extra_content_of(wrap_signature(signature))


def result_in(message: Json, path: str, calls: dict[str, ToolCall]) -> ToolResult:
    """The result in a tool message; `calls` holds the calls before it, by id."""
    call_id = required_text(message, "tool_call_id", path)
    call = calls.get(call_id)
    return ToolResult(
        id=call_id,
        parts=result_parts_in(message, path),
        name=text(message, "name", path),
        custom=call.custom if call is not None else False,
        path=path,
    )


def result_parts_in(message: Json, path: str) -> tuple[Part, ...]:
    """The parts of a tool result; an empty string is no part."""
    return () if message.get("content") == "" else content_in(message, path)


def results_out(
    context: ChatRenderContext, results: list[ToolResult]
) -> tuple[list[Json], list[Json]]:
    """The tool messages, and the content parts that must follow in a user message."""
    messages: list[Json] = []
    following_parts: list[Json] = []
    for result in results:
        inline, moved_parts = _split_result_parts(context, result)
        message: Json = {"role": "tool", "tool_call_id": context.call_id(result.id)}
        if context.traits.tool_result_name and result.name:
            message["name"] = context.sent_name(result.name)
        message["content"] = content_out(context, parts_out(context, inline))
        if result.is_error:
            _prefix_error(context, result, message)
        if result.cache is not None:
            _add_cache_breakpoint(context, result, message)
        messages.append(message)
        following_parts += moved_parts
    return messages, following_parts


def _split_result_parts(
    context: ChatRenderContext, result: ToolResult
) -> tuple[tuple[Part, ...], list[Json]]:
    """The parts that a tool message may contain, and the media moved out of it."""
    inline: list[Part] = []
    moved_parts: list[Json] = []
    counts: dict[str, int] = {}
    for part in result.parts:
        media_kind = _moved_media_kind(context, part)
        if media_kind is None:
            inline.append(part)
            continue
        count = counts[media_kind] = counts.get(media_kind, 0) + 1
        note = f"[{media_kind} {count} of this tool result is attached to the next user message]"
        inline.append(Text(text=note))
        context.approximate(
            part.path, f"{media_kind} in tool result moved to a following user message"
        )
        label = f"[{media_kind} {count} from tool result {context.call_id(result.id)}]"
        moved_parts += [{"type": "text", "text": label}, *parts_out(context, (part,))]
    return tuple(inline), moved_parts


def _moved_media_kind(context: ChatRenderContext, part: Part) -> str | None:
    if context.traits.tool_result_images:
        return None
    if isinstance(part, Image):
        return "image" if context.traits.images else None
    if isinstance(part, Document) and part.text is None and part.parts is None:
        return "document" if context.traits.pdf else None
    return None


def _prefix_error(context: ChatRenderContext, result: ToolResult, message: Json) -> None:
    content = message["content"]
    if isinstance(content, str):
        message["content"] = f"Error: {content}" if content else "Error"
    elif content[0].get("type") == "text":
        content[0] = {**content[0], "text": f"Error: {content[0]['text']}"}
    else:
        content.insert(0, {"type": "text", "text": "Error:"})
    if result.path:
        context.approximate(f"{result.path}.is_error", "text prefixed with 'Error: '")


def _add_cache_breakpoint(context: ChatRenderContext, result: ToolResult, message: Json) -> None:
    """Put a tool result's cache breakpoint on the last part of its message."""
    if context.traits.cache not in {"breakpoints", "cache_control"}:
        context.drop_cache_marks(result.cache)
        return
    content: Any = message["content"]
    if isinstance(content, str):
        content = message["content"] = [{"type": "text", "text": content}]
    context.with_cache_breakpoint(content[-1], result.cache)


def function_call_in(message: Json, path: str) -> ToolCall | None:
    """The call in the legacy form: one `function_call` without an id."""
    call = mapping(message, "function_call", path)
    if call is None:
        return None
    field_path = f"{path}.function_call"
    name = required_text(call, "name", field_path)
    arguments, raw = arguments_in(call, field_path)
    return ToolCall(
        id=id_from_path(field_path), name=name, arguments=arguments, raw=raw, path=field_path
    )
