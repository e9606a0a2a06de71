"""Complete responses: canonical to a client's JSON; finish reasons and usage, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated_field, dropped_field
from gateway.canon.arguments import render_arguments
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.json_values import decode_or_none
from gateway.canon.logprobs import token_logprobs
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
from gateway.canon.response import Finish, FinishReason, Response, Usage, unknown_reason
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.parts import FINGERPRINT, MODERATION, NAME, render_citation
from gateway.dialects.openai_chat.reasoning import (
    DETAILS,
    THINKING_CHUNKS,
    reasoning_fields,
    render_reasoning_detail,
    thinking_chunk,
)
from gateway.dialects.openai_chat.tool_calls import wrap_extra_content
from gateway.dialects.openai_chat.tools import FUNCTION_CALL, ONLY_FIRST_CALL, uses_functions
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.fields import native_kind, object_or_empty, token_count
from gateway.dialects.shared.image_generation import render_chat_images
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload
from gateway.dialects.shared.openai_response import (
    CHAT_TIERS,
    render_completion_usage,
    render_service_tier,
)
from gateway.dialects.shared.reported_cost import parse_reported_cost

Json = dict[str, Any]
_RESPONSES = "openai_responses"


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
            _render_choice(choice_response, i, context, report)
            for i, choice_response in enumerate(responses)
        ],
    }
    if (usage := render_completion_usage(response.usage)) is not None:
        body["usage"] = usage
    body |= render_origin(response.service_tier, response.extra, report)
    moderation = render_moderation(response.extra) if response.extra else None
    if moderation is not None:
        body[MODERATION] = moderation
    if context.framing == "api_v1":
        body.setdefault(FINGERPRINT, None)  # required by OpenRouter's SDKs
    return body, tuple(report)


def render_origin(
    service_tier: str | None, extra: dict[str, Json], report: AdaptationReport
) -> Json:
    """`service_tier` and `system_fingerprint`, of a response and of every chunk of a stream.

    Each only if the upstream reported it. Source: `ChatCompletionChunk` of the openai SDK.
    """
    tier = render_service_tier(service_tier, CHAT_TIERS, report)
    fingerprint = extra.get(NAME, {}).get(FINGERPRINT)
    return tier if fingerprint is None else {**tier, FINGERPRINT: fingerprint}


def render_moderation(extra: dict[str, Json]) -> Json | None:
    """The results of moderation, of this API or of Responses; None if there are none.

    Responses has the result of each side itself, Chat a list of results (the openai SDK's types).
    """
    own_results = extra.get(NAME, {}).get(MODERATION)
    if isinstance(own_results, dict):
        return own_results
    results = extra.get(_RESPONSES, {}).get(MODERATION)
    if not isinstance(results, dict):
        return None
    return {side: _moderation_results(result) for side, result in results.items()}


def _moderation_results(result: Any) -> Any:
    if not isinstance(result, dict) or result.get("type") != "moderation_result":
        return result
    return {"type": "moderation_results", "model": result.get("model"), "results": [result]}


def _render_choice(
    response: Response, index: int, context: ResponseContext, report: AdaptationReport
) -> Json:
    finish = response.finish
    tokens = token_logprobs(response) if response.extra else []
    builder = _MessageBuilder(report)
    for part in response.parts:
        _add_part(builder, part)
    if finish.reason == "pause":
        builder.report.add(approximated_field("finish_reason", "a paused turn is shown as stopped"))
    has_refusal = builder.refusal is not None
    if not has_refusal and finish.reason in {"filter", "refusal"}:
        builder.refusal = finish.explanation
    return {
        "index": index,
        "message": _render_message(builder, context),
        "logprobs": (
            render_logprobs(tokens, is_refusal=has_refusal and builder.text is None)
            if tokens
            else None
        ),
        "finish_reason": render_finish(
            finish, has_refusal=has_refusal, functions=uses_functions(context)
        ),
    }


def render_logprobs(tokens: Sequence[Json], *, is_refusal: bool) -> Json:
    """The `logprobs` of a choice: the tokens of its text or of its refusal."""
    if is_refusal:
        return {"content": None, "refusal": tokens}
    return {"content": tokens, "refusal": None}


def _render_message(builder: _MessageBuilder, context: ResponseContext) -> Json:
    message: Json = {"role": "assistant", "content": builder.text, "refusal": builder.refusal}
    if builder.reasoning:
        fields = reasoning_fields(context)
        if fields == THINKING_CHUNKS:
            text_chunks = [{"type": "text", "text": builder.text}] if builder.text else []
            message["content"] = [thinking_chunk(builder.reasoning), *text_chunks]
        else:
            message |= dict.fromkeys(fields, builder.reasoning)
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
            builder.report.add(ONLY_FIRST_CALL)
    elif builder.calls:
        message["tool_calls"] = builder.calls
    return message | builder.media


def _add_part(builder: _MessageBuilder, part: Part) -> None:
    match part:
        case Text():
            start = len(builder.text or "")
            builder.text = (builder.text or "") + part.text
            for citation in part.citations:
                annotation = render_citation(citation, start, len(builder.text))
                if annotation is not None:
                    builder.annotations.append(annotation)
                else:
                    reason = "OpenAI Chat does not support sources without a URL"
                    builder.report.add(dropped_field("annotations", reason))
        case Reasoning():
            builder.reasoning += part.text
            if part.signature is not None:
                index = len(builder.details)
                detail = render_reasoning_detail(
                    part.text, part.signature, index, redacted=part.redacted
                )
                builder.details.append(detail)
        case Refusal():
            builder.refusal = (builder.refusal or "") + part.text
        case ToolCall():
            builder.calls.append(_render_tool_call(part))
        case Native():
            _add_native(builder, part)
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            builder.report.add(
                dropped_field(f"content.{kind}", "no equivalent in an OpenAI Chat response")
            )
        case _:
            assert_never(part)


def _render_tool_call(call: ToolCall) -> Json:
    out: Json = {"id": call.id, "type": "function"}
    if call.custom:
        out |= {
            "type": "custom",
            "custom": {"name": call.name, "input": call.raw_arguments or ""},
        }
    else:
        out["function"] = {"name": call.name, "arguments": render_arguments(call)}
    if call.signature is not None:
        out["extra_content"] = wrap_extra_content(call.signature)
    return out


def _add_native(builder: _MessageBuilder, part: Native) -> None:
    if part.dialect != NAME:
        if images := render_chat_images(part.data):
            builder.media["images"] = [*builder.media.get("images", []), *images]
            return
        kind = native_kind(part.data)
        builder.report.add(dropped_field(f"content.{kind}", "no equivalent in OpenAI Chat"))
        return
    field = part.data.get("type", "")
    fields = {key: value for key, value in part.data.items() if key != "type"}
    if field == "images":
        builder.media["images"] = [*builder.media.get("images", []), *fields.get("images", [])]
    elif field == "annotations":
        builder.annotations += fields.get(field, [])
    elif field:
        builder.media[field] = fields


# --- finish reasons -------------------------------------------------------------------------------

# In lower case, without a detail after a colon, which Google's compatible API adds. `eos` is
# Together's, `model_length` Mistral's, `error` OpenRouter's and Mistral's; Z.ai has `sensitive` and
# `network_error`, Google the names of its own filters, vLLM and SGLang `abort`.
_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "tool_calls": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "model_context_window_exceeded": "context",
    **dict.fromkeys(("content_filter", "sensitive", "safety", "recitation"), "filter"),
    **dict.fromkeys(("blocklist", "prohibited_content", "spii"), "filter"),
    **dict.fromkeys(("error", "network_error", "abort"), "malformed"),
    # DeepSeek aborted the response itself.
    "insufficient_system_resource": "malformed",
}
_CLIENT_FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
    "malformed": "stop",
}


def parse_finish(finish_reason: Any, *, calls: bool, has_refusal: bool, stop: Any = None) -> Finish:
    """The canonical finish of a response with these properties.

    A tool call takes precedence over the provider's reason.
    `stop` is the sequence that ended it, where the provider says so (vLLM).
    """
    name = finish_reason.partition(":")[0].lower() if isinstance(finish_reason, str) else "stop"
    reason = _FINISH_REASONS.get(name, "stop")
    unknown = None if name in _FINISH_REASONS else unknown_reason(finish_reason, ())
    if calls and reason == "stop":
        reason = "tool"
    elif reason == "tool" and not calls:
        reason = "stop"
    if has_refusal and reason == "stop":
        reason = "refusal"
    if reason == "stop" and isinstance(stop, str) and stop:
        return Finish(reason="stop_sequence", stop_sequence=stop)
    explanation = (
        f"the model's response ended with {finish_reason}" if reason == "malformed" else None
    )
    return Finish(reason=reason, explanation=explanation, unknown=unknown)


def render_finish(finish: Finish, *, has_refusal: bool, functions: bool = False) -> str:
    """The `finish_reason` for a client; `has_refusal`: whether the model wrote a refusal.

    `functions`: whether the client accepts calls in the legacy form only.
    A refusal without text comes from the provider's filter, not from the model.
    """
    if finish.reason == "refusal" and not has_refusal:
        return "content_filter"
    if functions and finish.reason == "tool":
        return FUNCTION_CALL
    return _CLIENT_FINISH_REASONS[finish.reason]


# --- usage ----------------------------------------------------------------------------------------


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    """The fields that OpenAI itself sends. Fields of other providers may only be null."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: None = None
    prompt_cache_miss_tokens: None = None
    cached_tokens: None = None
    cache_write_tokens: None = None
    reasoning_tokens: None = None
    prompt_audio_seconds: None = None
    cost: None = None
    cost_in_usd_ticks: None = None


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None if it contains none.

    `prompt_tokens` includes tokens read from and written to a cache. DeepSeek splits the
    prompt itself; Moonshot puts `cached_tokens` next to the totals.
    """
    if usage is None:
        return None
    try:
        counts = msgspec.convert(usage, _Usage)
    except msgspec.ValidationError:
        return _parse_unusual_usage(usage)
    if (counts.total_tokens or 0) > counts.prompt_tokens + counts.completion_tokens:
        return _parse_unusual_usage(usage)
    prompt, output = counts.prompt_tokens_details, counts.completion_tokens_details
    cache_read = prompt.cached_tokens if prompt is not None else None
    cache_write = prompt.cache_write_tokens if prompt is not None else None
    uncached = counts.prompt_tokens - (cache_read or 0) - (cache_write or 0)
    return Usage(
        input=uncached if uncached > 0 else 0,
        cache_read=cache_read,
        cache_write=cache_write,
        output=counts.completion_tokens,
        reasoning=output.reasoning_tokens if output is not None else None,
        native=usage,
    )


def _parse_unusual_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object with other fields or types than OpenAI's."""
    if not isinstance(usage, dict):
        return None
    details = object_or_empty(usage.get("prompt_tokens_details"))
    cache_read = token_count(details, "cached_tokens")
    if cache_read is None:
        cache_read = token_count(usage, "prompt_cache_hit_tokens")
    if cache_read is None:
        cache_read = token_count(usage, "cached_tokens")
    cache_write = token_count(details, "cache_write_tokens")
    if cache_write is None:
        cache_write = token_count(usage, "cache_write_tokens")
    output = token_count(usage, "completion_tokens")
    prompt = token_count(usage, "prompt_tokens")
    total = token_count(usage, "total_tokens")
    if prompt is None and output is not None and total is not None:
        prompt = max(0, total - output)
    uncached = token_count(usage, "prompt_cache_miss_tokens")
    if prompt is not None:
        uncached = max(0, prompt - (cache_read or 0) - (cache_write or 0))
    if uncached is None and output is None and cache_read is None:
        return None
    details = object_or_empty(usage.get("completion_tokens_details"))
    reasoning = token_count(details, "reasoning_tokens")
    if reasoning is None:
        reasoning = token_count(usage, "reasoning_tokens")
    if prompt is not None and output is not None and total is not None:
        cached_tokens = (cache_read or 0) + (cache_write or 0)
        remaining_tokens = total - prompt - output
        if _is_separate_reasoning(usage, remaining_tokens, reasoning, cached_tokens):
            output, reasoning = output + remaining_tokens, remaining_tokens
    return Usage(
        input=uncached,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=reasoning,
        provider_cost=parse_reported_cost(usage),
        native=usage,
    )


def _is_separate_reasoning(
    usage: Json, remaining_tokens: int, reasoning: int | None, cached: int
) -> bool:
    """Whether the `remaining_tokens` of the total, beyond prompt and completion, are reasoning.

    xAI does not include its reasoning tokens in `completion_tokens`, only in the total
    (docs.x.ai/docs/key-information/consumption-and-rate-limits). Gemini's compatible API reports
    thoughts in the total alone (discuss.ai.google.dev/t/98760). Not so if they may be a
    part of the prompt: cached tokens, or audio at Mistral.
    """
    if remaining_tokens <= 0:
        return False
    if reasoning is not None:
        return remaining_tokens == reasoning
    return remaining_tokens != cached and usage.get("prompt_audio_seconds") is None


# --- usage and finish reason of a response that passes through ------------------------------------
#
# One typed decode instead of a full parse. Any unusual response gives None, and is parsed in
# full.


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class _Completion(msgspec.Struct):
    id: str
    model: str
    choices: list[_Choice]
    usage: dict[str, Any] | None = None
    service_tier: str | None = None
    error: msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Completion)


def peek_usage(body: bytes) -> Response | None:
    """The response without its calls and reasoning; None if it must be parsed in full."""
    try:
        completion = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(completion.choices) != 1:
        return None
    choice = completion.choices[0]
    message = choice.message
    finish = parse_finish(
        choice.finish_reason, calls=bool(message.tool_calls), has_refusal=bool(message.refusal)
    )
    return Response(
        id=completion.id,
        model=completion.model,
        parts=(Text(text=message.content),) if message.content else (),
        finish=finish,
        usage=parse_usage(completion.usage),
        service_tier=completion.service_tier,
    )


def error_in_frame(data: bytes) -> Error | None:
    """The error for a frame that is no chunk; None for an empty frame."""
    if not data.strip():
        return None
    value = decode_or_none(data)
    if is_error(value):
        return parse_error_payload(value)
    return bad_upstream("the upstream sent an event that is not a chat completion chunk").error
