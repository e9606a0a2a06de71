"""A non-streaming response: a provider's JSON -> canonical, and canonical -> a client's JSON."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.arguments import parse_arguments
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
from gateway.canon.response import Response
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.citations import parse_citations, render_citation
from gateway.dialects.anthropic_messages.errors import is_error, parse_error_payload
from gateway.dialects.anthropic_messages.finish import (
    malformed_output_error,
    parse_finish,
    render_finish,
)
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.anthropic_messages.usage import (
    parse_service_tier,
    parse_usage,
    render_service_tier,
    render_usage,
)
from gateway.dialects.anthropic_messages.web_searches import render_search_blocks
from gateway.dialects.base import RenderedRequest, ResponseContext

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


# --- a provider's ----------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    content = body.get("content") if isinstance(body, dict) else None
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise bad_upstream("the upstream's answer is no message: it has no list of content")
    model = string_or_empty(body.get("model"))
    model_name = traits.model or model
    parts = tuple([_parse_block(block, traits, model_name, rendered) for block in content])
    usage = body.get("usage")
    return Response(
        id=string_or_empty(body.get("id")),
        model=model,
        parts=parts,
        finish=parse_finish(body, has_tool_call=any(isinstance(part, ToolCall) for part in parts)),
        usage=parse_usage(usage),
        service_tier=parse_service_tier(usage),
        extra=parse_extra_fields(body),
    )


def string_or_empty(value: Any) -> str:
    """The value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def parse_extra_fields(message: Json) -> dict[str, Json]:
    """The fields of a message that only this dialect knows."""
    extra = {k: v for k, v in message.items() if k not in _PARSED_FIELDS and v is not None}
    return {NAME: extra} if extra else {}


def tag_signature(
    traits: Traits, model: str, signature_value: str, kind: str = "signature"
) -> Signature:
    """A reasoning signature, tagged with the provider and model that created it."""
    return Signature(provider=traits.kind, model=model, kind=kind, value=signature_value)


def _parse_block(block: Any, traits: Traits, model: str, rendered: RenderedRequest | None) -> Part:
    if not isinstance(block, dict):
        raise bad_upstream("the upstream's answer holds a content block that is no object")
    match block.get("type"):
        case "text":
            citations = parse_citations(block.get("citations"))
            return Text(text=string_or_empty(block.get("text")), citations=citations)
        case "thinking":
            signature = tag_signature(traits, model, string_or_empty(block.get("signature")))
            return Reasoning(text=string_or_empty(block.get("thinking")), signature=signature)
        case "redacted_thinking":
            state = tag_signature(traits, model, string_or_empty(block.get("data")), "redacted")
            return Reasoning(redacted=True, signature=state)
        case "tool_use":
            return parse_tool_use(block, rendered)
        case _:
            return Native(dialect=NAME, data=block)


def parse_tool_use(block: Json, rendered: RenderedRequest | None) -> ToolCall:
    """A call under the name and in the form that the client knows."""
    sent_name = string_or_empty(block.get("name"))
    input_value = block.get("input")
    arguments, raw = (
        parse_arguments(input_value) if isinstance(input_value, str) else (input_value, None)
    )
    custom = rendered is not None and sent_name in rendered.custom_tools
    if custom:
        arguments, raw = None, unwrap_custom_input(arguments, raw)
    elif raw is None and not isinstance(arguments, dict):
        arguments = {}
    name = rendered.client_names.get(sent_name, sent_name) if rendered is not None else sent_name
    return ToolCall(
        id=string_or_empty(block.get("id")), name=name, arguments=arguments, raw=raw, custom=custom
    )


def unwrap_custom_input(arguments: Any, raw: str | None) -> str:
    """The input of a free-text tool that was sent as a function with one string."""
    input_text = arguments.get("input") if isinstance(arguments, dict) else None
    return input_text if isinstance(input_text, str) else raw or ""


# --- a client's ------------------------------------------------------------------------


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report: list[Adaptation] = []
    content: list[Json] = []
    for index, part in enumerate(_drop_duplicate_signatures(response.parts)):
        content += _render_part(part, f"content[{index}]", context, report)
    usage = render_usage(response.usage)
    if (tier := render_service_tier(response.service_tier)) is not None:
        usage["service_tier"] = tier
    refused = any(isinstance(part, Refusal) for part in response.parts)
    body = {
        "id": f"msg_{context.id}",
        "type": "message",
        "role": "assistant",
        "model": context.model,
        "content": content,
        **render_finish(response.finish, has_refusal=refused),
        "usage": usage,
        **response.extra.get(NAME, {}),
    }
    return body, tuple(report)


def _drop_duplicate_signatures(parts: tuple[Part, ...]) -> list[Part]:
    """The parts; a call loses its signature if a reasoning part carries the same."""
    reasoning_signatures = {
        p.signature.value for p in parts if isinstance(p, Reasoning) and p.signature
    }
    return [
        replace(part, signature=None)
        if isinstance(part, ToolCall)
        and part.signature
        and part.signature.value in reasoning_signatures
        else part
        for part in parts
    ]


def _render_part(
    part: Part, path: str, context: ResponseContext, report: list[Adaptation]
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
            blocks = render_search_blocks(part.data)
            if not blocks:
                report.append(unsupported_part(path, part.data))
            return blocks
        case Image() | Document() | Audio() | ToolResult():
            report.append(dropped(path, "no block of an answer for it"))
            return []
        case _:
            assert_never(part)


def unsupported_part(path: str, data: Json) -> Adaptation:
    """The record of a part that only another dialect knows."""
    return dropped(path, f"Anthropic's Messages have no block for a {data.get('type', '')} part")


def _render_text(part: Text, path: str, report: list[Adaptation]) -> Json:
    block: Json = {"type": "text", "text": part.text}
    rendered_citations = [render_citation(citation) for citation in part.citations]
    citations = [item for item in rendered_citations if item is not None]
    if citations:
        block["citations"] = citations
    if len(citations) < len(rendered_citations):
        report.append(citation_without_url(path))
    return block


def citation_without_url(path: str) -> Adaptation:
    """The record of a source that cannot be cited."""
    return dropped(f"{path}.citations", "a source without a URL cannot be cited here")


def render_reasoning(part: Reasoning, context: ResponseContext) -> Json:
    """Renders a thinking block; its signature token identifies the provider and model."""
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
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        report.append(approximated(path, "the arguments are no JSON object; shown as `_raw`"))
        arguments = {"_raw": call.raw or ""}
    if call.signature is not None:
        report.append(dropped_call_signature(path))
    return {
        "type": "tool_use",
        "id": render_call_id(call.id),
        "name": call.name,
        "input": arguments,
    }


def dropped_call_signature(path: str) -> Adaptation:
    """The record of a call's state, which this dialect cannot carry."""
    return dropped(f"{path}.signature", "a tool call has no place for its provider's state")


def render_call_id(upstream_id: str) -> str:
    """The id without the characters that are illegal here."""
    return render_tool_id("word", upstream_id)
