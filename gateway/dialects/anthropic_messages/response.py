"""A whole answer: a provider's JSON -> canonical, and back for a client."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.arguments import parsed
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.naming import tool_id
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
from gateway.canon.signature import hidden, wrap
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.citations import citation_out, citations_in
from gateway.dialects.anthropic_messages.errors import error_in, is_error
from gateway.dialects.anthropic_messages.finish import finish_in, finish_out, malformed
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.anthropic_messages.usage import tier_in, tier_out, usage_in, usage_out
from gateway.dialects.base import Exchange, Rendered

_KNOWN = frozenset(
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


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(error_in(body))
    content = body.get("content") if isinstance(body, dict) else None
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise bad_upstream("the upstream's answer is no message: it has no list of content")
    model = text_of(body.get("model"))
    maker = traits.model or model
    parts = tuple([_part_in(block, traits, maker, rendered) for block in content])
    usage = body.get("usage")
    return Response(
        id=text_of(body.get("id")),
        model=model,
        parts=parts,
        finish=finish_in(body, called=any(isinstance(part, ToolCall) for part in parts)),
        usage=usage_in(usage),
        service_tier=tier_in(usage),
        extra=extra_in(body),
    )


def text_of(value: Any) -> str:
    """The string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def extra_in(message: Json) -> dict[str, Json]:
    """The fields of a message that only this dialect knows."""
    extra = {k: v for k, v in message.items() if k not in _KNOWN and v is not None}
    return {NAME: extra} if extra else {}


def made_by(traits: Traits, model: str, value: str, kind: str = "signature") -> Signature:
    """The state under a thought, tagged with its maker."""
    return Signature(provider=traits.kind, model=model, kind=kind, value=value)


def _part_in(block: Any, traits: Traits, model: str, rendered: Rendered | None) -> Part:
    if not isinstance(block, dict):
        raise bad_upstream("the upstream's answer holds a content block that is no object")
    match block.get("type"):
        case "text":
            citations = citations_in(block.get("citations"))
            return Text(text=text_of(block.get("text")), citations=citations)
        case "thinking":
            signature = made_by(traits, model, text_of(block.get("signature")))
            return Reasoning(text=text_of(block.get("thinking")), signature=signature)
        case "redacted_thinking":
            state = made_by(traits, model, text_of(block.get("data")), "redacted")
            return Reasoning(redacted=True, signature=state)
        case "tool_use":
            return call_in(block, rendered)
        case _:
            return Native(dialect=NAME, data=block)


def call_in(block: Json, rendered: Rendered | None) -> ToolCall:
    """A call under the name and in the form that the client knows."""
    sent = text_of(block.get("name"))
    given = block.get("input")
    arguments, raw = parsed(given) if isinstance(given, str) else (given, None)
    custom = rendered is not None and sent in rendered.custom
    if custom:
        arguments, raw = None, free_text(arguments, raw)
    elif raw is None and not isinstance(arguments, dict):
        arguments = {}
    name = rendered.names.get(sent, sent) if rendered is not None else sent
    return ToolCall(
        id=text_of(block.get("id")), name=name, arguments=arguments, raw=raw, custom=custom
    )


def free_text(arguments: Any, raw: str | None) -> str:
    """The input of a free-text tool that was offered as a function with one string."""
    told = arguments.get("input") if isinstance(arguments, dict) else None
    return told if isinstance(told, str) else raw or ""


# --- a client's ------------------------------------------------------------------------


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError if it is garbled."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed(response.finish))
    report: list[Adaptation] = []
    content: list[Json] = []
    for place, part in enumerate(_without_twins(response.parts)):
        content += _part_out(part, f"content[{place}]", exchange, report)
    usage = usage_out(response.usage)
    if (tier := tier_out(response.service_tier)) is not None:
        usage["service_tier"] = tier
    refused = any(isinstance(part, Refusal) for part in response.parts)
    body = {
        "id": f"msg_{exchange.id}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": content,
        **finish_out(response.finish, refused=refused),
        "usage": usage,
        **response.extra.get(NAME, {}),
    }
    return body, tuple(report)


def _without_twins(parts: tuple[Part, ...]) -> list[Part]:
    """The parts, where a call's state is that of the thought before it without the former."""
    told = {p.signature.value for p in parts if isinstance(p, Reasoning) and p.signature}
    return [
        replace(part, signature=None)
        if isinstance(part, ToolCall) and part.signature and part.signature.value in told
        else part
        for part in parts
    ]


def _part_out(part: Part, at: str, exchange: Exchange, report: list[Adaptation]) -> list[Json]:
    match part:
        case Text():
            return [_text_out(part, at, report)]
        case Refusal():
            return [{"type": "text", "text": part.text}]
        case Reasoning():
            return [thought_out(part, exchange)]
        case ToolCall():
            return [_call_out(part, at, exchange, report)]
        case Native() if part.dialect == NAME:
            return [part.data]
        case Native():
            report.append(no_block(at, part.data))
            return []
        case Image() | Document() | Audio() | ToolResult():
            report.append(dropped(at, "no block of an answer for it"))
            return []
        case _:
            assert_never(part)


def no_block(at: str, data: Json) -> Adaptation:
    """The record of a part that only another dialect knows."""
    return dropped(at, f"Anthropic's Messages have no block for a {data.get('type', '')} part")


def _text_out(part: Text, at: str, report: list[Adaptation]) -> Json:
    block: Json = {"type": "text", "text": part.text}
    shown = [citation_out(citation) for citation in part.citations]
    kept = [item for item in shown if item is not None]
    if kept:
        block["citations"] = kept
    if len(kept) < len(shown):
        report.append(no_url(at))
    return block


def no_url(at: str) -> Adaptation:
    """The record of a source that can not be cited."""
    return dropped(f"{at}.citations", "a source without a URL can not be cited here")


def thought_out(part: Reasoning, exchange: Exchange) -> Json:
    """A thinking block; its signature is a token by which its maker is known again."""
    state = part.signature or Signature(kind="text")
    if part.redacted:
        return {"type": "redacted_thinking", "data": wrap(state)}
    if exchange.thinking == "none":
        return {"type": "thinking", "thinking": "", "signature": wrap(hidden(part.text, state))}
    return {"type": "thinking", "thinking": part.text, "signature": wrap(state)}


def _call_out(call: ToolCall, at: str, exchange: Exchange, report: list[Adaptation]) -> Json:
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        report.append(approximated(at, "the arguments are no JSON object; shown as `_raw`"))
        arguments = {"_raw": call.raw or ""}
    if call.signature is not None:
        report.append(no_slot(at))
    return {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": arguments}


def no_slot(at: str) -> Adaptation:
    """The record of a call's state, which this dialect can not carry."""
    return dropped(f"{at}.signature", "a tool call has no place for its provider's state")


def call_id(upstream_id: str) -> str:
    """The id as it is, or without the characters that are illegal here."""
    return tool_id("word", upstream_id)
