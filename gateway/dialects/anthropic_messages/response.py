"""Complete responses: a provider's JSON to canonical, and back for a client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, assert_never

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.arguments import parse_arguments
from gateway.canon.call_ids import UnusedIds
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.naming import render_tool_id
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Finish, Response, Usage, unknown_reason
from gateway.canon.signature import FOREIGN_SEARCH, hide_reasoning_text, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.blocks import parse_citations, render_citation
from gateway.dialects.anthropic_messages.context import (
    FINISH_REASONS,
    NAME,
    SERVICE_TIERS,
    STOP_REASONS,
    Json,
)
from gateway.dialects.anthropic_messages.errors import is_error, parse_error_payload
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.shared import code_execution, mcp, web_search
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.fields import (
    native_kind,
    object_or_empty,
    string_or_empty,
    string_or_none,
    token_count,
)
from gateway.dialects.shared.reported_cost import COST_FIELDS, parse_reported_cost
from gateway.dialects.shared.web_search import read_call, request_counts

_PARSED_FIELDS = frozenset(
    {
        "id",
        "type",
        "role",
        "model",
        "content",
        "stop_reason",
        "stop_sequence",
        "stop_details",
        "usage",
    }
)


# --- a provider's response ------------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    content = body.get("content") if isinstance(body, dict) else None
    if (content is None or "error" in body) and is_error(body):
        raise GatewayError(parse_error_payload(body))
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise bad_upstream("the upstream's response is not a message: it has no content list")
    model = string_or_empty(body.get("model"))
    model_name = traits.model or model
    parts = tuple([_parse_block(block, traits, model_name, rendered_request) for block in content])
    if len(parts) > 1:
        parts = _with_unique_call_ids(parts)
    usage = body.get("usage")
    return Response(
        id=string_or_empty(body.get("id")),
        model=model,
        parts=parts,
        finish=parse_finish(body, has_tool_call=ToolCall in [type(part) for part in parts]),
        usage=parse_usage(usage),
        service_tier=parse_service_tier(usage),
        extra=parse_extra_fields(body),
    )


def _with_unique_call_ids(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts, each call with an id of its own."""
    ids = UnusedIds()
    return tuple(
        [
            replace(part, id=ids.claim(part.id)) if isinstance(part, ToolCall) else part
            for part in parts
        ]
    )


def parse_extra_fields(message: Json) -> dict[str, Json]:
    """The fields of a message that only this dialect knows."""
    if message.keys() <= _PARSED_FIELDS:
        return {}
    extra = {k: v for k, v in message.items() if k not in _PARSED_FIELDS and v is not None}
    return {NAME: extra} if extra else {}


def tag_signature(
    traits: Traits, model: str, signature_value: str, kind: str = "signature"
) -> Signature:
    """A reasoning signature, tagged with the provider and model that created it."""
    return Signature(provider=traits.preset, model=model, kind=kind, value=signature_value)


def _parse_block(
    block: Any, traits: Traits, model: str, rendered_request: RenderedRequest | None
) -> Part:
    if not isinstance(block, dict):
        raise bad_upstream("the upstream's response contains a content block that is not an object")
    match block.get("type"):
        case "text":
            citations = block.get("citations")
            return Text(
                text=string_or_empty(block.get("text")),
                citations=parse_citations(citations) if citations else (),
            )
        case "thinking":
            signature = tag_signature(traits, model, string_or_empty(block.get("signature")))
            return Reasoning(text=string_or_empty(block.get("thinking")), signature=signature)
        case "redacted_thinking":
            state = tag_signature(traits, model, string_or_empty(block.get("data")), "redacted")
            return Reasoning(redacted=True, signature=state)
        case "tool_use":
            return parse_tool_use(block, rendered_request)
        case _:
            return Native(dialect=NAME, data=block)


def parse_tool_use(block: Json, rendered_request: RenderedRequest | None) -> ToolCall:
    """A call under the name and in the form that the client knows."""
    sent_name = string_or_empty(block.get("name"))
    input_value = block.get("input")
    arguments, raw_arguments = (
        parse_arguments(input_value) if isinstance(input_value, str) else (input_value, None)
    )
    custom = rendered_request is not None and sent_name in rendered_request.custom_tools
    if custom:
        arguments, raw_arguments = None, unwrap_custom_input(arguments, raw_arguments)
    elif raw_arguments is None and not isinstance(arguments, dict):
        arguments = {}
    name = (
        rendered_request.client_names.get(sent_name, sent_name)
        if rendered_request is not None
        else sent_name
    )
    return ToolCall(
        id=string_or_empty(block.get("id")),
        name=name,
        arguments=arguments,
        raw_arguments=raw_arguments,
        custom=custom,
        caller=object_or_empty(block.get("caller")),
    )


