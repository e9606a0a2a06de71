"""A complete canonical response -> a client's chat completion."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated, dropped
from gateway.canon.arguments import render_arguments
from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Response
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.citations import citation_out
from gateway.dialects.openai_chat.finish import finish_out
from gateway.dialects.openai_chat.legacy_functions import (
    FUNCTION_CALL,
    ONLY_FIRST_CALL,
    uses_functions,
)
from gateway.dialects.openai_chat.parts import NAME
from gateway.dialects.openai_chat.reasoning import DETAILS, detail_out, reasoning_fields
from gateway.dialects.openai_chat.tool_calls import wrapped_extra_content
from gateway.dialects.openai_chat.usage import render_usage
from gateway.dialects.shared.openai_logprobs import token_logprobs
from gateway.dialects.shared.responses import malformed_output_error

Json = dict[str, Any]


class _MessageBuilder:
    """Collects the fields of one message; losses go into the report."""

    def __init__(self, report: AdaptationReport) -> None:
        self.text: str | None = None
        self.refusal: str | None = None
        self.reasoning = ""
        self.details: list[Json] = []
        self.calls: list[Json] = []
        self.annotations: list[Json] = []
        self.media: Json = {}
        self.report = report

    def record_loss(self, item: Adaptation) -> None:
        """Report a loss once."""
        self.report.add(item)


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and what it could not express.

    Raises GatewayError for a response that the model malformed.
    """
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report = AdaptationReport()
    responses = (response, *response.alternatives)
    body: Json = {
        "id": f"chatcmpl-{context.id}",
        "object": "chat.completion",
        "created": context.created,
        "model": context.model,
        "choices": [
            _choice(choice_response, i, context, report)
            for i, choice_response in enumerate(responses)
        ],
    }
    if (usage := render_usage(response.usage)) is not None:
        body["usage"] = usage
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    extra = response.extra.get(NAME, {})
    if "system_fingerprint" in extra:
        body["system_fingerprint"] = extra["system_fingerprint"]
    return body, tuple(report)


def _choice(
    response: Response, index: int, context: ResponseContext, report: AdaptationReport
) -> Json:
    finish, tokens = response.finish, token_logprobs(response)
    builder = _MessageBuilder(report)
    for part in response.parts:
        _add_part(builder, part)
    if finish.reason == "pause":
        builder.record_loss(approximated("finish_reason", "a paused turn is shown as stopped"))
    refused = builder.refusal is not None
    if not refused and finish.reason in {"filter", "refusal"}:
        builder.refusal = finish.explanation
    return {
        "index": index,
        "message": _message(builder, context),
        "logprobs": {"content": tokens, "refusal": None} if tokens else None,
        "finish_reason": finish_out(finish, refused=refused, functions=uses_functions(context)),
    }


def _message(builder: _MessageBuilder, context: ResponseContext) -> Json:
    message: Json = {"role": "assistant", "content": builder.text, "refusal": builder.refusal}
    if builder.reasoning:
        message |= dict.fromkeys(reasoning_fields(context), builder.reasoning)
    if (
        builder.details
        and context.reasoning_field == DETAILS
        and context.reasoning_display != "none"
    ):
        message[DETAILS] = builder.details
    if builder.annotations:
        message["annotations"] = builder.annotations
    if builder.calls and uses_functions(context):
        message[FUNCTION_CALL] = builder.calls[0]["function"]
        if len(builder.calls) > 1:
            builder.record_loss(ONLY_FIRST_CALL)
    elif builder.calls:
        message["tool_calls"] = builder.calls
    return message | builder.media


def _add_part(builder: _MessageBuilder, part: Part) -> None:
    match part:
        case Text():
            start = len(builder.text or "")
            builder.text = (builder.text or "") + part.text
            _add_citations(builder, part, start, len(builder.text))
        case Reasoning():
            builder.reasoning += part.text
            if part.signature is not None:
                index = len(builder.details)
                detail = detail_out(part.text, part.signature, index, redacted=part.redacted)
                builder.details.append(detail)
        case Refusal():
            builder.refusal = (builder.refusal or "") + part.text
        case ToolCall():
            builder.calls.append(_tool_call(part))
        case Native():
            _add_native(builder, part)
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            builder.record_loss(
                dropped(f"content.{kind}", "no equivalent in an OpenAI Chat response")
            )
        case _:
            assert_never(part)


def _add_citations(builder: _MessageBuilder, text: Text, start: int, end: int) -> None:
    for citation in text.citations:
        annotation = citation_out(citation, start, end)
        if annotation is not None:
            builder.annotations.append(annotation)
        else:
            why = "OpenAI Chat has no sources without a URL"
            builder.record_loss(dropped("citations", why))


def _tool_call(call: ToolCall) -> Json:
    out: Json = {"id": call.id, "type": "function"}
    if call.custom:
        out |= {
            "type": "custom",
            "custom": {"name": call.name, "input": call.raw or ""},
        }
    else:
        out["function"] = {"name": call.name, "arguments": render_arguments(call)}
    if call.signature is not None:
        out["extra_content"] = wrapped_extra_content(call.signature)
    return out


def _add_native(builder: _MessageBuilder, part: Native) -> None:
    if part.dialect != NAME:
        kind = part.data.get("type", "unknown")
        builder.record_loss(dropped(f"content.{kind}", "no equivalent in OpenAI Chat"))
        return
    field = part.data.get("type", "")
    fields = {key: value for key, value in part.data.items() if key != "type"}
    if field == "images":
        builder.media["images"] = [*builder.media.get("images", []), *fields.get("images", [])]
    elif field:
        builder.media[field] = fields
