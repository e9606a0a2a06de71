"""Items of a conversation: a client's input to canonical turns, and back for a provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import invalid
from gateway.canon.request import (
    Native,
    Part,
    Reasoning,
    Refusal,
    Request,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import is_from_target, recover_reasoning_text, unwrap_signature
from gateway.canon.turns import pair_tool_results
from gateway.dialects.openai_responses.context import (
    CLIENT_TOOL_SEARCH,
    NAME,
    STATE_KIND,
    Json,
    ResponsesRenderContext,
    is_client_tool_search,
    join_name,
)
from gateway.dialects.openai_responses.conversation import Conversation
from gateway.dialects.openai_responses.parts import (
    parse_content,
    render_citation,
    render_native,
    render_parts,
)
from gateway.dialects.openai_responses.tools import parse_tools
from gateway.dialects.shared import mcp, web_search
from gateway.dialects.shared.code_execution import is_foreign
from gateway.dialects.shared.fields import compact_json, objects, required_text, text, wrong_type
from gateway.dialects.shared.web_search import Search, read_call, read_result

# --- web searches of other providers, as items ----------------------------------------------------

WEB_SEARCH_CALL = "web_search_call"
_CONTENTS_DROPPED = "only the URLs of the result pages are sent"
# Items that only OpenAI's models can serve: any other response would be billed for nothing.
_REFUSALS = {
    "compaction_trigger": "only OpenAI's models compact a conversation for the client; Codex "
    "summarizes it itself if the gateway is one of its `model_providers`",
}


def render_search_item(search: Search, status: str | None = None) -> Json:
    """The item of a search, without an id."""
    if search.page_url:
        action: Json = {"type": "open_page", "url": search.page_url}
    else:
        action = {"type": "search", "query": search.query, "queries": [search.query]}
        if search.sources:
            action["sources"] = [{"type": "url", "url": url} for url in search.sources]
    final_status = "failed" if search.failed else "completed"
    return {"type": WEB_SEARCH_CALL, "status": status or final_status, "action": action}


def with_result(search: Search, result: Search) -> Search:
    """The search with the sources and failure of its result."""
    return replace(search, sources=result.sources, failed=result.failed)


def page_contents_drop(data: Json) -> Adaptation:
    """The report of the page contents of a result, which are dropped."""
    return approximated_field(f"output.{data['type']}", _CONTENTS_DROPPED)


def render_searches(
    context: ResponsesRenderContext, parts: Iterable[Part]
) -> dict[int, list[Json]]:
    """The items of a history for the parts that are another provider's searches, by `id(part)`.

    A call becomes an item that contains its result. Empty if no search tool is offered, as
    the target may then reject the item.
    """
    items_by_part: dict[int, list[Json]] = {}
    natives = [part for part in parts if isinstance(part, Native) and part.dialect != NAME]
    servers = (tool for tool in context.request.tools if tool.kind == "server")
    if not natives or not any(web_search.parse_web_search(tool) for tool in servers):
        return items_by_part
    results = {
        search_result.id: part for part in natives if (search_result := read_result(part.data))
    }
    for part in natives:
        search = read_call(part.data)
        if search is None:
            continue
        result_part = results.pop(search.id, None)
        result = read_result(result_part.data) if result_part is not None else None
        if result_part is not None and result is not None:
            search = with_result(search, result)
            items_by_part[id(result_part)] = []
            if not result.failed:
                context.approximate(result_part.path, _CONTENTS_DROPPED)
        items_by_part[id(part)] = [{"id": _new_id(search.id), **render_search_item(search)}]
    return items_by_part


def _new_id(call_id: str) -> str:
    """A new id: with its own id, the provider may require the reasoning before the item."""
    return f"ws_{sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


# --- a client's items -----------------------------------------------------------------------------
#
# System and developer messages before the first other item are instructions; later ones
# are turns of their own. Consecutive items of the model (messages, reasoning, calls) form one
# assistant turn; consecutive results form one user turn.

PathedItem = tuple[Any, str]


def parse_pathed_items(body: Json) -> list[PathedItem]:
    """The input items of a body with their paths; a string is a user's message."""
    input_value = body.get("input")
    if input_value is None:
        return []
    if type(input_value) is str:
        return [({"role": "user", "content": input_value}, "input")]
    if type(input_value) is not list:
        raise wrong_type("input", "a string or a list of items", input_value)
    return [(item, f"input[{i}]") for i, item in enumerate(input_value)]