def unwrap_custom_input(arguments: Any, raw_arguments: str | None) -> str:
    """The input of a free-text tool that was sent as a function with one string."""
    input_text = arguments.get("input") if isinstance(arguments, dict) else None
    return input_text if isinstance(input_text, str) else raw_arguments or ""


# --- a client's response --------------------------------------------------------------------------


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report: list[Adaptation] = []
    content: list[Json] = []
    code_blocks = code_execution.CodeBlocks(context.id)
    for index, part in enumerate(_drop_duplicate_signatures(response.parts)):
        content += _render_part(part, f"content[{index}]", context, report, code_blocks)
    usage = count_searches(render_usage(response.usage), content)
    if (tier := render_service_tier(response.service_tier)) is not None:
        usage["service_tier"] = tier
    has_refusal = Refusal in [type(part) for part in response.parts]
    body = {
        "id": f"msg_{context.id}",
        "type": "message",
        "role": "assistant",
        "model": context.model,
        "content": content,
        **render_finish(response.finish, has_refusal=has_refusal),
        "usage": usage,
        **response.extra.get(NAME, {}),
    }
    return body, tuple(report)


def _drop_duplicate_signatures(parts: tuple[Part, ...]) -> Sequence[Part]:
    """The parts; a call loses its signature if a reasoning part carries the same."""
    reasoning_signatures = {
        p.signature.value for p in parts if type(p) is Reasoning and p.signature
    }
    if not reasoning_signatures:
        return parts
    return [
        replace(part, signature=None)
        if isinstance(part, ToolCall)
        and part.signature
        and part.signature.value in reasoning_signatures
        else part
        for part in parts
    ]


def _render_part(
    part: Part,
    path: str,
    context: ResponseContext,
    report: list[Adaptation],
    code_blocks: code_execution.CodeBlocks,
) -> list[Json]:
    match part:
        case Text():
            return [_render_text(part, path, report)]
        case Refusal():
            return [{"type": "text", "text": part.text}]
        case Reasoning():
            return [render_reasoning(part, context)]
        case ToolCall():
            return [_render_tool_use(part, path, context, report)]
        case Native() if part.dialect == NAME:
            return [part.data]
        case Native():
            return render_foreign_part(part.data, path, report, code_blocks)
        case Image() | Document() | Audio() | ToolResult():
            report.append(dropped_field(path, "responses do not support it"))
            return []
        case _:
            assert_never(part)


def unsupported_part(path: str, data: Json) -> Adaptation:
    """The adaptation for a part that only another dialect supports."""
    return dropped_field(path, f"Anthropic Messages does not support {native_kind(data)} parts")


def _render_text(part: Text, path: str, report: list[Adaptation]) -> Json:
    block: Json = {"type": "text", "text": part.text}
    if not part.citations:
        return block
    rendered_citations = [render_citation(citation) for citation in part.citations]
    citations = [item for item in rendered_citations if item is not None]
    if citations:
        block["citations"] = citations
    if len(citations) < len(rendered_citations):
        report.append(citation_without_url(path))
    return block


def citation_without_url(path: str) -> Adaptation:
    """The adaptation for a source that cannot be cited."""
    return dropped_field(f"{path}.citations", "a source without a URL cannot be cited here")


def render_reasoning(part: Reasoning, context: ResponseContext) -> Json:
    """Render a thinking block; its signature token identifies the provider and model."""
    signature = part.signature or Signature(kind="text")
    if part.redacted:
        return {"type": "redacted_thinking", "data": wrap_signature(signature)}
    if context.reasoning_display == "none":
        return {
            "type": "thinking",
            "thinking": "",
            "signature": wrap_signature(hide_reasoning_text(part.text, signature)),
        }
    return {"type": "thinking", "thinking": part.text, "signature": wrap_signature(signature)}


def _render_tool_use(
    call: ToolCall, path: str, context: ResponseContext, report: list[Adaptation]
) -> Json:
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw_arguments or ""}
    elif arguments is None:
        report.append(
            approximated_field(path, "the arguments are not a JSON object; shown as `_raw`")
        )
        arguments = {"_raw": call.raw_arguments or ""}
    if call.signature is not None:
        report.append(dropped_call_signature(path))
    return render_tool_use(call.id, call.name, arguments, call.caller)


