"""Instructions and turns -> a provider's `instructions` and `input` items."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.arguments import render_arguments
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
from gateway.canon.signature import is_from_target
from gateway.canon.turns import pair_tool_results
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.names import NAME, STATE_KIND, Json
from gateway.dialects.openai_responses.parts_out import native_out, parts_out
from gateway.dialects.openai_responses.render_context import ResponsesRenderContext
from gateway.dialects.openai_responses.web_searches import searches_out
from gateway.dialects.shared.fields import compact_json

# Claude Code's first system block: only api.anthropic.com uses it, and its changing
# version would invalidate every prompt cache.
BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"
_MODEL_ITEM_TYPES = frozenset({"message", "function_call", "custom_tool_call", "reasoning"})


def input_out(context: ResponsesRenderContext, body: Json) -> None:
    """Write instructions and items into the body."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    if not context.traits.mid_system:
        context.move_system_first()
    items = _instructions_out(context, body)
    for index, turn in enumerate(context.request.turns):
        if turn.name is not None:
            context.drop(f"{turn.path}.name" if turn.path else "", "no equivalent")
        items += _turn_out(context, turn, index)
    _refuse_prefill(context, items)
    if not items and "instructions" in body:
        # The API requires an input; instructions without turns are sent as a message.
        text = {"type": "input_text", "text": body.pop("instructions")}
        items = [_message("developer", [text])]
    body["input"] = _drop_orphaned_reasoning(context, items)


def _instructions_out(context: ResponsesRenderContext, body: Json) -> list[Json]:
    """Write the instructions as one text, or return them as a message item."""
    instructions: list[Text] = []
    for block in context.request.instructions:
        if block.text.startswith(BILLING_HEADER_PREFIX):
            context.drop(block.path, "attribution block: of use to api.anthropic.com only")
        else:
            instructions.append(block)
    instructions += [Text(text=hint) for hint in context.hints]
    has_cache_breakpoints = (
        any(block.cache for block in instructions) and context.traits.cache == "breakpoints"
    )
    if instructions and (has_cache_breakpoints or context.all_in_items):
        return [_message("developer", parts_out(context, instructions))]
    for block in instructions:
        context.drop_cache_marks(block.cache)
    if instructions:
        body["instructions"] = "\n\n".join(block.text for block in instructions)
    return []


def _message(role: str, content: list[Json]) -> Json:
    return {"type": "message", "role": role, "content": content}


def _turn_out(context: ResponsesRenderContext, turn: Turn, turn_index: int) -> list[Json]:
    match turn.role:
        case "user":
            return _user_out(context, turn)
        case "assistant":
            return _assistant_out(context, turn, turn_index)
        case "system":
            content = parts_out(context, turn.parts)
            return [_message("developer", content)] if content else []
        case _:
            assert_never(turn.role)


def _user_out(context: ResponsesRenderContext, turn: Turn) -> list[Json]:
    """Results first, each as an item; then the user's other content."""
    results = [_result_out(context, part) for part in turn.parts if isinstance(part, ToolResult)]
    other_parts = [part for part in turn.parts if not isinstance(part, ToolResult)]
    content = parts_out(context, other_parts)
    return [*results, _message("user", content)] if content else results


def _result_out(context: ResponsesRenderContext, result: ToolResult) -> Json:
    content = parts_out(context, result.parts)
    if content:
        context.with_cache_breakpoint(content[-1], result.cache)
    else:
        context.drop_cache_marks(result.cache)
    if result.is_error:
        _prefix_error(context, result, content)
    text_parts = [item for item in content if item.keys() == {"type", "text"}]
    kind = "function_call_output"
    if result.custom and context.traits.custom_tools:
        kind = "custom_tool_call_output"
    output: str | list[Json] = content
    if not content:
        output = ""
    elif len(content) == len(text_parts) == 1 and text_parts[0]["text"]:
        output = text_parts[0]["text"]
    return {"type": kind, "call_id": context.call_id(result.id), "output": output}


def _prefix_error(context: ResponsesRenderContext, result: ToolResult, content: list[Json]) -> None:
    if content and content[0].get("type") == "input_text":
        text = content[0]["text"]
        content[0]["text"] = f"Error: {text}" if text else "Error"
    else:
        content.insert(0, {"type": "input_text", "text": "Error:" if content else "Error"})
    if result.path:
        context.approximate(f"{result.path}.is_error", "text prefixed with 'Error: '")


# --- assistant turns ---------------------------------------------------------------------