def parse_conversation(
    pathed_items: Iterable[PathedItem], items_by_id: dict[str, Json]
) -> Conversation:
    """The conversation in items. Raises GatewayError naming the item at fault."""
    conversation = Conversation(items_by_id)
    for item, path in pathed_items:
        _parse_item(conversation, item, path)
    conversation.close()
    return conversation


def _parse_item(conversation: Conversation, item: Any, path: str) -> None:
    if type(item) is not dict:
        raise wrong_type(path, "an object", item)
    kind = text(item, "type", path)
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    reader = _ITEM_PARSERS.get(kind)
    if reader is None or (kind in _TOOL_SEARCH_ITEMS and not is_client_tool_search(item)):
        refusal = _REFUSALS.get(kind, "")
        part = Native(dialect=NAME, data=item, refusal=refusal, path=path)
        conversation.add_assistant_part(part, path)
    else:
        reader(conversation, item, path)


def _parse_message(conversation: Conversation, item: Json, path: str) -> None:
    role = item.get("role")
    if item.get("phase") is not None:
        conversation.unknown_fields[f"{path}.phase"] = item["phase"]
    match role:
        case "user":
            conversation.add_turn(
                Turn(role="user", parts=parse_content(item, "content", path), path=path)
            )
        case "assistant":
            for part in parse_content(item, "content", path) or (Text(text="", path=path),):
                conversation.add_assistant_part(part, path)
        case "system" | "developer":
            _parse_system_message(conversation, item, path)
        case _:
            field_path = f"{path}.role"
            problem = "missing" if role is None else f"not {role!r}"[:60]
            supported_roles = "user, assistant, system, developer"
            raise invalid(
                f"{field_path} must be one of {supported_roles}; it is {problem}", field_path
            )


def _parse_system_message(conversation: Conversation, item: Json, path: str) -> None:
    parts = parse_content(item, "content", path)
    texts = tuple(part for part in parts if isinstance(part, Text))
    if not conversation.has_turn and len(texts) == len(parts):
        conversation.instructions += texts
    else:
        conversation.add_turn(Turn(role="system", parts=parts, path=path))


def _parse_reasoning(conversation: Conversation, item: Json, path: str) -> None:
    """Reasoning: its summary, or else its content, which may be null."""
    texts = [
        part_text
        for key in ("summary", "content")
        if (part_text := _parse_parts_text(item, key, path))
    ]
    value = text(item, "encrypted_content", path)
    item_id = text(item, "id", path) or ""
    signature = None
    if value:
        signature = unwrap_signature(value) or Signature(
            kind=STATE_KIND, value=value, item_id=item_id
        )
    reasoning_text, signature = recover_reasoning_text(texts[0] if texts else "", signature)
    redacted = signature is not None and signature.kind == "redacted"
    conversation.add_assistant_part(
        Reasoning(text=reasoning_text, signature=signature, redacted=redacted, path=path), path
    )


def _parse_parts_text(item: Json, key: str, path: str) -> str:
    parts = objects(item, key, path)
    return "\n\n".join(required_text(p, "text", f"{path}.{key}[{i}]") for i, p in enumerate(parts))


def _record_program_fields(conversation: Conversation, item: Json, path: str) -> None:
    """Record which program called a tool, and that the call does not wait for its result."""
    caller = item.get("caller")
    if caller is not None and caller != {"type": "direct"}:
        conversation.unknown_fields[f"{path}.caller"] = caller
    if item.get("async"):
        conversation.unknown_fields[f"{path}.async"] = item["async"]