def render_tool_use(call_id: str, name: str, arguments: Json, caller: Json) -> Json:
    """The block of a call; `caller` is left out if it is empty."""
    block: Json = {
        "type": "tool_use",
        "id": render_call_id(call_id),
        "name": name,
        "input": arguments,
    }
    return {**block, "caller": caller} if caller else block


def dropped_call_signature(path: str) -> Adaptation:
    """The adaptation for a call's state, which this dialect cannot carry."""
    return dropped_field(f"{path}.signature", "tool calls cannot carry the provider's state")


def render_call_id(upstream_id: str) -> str:
    """The id without the characters that are illegal here."""
    return render_tool_id("word", upstream_id)


# --- searches and code that another provider ran --------------------------------------------------

_INVALID_ID_CHARACTERS = re.compile(r"[^a-zA-Z0-9_]")


def render_foreign_part(
    data: Json, path: str, report: list[Adaptation], code_blocks: code_execution.CodeBlocks
) -> list[Json]:
    """The blocks of a part of another dialect; unsupported parts and losses are reported."""
    blocks = render_search_blocks(data) or code_blocks.render(data)
    if not blocks:
        report.append(unsupported_part(path, data))
        return []
    report += [dropped_field(path, f"not shown: {loss}") for loss in code_execution.losses_of(data)]
    return blocks


def render_search_blocks(data: Json) -> list[Json]:
    """The call and the result for a search or a call of an MCP server; empty for any other part.

    A page that was opened has no block: its result would have to contain the page.
    """
    mcp_call = mcp.read_call(data)
    if mcp_call is not None:
        return mcp.render_call_blocks(mcp_call, mcp.block_id(mcp_call))
    search = read_call(data)
    if search is None or search.page_url:
        return []
    call_id = FOREIGN_SEARCH + _INVALID_ID_CHARACTERS.sub("_", search.id)
    result: Json = {"type": f"{web_search.NAME}_tool_result", "tool_use_id": call_id}
    if search.failed:
        error_type = f"{web_search.NAME}_tool_result_error"
        result["content"] = {"type": error_type, "error_code": "unavailable"}
    else:
        result["content"] = [
            {
                "type": f"{web_search.NAME}_result",
                "url": url,
                "title": url,
                "encrypted_content": "",
                "page_age": None,
            }
            for url in search.sources
        ]
    search_input = {"query": search.query}
    call = {
        "type": "server_tool_use",
        "id": call_id,
        "name": web_search.NAME,
        "input": search_input,
    }
    return [call, result]


# --- finish reasons -------------------------------------------------------------------------------

_CATEGORIES = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})