def _assistant_out(context: ResponsesRenderContext, turn: Turn, turn_index: int) -> list[Json]:
    """The items of a turn in order; consecutive texts form one message."""
    items: list[Json] = []
    message_parts: list[Part] = []
    searches = searches_out(context, turn.parts)
    calls = any(isinstance(part, ToolCall) for part in turn.parts)
    for part in turn.parts:
        if isinstance(part, Text | Refusal):
            if message_parts and _phase(context, part) != _phase(context, message_parts[-1]):
                items += _message_out(context, message_parts, f"msg_{turn_index}_{len(items)}")
                message_parts = []
            # An empty message would separate a call from the reasoning before it.
            if part.text or not calls:
                message_parts.append(part)
            continue
        items += _message_out(context, message_parts, f"msg_{turn_index}_{len(items)}")
        message_parts = []
        items += searches[id(part)] if id(part) in searches else _item_out(context, part)
    return items + _message_out(context, message_parts, f"msg_{turn_index}_{len(items)}")


def _message_out(
    context: ResponsesRenderContext, message_parts: list[Part], item_id: str
) -> list[Json]:
    """A message, in the short form for a single text, as its id would be generated."""
    content = [_content_part(context, part) for part in message_parts]
    if not content:
        return []
    phase = _phase(context, message_parts[0])
    phase_fields = {} if phase is None else {"phase": phase}
    is_plain_text = content[0].get("type") == "output_text" and not content[0]["annotations"]
    if len(content) == 1 and is_plain_text:
        message = {"type": "message", "role": "assistant", "content": content[0]["text"]}
        return [message | phase_fields]
    return [
        {**_message("assistant", content), "id": item_id, "status": "completed", **phase_fields}
    ]


def _phase(context: ResponsesRenderContext, part: Part) -> Any:
    """The `phase` of a message, if a client of this dialect sent one."""
    return context.request.extra.get(NAME, {}).get(f"{part.path.partition('.content')[0]}.phase")


def _content_part(context: ResponsesRenderContext, part: Part) -> Json:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    assert isinstance(part, Text)
    context.drop_cache_marks(part.cache)
    rendered = [citation_out(citation, 0, len(part.text)) for citation in part.citations]
    annotations = [annotation for annotation in rendered if annotation is not None]
    if len(annotations) < len(rendered):
        context.drop(f"{part.path}.citations", "a message has no sources without a URL")
    return {"type": "output_text", "text": part.text, "annotations": annotations}


def _item_out(context: ResponsesRenderContext, part: Part) -> list[Json]:
    match part:
        case ToolCall():
            return [_call_out(context, part)]
        case Reasoning():
            return _reasoning_out(context, part)
        case Native():
            return native_out(context, part)
        case _:
            context.drop(part.path, "an assistant's message holds text only in OpenAI's Responses")
            return []


def _call_out(context: ResponsesRenderContext, call: ToolCall) -> Json:
    context.drop_cache_marks(call.cache)
    if call.signature is not None:
        context.drop_signature(call)
    sent_id = context.call_id(call.id)
    if sent_id != call.id:
        why = "rewritten to the form the upstream demands, mapped back"
        context.approximate(f"{call.path}.id", why, before=call.id[:80], after=sent_id)
    common_fields = {"call_id": sent_id, **context.sent_name(call.name)}
    if call.custom and context.traits.custom_tools:
        return {"type": "custom_tool_call", **common_fields, "input": call.raw or ""}
    arguments = compact_json({"input": call.raw or ""}) if call.custom else render_arguments(call)
    return {"type": "function_call", **common_fields, "arguments": arguments}


def _reasoning_out(context: ResponsesRenderContext, reasoning: Reasoning) -> list[Json]:
    """The reasoning item, if the target's model created it; else it is dropped."""
    state = reasoning.signature
    if state is None or not is_from_target(state, context.traits):
        context.drop(reasoning.path, "reasoning of another model, or without its state")
        return []
    if state.kind != STATE_KIND or not state.value:
        context.drop(reasoning.path, "the provider returned no state to identify it by")
        return []
    summary = [{"type": "summary_text", "text": reasoning.text}] if reasoning.text else []
    item: Json = {"type": "reasoning", "summary": summary, "encrypted_content": state.value}
    return [{**item, "id": state.item_id} if state.item_id else item]


def _drop_orphaned_reasoning(context: ResponsesRenderContext, items: list[Json]) -> list[Json]:
    """The items without reasoning that is not followed by its item, which OpenAI rejects."""
    out: list[Json] = []
    for item in reversed(items):
        if item.get("type") != "reasoning" or (out and _is_model_item(out[-1])):
            out.append(item)
        else:
            context.drop(
                f"{context.request.client_path('turns')}",
                "reasoning without the item that it led to",
            )
    out.reverse()
    return out


def _is_model_item(item: Json) -> bool:
    """Whether an item was created by a model."""
    kind = item.get("type", "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return kind in _MODEL_ITEM_TYPES or kind.endswith("_call")


def _refuse_prefill(context: ResponsesRenderContext, items: list[Json]) -> None:
    """Refuse a last assistant message: this API cannot continue it."""
    last_item = items[-1] if items else {}
    if last_item.get("type") != "message" or last_item.get("role") != "assistant" or context.native:
        return
    path = context.request.turns[-1].path or context.request.client_path("turns")
    why = f"{path}: {context.model} cannot continue an assistant message; end with a user message"
    raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