def _parse_call(conversation: Conversation, item: Json, path: str) -> None:
    _record_program_fields(conversation, item, path)
    arguments, raw_arguments = _parse_arguments(item, path)
    name = join_name(text(item, "namespace", path), required_text(item, "name", path))
    call_id = required_text(item, "call_id", path)
    conversation.add_assistant_part(
        ToolCall(
            id=call_id, name=name, arguments=arguments, raw_arguments=raw_arguments, path=path
        ),
        path,
    )


def _parse_arguments(item: Json, path: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = item.get("arguments")
    if value is None or type(value) is dict:
        return value or {}, None
    if type(value) is not str:
        raise wrong_type(f"{path}.arguments", "a string of JSON", value)
    return parse_arguments(value)


def _parse_custom_call(conversation: Conversation, item: Json, path: str) -> None:
    _record_program_fields(conversation, item, path)
    name = join_name(text(item, "namespace", path), required_text(item, "name", path))
    call_id, input_text = required_text(item, "call_id", path), text(item, "input", path) or ""
    conversation.add_assistant_part(
        ToolCall(id=call_id, name=name, raw_arguments=input_text, custom=True, path=path), path
    )


def _parse_result(conversation: Conversation, item: Json, path: str) -> None:
    _record_program_fields(conversation, item, path)
    call_id = text(item, "call_id", path)
    if call_id is None:
        raise invalid(f"{path}.call_id is required and must be a string", f"{path}.call_id")
    parts = () if item.get("output") == "" else parse_content(item, "output", path)
    custom = item.get("type") == "custom_tool_call_output"
    conversation.add_result(ToolResult(id=call_id, parts=parts, custom=custom, path=path), path)


def _parse_reference(conversation: Conversation, item: Json, path: str) -> None:
    field_path = f"{path}.id"
    referenced_item = conversation.items_by_id.get(required_text(item, "id", path))
    if referenced_item is None:
        raise invalid(
            f"{field_path}: no item with the id {item['id'][:100]!r} is stored here", field_path
        )
    _parse_item(conversation, referenced_item, path)


def _parse_tools_item(conversation: Conversation, item: Json, path: str) -> None:
    """Tools that Codex sends as an item; they are offered like any other."""
    conversation.tools += parse_tools(item, path)


def _parse_search_call(conversation: Conversation, item: Json, path: str) -> None:
    call_id = required_text(item, "call_id", path)
    arguments, raw_arguments = _parse_arguments(item, path)
    conversation.add_assistant_part(
        ToolCall(
            id=call_id,
            name=CLIENT_TOOL_SEARCH,
            arguments=arguments,
            raw_arguments=raw_arguments,
            path=path,
        ),
        path,
    )


def _parse_search_result(conversation: Conversation, item: Json, path: str) -> None:
    """The tools that the client found: the model reads them, and they are offered from here on."""
    call_id = required_text(item, "call_id", path)
    conversation.tools += [replace(tool, defer=False) for tool in parse_tools(item, path)]
    tool_list = Text(text=compact_json(item.get("tools") or []))
    conversation.add_result(ToolResult(id=call_id, parts=(tool_list,), path=path), path)


_TOOL_SEARCH_ITEMS = frozenset({"tool_search_call", "tool_search_output"})
_ITEM_PARSERS: dict[str, Callable[[Conversation, Json, str], None]] = {
    "message": _parse_message,
    "reasoning": _parse_reasoning,
    "function_call": _parse_call,
    "custom_tool_call": _parse_custom_call,
    "function_call_output": _parse_result,
    "custom_tool_call_output": _parse_result,
    "item_reference": _parse_reference,
    "additional_tools": _parse_tools_item,
    "tool_search_call": _parse_search_call,
    "tool_search_output": _parse_search_result,
}


# --- a provider's items ---------------------------------------------------------------------------

_CALLS_NOT_SENT = "the provider does not accept calls of built-in tools in a history"
_MODEL_ITEM_TYPES = frozenset({"message", "function_call", "custom_tool_call", "reasoning"})


def render_input(context: ResponsesRenderContext, body: Json) -> None:
    """Render instructions and items into the body."""
    if context.traits.built_in_tools:
        context.request = _drop_provider_calls(context)
    context.request, report = pair_tool_results(context.request)
    context.report += report
    if not context.traits.mid_system:
        context.merge_system_turns()
    items = _render_instructions(context, body)
    for index, turn in enumerate(context.request.turns):
        if turn.name is not None:
            context.drop(f"{turn.path}.name" if turn.path else "", "no equivalent")
        items += _render_turn(context, turn, index)
    _refuse_prefill(context, items)
    if not items and "instructions" in body:
        # The API requires an input; instructions without turns are sent as a message.
        text = {"type": "input_text", "text": body.pop("instructions")}
        items = [_render_message_item("developer", [text])]
    body["input"] = _drop_orphaned_reasoning(context, items)


def _drop_provider_calls(context: ResponsesRenderContext) -> Request:
    """The request without free-text calls that the provider answered itself.

    xAI writes its searches of X as calls of tools that the client does not offer.
    """
    request = context.request
    offered_names = {tool.name for tool in request.tools}
    parts = [part for turn in request.turns for part in turn.parts]
    answered_call_ids = {part.id for part in parts if isinstance(part, ToolResult)}
    turns = []
    for turn in request.turns:
        remaining_parts = []
        for part in turn.parts:
            if (
                isinstance(part, ToolCall)
                and part.custom
                and part.id not in answered_call_ids
                and part.name not in offered_names
            ):
                context.drop(part.path, _CALLS_NOT_SENT)
            else:
                remaining_parts.append(part)
        turns.append(
            turn
            if len(remaining_parts) == len(turn.parts)
            else replace(turn, parts=tuple(remaining_parts))
        )
    return replace(request, turns=tuple(turns))


def _render_instructions(context: ResponsesRenderContext, body: Json) -> list[Json]:
    """Render the instructions into the body as one text, or return them as a message item."""
    instructions = [*context.sent_instructions(), *(Text(text=hint) for hint in context.hints)]
    has_cache_breakpoints = (
        any(block.cache for block in instructions) and context.traits.cache == "breakpoints"
    )
    content = render_parts(context, instructions)
    if content and (has_cache_breakpoints or context.all_in_items):
        return [_render_message_item("developer", content)]
    if content:
        body["instructions"] = "\n\n".join(part["text"] for part in content)
    return []


def _render_message_item(role: str, content: list[Json]) -> Json:
    return {"type": "message", "role": role, "content": content}


def _render_turn(context: ResponsesRenderContext, turn: Turn, turn_index: int) -> list[Json]:
    match turn.role:
        case "user":
            return _render_user_turn(context, turn)
        case "assistant":
            return _render_assistant_turn(context, turn, turn_index)
        case "system":
            content = render_parts(context, turn.parts)
            return [_render_message_item("developer", content)] if content else []
        case _:
            assert_never(turn.role)


def _render_user_turn(context: ResponsesRenderContext, turn: Turn) -> list[Json]:
    """Results first, each as an item; then the user's other content."""
    results = [_render_result(context, part) for part in turn.parts if isinstance(part, ToolResult)]
    other_parts = [part for part in turn.parts if not isinstance(part, ToolResult)]
    content = render_parts(context, other_parts)
    return [*results, _render_message_item("user", content)] if content else results


def _render_result(context: ResponsesRenderContext, result: ToolResult) -> Json:
    content = render_parts(context, result.parts)
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
        field = context.request.client_path("is_error")
        context.approximate(f"{result.path}.{field}", "text prefixed with 'Error: '")


# --- assistant turns ------------------------------------------------------------------------------


def _render_assistant_turn(
    context: ResponsesRenderContext, turn: Turn, turn_index: int
) -> list[Json]:
    """The items of a turn in order; consecutive texts form one message."""
    items: list[Json] = []
    message_parts: list[Part] = []
    server_calls: dict[int, list[Json]] = {}
    # A provider other than OpenAI rejects items that it does not know.
    takes_items = not context.traits.built_in_tools
    if takes_items:
        server_calls |= render_searches(context, turn.parts)
        server_calls |= mcp.items_for_history(context.request, turn.parts)
    calls = any(isinstance(part, ToolCall) for part in turn.parts)
    for part in turn.parts:
        if isinstance(part, Native) and not (
            takes_items and part.dialect == NAME and not is_foreign(part.data)
        ):
            part = context.native_text(part) or part
        if isinstance(part, Text | Refusal):
            if message_parts and _message_phase(context, part) != _message_phase(
                context, message_parts[-1]
            ):
                items += _render_message(context, message_parts, f"msg_{turn_index}_{len(items)}")
                message_parts = []
            # An empty message would separate a call from the reasoning before it.
            if part.text or not calls:
                message_parts.append(part)
            continue
        items += _render_message(context, message_parts, f"msg_{turn_index}_{len(items)}")
        message_parts = []
        own_items = server_calls.get(id(part))
        items += _render_item(context, part) if own_items is None else own_items
    return items + _render_message(context, message_parts, f"msg_{turn_index}_{len(items)}")


def _render_message(
    context: ResponsesRenderContext, message_parts: list[Part], item_id: str
) -> list[Json]:
    """A message, in the short form for a single text, as its id would be generated."""
    content = [_render_content_part(context, part) for part in message_parts]
    if not content:
        return []
    phase = _message_phase(context, message_parts[0])
    phase_fields = {} if phase is None else {"phase": phase}
    is_plain_text = content[0].get("type") == "output_text" and not content[0]["annotations"]
    if len(content) == 1 and is_plain_text:
        message = {"type": "message", "role": "assistant", "content": content[0]["text"]}
        return [message | phase_fields]
    return [
        {
            **_render_message_item("assistant", content),
            "id": item_id,
            "status": "completed",
            **phase_fields,
        }
    ]


def _message_phase(context: ResponsesRenderContext, part: Part) -> Any:
    """The `phase` of a message, if a client of this dialect sent one."""
    return context.request.extra.get(NAME, {}).get(f"{part.path.partition('.content')[0]}.phase")


def _render_content_part(context: ResponsesRenderContext, part: Part) -> Json:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    assert isinstance(part, Text)
    context.drop_cache_marks(part.cache)
    rendered_citations = [
        render_citation(citation, 0, len(part.text)) for citation in part.citations
    ]
    annotations = [annotation for annotation in rendered_citations if annotation is not None]
    if len(annotations) < len(rendered_citations):
        context.drop(
            context.part_field(part.path, "citations"),
            "messages do not support sources without a URL",
        )
    return {"type": "output_text", "text": part.text, "annotations": annotations}


def _render_item(context: ResponsesRenderContext, part: Part) -> list[Json]:
    match part:
        case ToolCall():
            return [_render_call(context, part)]
        case Reasoning():
            return _render_reasoning(context, part)
        case Native() if context.traits.built_in_tools:
            context.drop(part.path, _CALLS_NOT_SENT)
            return []
        case Native():
            return render_native(context, part)
        case _:
            context.drop(
                part.path, "an assistant message can only contain text in OpenAI Responses"
            )
            return []


def _render_call(context: ResponsesRenderContext, call: ToolCall) -> Json:
    context.drop_cache_marks(call.cache)
    if call.signature is not None:
        context.drop_signature(call)
    sent_id = context.call_id(call.id)
    if sent_id != call.id:
        reason = "rewritten to the form that the upstream requires; mapped back in the response"
        path = context.part_field(call.path, "tool_id")
        context.approximate(path, reason, before=call.id[:80], after=sent_id)
    common_fields = {"call_id": sent_id, **context.sent_name(call.name)}
    if call.custom and context.traits.custom_tools:
        return {"type": "custom_tool_call", **common_fields, "input": call.raw_arguments or ""}
    arguments = context.call_arguments_text(call)
    return {"type": "function_call", **common_fields, "arguments": arguments}


def _render_reasoning(context: ResponsesRenderContext, reasoning: Reasoning) -> list[Json]:
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
                "reasoning without the item that follows it",
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
    raise context.prefill_error(path)