def parse_finish(stop_fields: Json, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `has_tool_call` says whether the response contains a tool call.

    A tool call takes precedence over the reported reason.
    """
    stop_reason = stop_fields.get("stop_reason")
    reason: Any = (
        FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    details: Any = stop_fields.get("stop_details")
    details = details if isinstance(details, dict) else {}
    return Finish(
        reason=reason,
        stop_sequence=string_or_none(stop_fields.get("stop_sequence")),
        explanation=string_or_none(details.get("explanation")),
        category=string_or_none(details.get("category")),
        recommended_model=string_or_none(details.get("recommended_model")),
        unknown=unknown_reason(stop_reason, FINISH_REASONS),
    )


def render_finish(finish: Finish, *, has_refusal: bool) -> Json:
    """`stop_reason`, `stop_sequence` and, for a refusal, its details.

    `has_refusal` says whether the response contains a refusal part.
    """
    if has_refusal and finish.reason == "stop":
        finish = replace(finish, reason="refusal")
    out: Json = {
        "stop_reason": STOP_REASONS.get(finish.reason, "end_turn"),
        "stop_sequence": finish.stop_sequence,
    }
    if out["stop_reason"] == "refusal" and (finish.explanation or finish.category):
        # Another provider's category is not one of Anthropic's.
        has_anthropic_category = finish.category in _CATEGORIES
        out["stop_details"] = {
            "type": "refusal",
            "category": finish.category if has_anthropic_category else None,
            "explanation": finish.explanation
            or (None if has_anthropic_category else finish.category),
        }
        if finish.recommended_model is not None:
            out["stop_details"]["recommended_model"] = finish.recommended_model
    return out


# --- usage ----------------------------------------------------------------------------------------

# Fields of `usage` that only this dialect knows, and their types.
_NATIVE_FIELDS: dict[str, type] = {
    "server_tool_use": dict,
    "inference_geo": str,
    "speed": str,
    "iterations": list,
}
_WIRE_TIERS = {canonical_tier: wire_tier for wire_tier, canonical_tier in SERVICE_TIERS.items()}


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None if it has no counts."""
    if not isinstance(usage, dict):
        return None
    cache_write, written_1h = token_count(usage, "cache_creation_input_tokens"), None
    cache_creation = usage.get("cache_creation")
    if isinstance(cache_creation, dict):
        written_5m = token_count(cache_creation, "ephemeral_5m_input_tokens")
        written_1h = token_count(cache_creation, "ephemeral_1h_input_tokens")
        if cache_write is None and (written_5m is not None or written_1h is not None):
            cache_write = (written_5m or 0) + (written_1h or 0)
    details, tools = usage.get("output_tokens_details"), usage.get("server_tool_use")
    counts = Usage(
        input=token_count(usage, "input_tokens"),
        cache_read=token_count(usage, "cache_read_input_tokens"),
        cache_write=cache_write,
        cache_write_1h=written_1h,
        output=token_count(usage, "output_tokens"),
        reasoning=token_count(details, "thinking_tokens") if isinstance(details, dict) else None,
        web_searches=token_count(tools, "web_search_requests") if isinstance(tools, dict) else None,
        provider_cost=None if COST_FIELDS.isdisjoint(usage) else parse_reported_cost(usage),
        native=usage,
    )
    return counts if usage else None


# Bounds the merged usage: a server could send new names with every event.
_MAX_FIELDS = 100


def merge_usage_fields(old_fields: Json, new_fields: Any) -> Json:
    """Merge a later `usage` object of a stream into an earlier one, field by field.

    The counts in an object of it, such as `cache_creation`, are merged as well.
    """
    if not isinstance(new_fields, dict):
        return old_fields
    merged_fields = _merge_counts(old_fields, new_fields)
    for name, value in new_fields.items():
        old_value = old_fields.get(name)
        if isinstance(value, dict) and isinstance(old_value, dict):
            merged_fields[name] = _merge_counts(old_value, value)
    return merged_fields


def _merge_counts(old_counts: Json, new_counts: Json) -> Json:
    """Counts only grow: some servers report a count at the start and send 0 at the end."""
    reported_counts = {
        k: v for k, v in new_counts.items() if v is not None and not (v == 0 and old_counts.get(k))
    }
    if len(old_counts) > _MAX_FIELDS:
        reported_counts = {k: v for k, v in reported_counts.items() if k in old_counts}
    return {**old_counts, **reported_counts}


def render_usage(usage: Usage | None) -> Json:
    """The `usage` object. The API requires its counts, so unknown ones are 0."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    out: Json = {
        "input_tokens": usage.input or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "output_tokens": usage.output or 0,
    }
    if usage.cache_write_1h is not None:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, (usage.cache_write or 0) - usage.cache_write_1h),
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.web_searches:
        out["server_tool_use"] = web_search.request_counts(usage.web_searches)
    native = usage.native
    for name, kind in _NATIVE_FIELDS.items():
        if name in native and isinstance(native[name], kind):
            out[name] = native[name]
    return out


def count_searches(usage: Json, content: list[Json]) -> Json:
    """The `usage` with the number of searches in the content, unless it has a number."""
    searches = sum(map(_is_search, content))
    if not searches or "server_tool_use" in usage:
        return usage
    return {**usage, "server_tool_use": request_counts(searches)}


def _is_search(block: Json) -> bool:
    return block.get("type") == "server_tool_use" and block.get("name") == web_search.NAME


def parse_service_tier(usage: Any) -> str | None:
    """The canonical service tier in a `usage` object."""
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return SERVICE_TIERS.get(tier, tier) if isinstance(tier, str) else None


def render_service_tier(tier: str | None) -> str | None:
    """The service tier's wire value; None if the dialect has none for it."""
    return _WIRE_TIERS.get(tier or "")


# --- usage and finish reason of a response that passes through ------------------------------------
#
# One typed decode instead of a full parse. Unexpected shapes return None and are then
# parsed in full.


class _Block(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    id: str
    type: Literal["message"]
    model: str
    content: list[_Block]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Message)


def peek_usage(body: bytes) -> Response | None:
    """The response without tool calls and reasoning; None if it needs a full parse."""
    try:
        message = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    stop_fields = {
        "stop_reason": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "stop_details": message.stop_details,
    }
    has_tool_call = False
    text = ""
    for block in message.content:
        has_tool_call = has_tool_call or block.type == "tool_use"
        text += block.text
    return Response(
        id=message.id,
        model=message.model,
        parts=(Text(text=text),) if text else (),
        finish=parse_finish(stop_fields, has_tool_call=has_tool_call),
        usage=parse_usage(message.usage),
        service_tier=parse_service_tier(message.usage),
    )
