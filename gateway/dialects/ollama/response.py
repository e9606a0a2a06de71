"""Complete responses: canonical to a client's JSON; finish reasons, usage and log probabilities,
both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated_field, dropped_field
from gateway.canon.arguments import parse_arguments, render_arguments
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockStart
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
from gateway.dialects.base import IdlePlan, ResponseContext
from gateway.dialects.ollama.context import DURATIONS, GENERATE_PATH, Json, format_timestamp
from gateway.dialects.shared.failed_streams import EXPLANATION_DROPPED, malformed_output_error
from gateway.dialects.shared.fields import native_kind, non_negative_or_none


class _Message:
    """The message while its parts are added."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning_text = ""
        self.calls: list[Json] = []
        self.report = AdaptationReport()


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed_output_error(finish))
    message = _Message()
    for part in response.parts:
        _add_part(message, part)
    if finish.explanation and message.text:
        message.report.add(EXPLANATION_DROPPED)
    elif finish.reason in {"filter", "refusal"}:
        message.text = message.text or finish.explanation or ""
    body: Json = {
        "model": context.model,
        "created_at": format_timestamp(context.created),
        **_render_message(message, context),
        "done": True,
        "done_reason": render_done_reason(finish, message.report),
        **render_usage(response.usage, context.elapsed_ms()),
    }
    if tokens := token_logprobs(response):
        body["logprobs"] = tokens
    return body, tuple(message.report)


def plan_request(fields: Mapping[str, msgspec.Raw]) -> IdlePlan | None:
    """The response to a request without input, which loads or unloads the model; else None."""
    inputs = (
        ("prompt", "images") if "prompt" in fields and "messages" not in fields else ("messages",)
    )
    if not all(_is_empty(fields.get(name)) for name in inputs):
        return None
    unload = bytes(fields.get("keep_alive", b"")) in {b"0", b"0.0", b'"0"', b'"0s"'}
    return IdlePlan(partial(_render_idle, "unload" if unload else "load"))


def _is_empty(field: msgspec.Raw | None) -> bool:
    if field is None:
        return True
    text = bytes(field)
    return text in {b"null", b'""'} or (text[:1] == b"[" and text[1:-1].isspace()) or text == b"[]"


def _render_idle(done_reason: str, context: ResponseContext) -> Json:
    return {
        "model": context.model,
        "created_at": format_timestamp(context.created),
        **_render_message(_Message(), context),
        "done": True,
        "done_reason": done_reason,
    }


def _render_message(message: _Message, context: ResponseContext) -> Json:
    message_fields: Json = {}
    if message.reasoning_text and context.reasoning_display != "none":
        message_fields["thinking"] = message.reasoning_text
    if message.calls:
        message_fields["tool_calls"] = message.calls
    if context.endpoint == GENERATE_PATH:
        return {"response": message.text, **message_fields}
    return {"message": {"role": "assistant", "content": message.text, **message_fields}}


def _add_part(message: _Message, part: Part) -> None:
    match part:
        case Text():
            message.text += part.text
            if part.citations:
                message.report.add(dropped_field("citations", "no equivalent in Ollama"))
        case Refusal():
            message.text += part.text
        case Reasoning():
            message.reasoning_text += part.text
        case ToolCall():
            block = BlockStart(kind="tool_call", id=part.id, name=part.name, custom=part.custom)
            arguments = part.raw_arguments or "" if part.custom else render_arguments(part)
            message.calls.append(
                render_tool_call(block, arguments, len(message.calls), message.report)
            )
        case Native():
            block_type = native_kind(part.data)
            message.report.add(dropped_field(f"content.{block_type}", "no equivalent in Ollama"))
        case Image() | Document() | Audio() | ToolResult():
            block_type = type(part).__name__.lower()
            message.report.add(
                dropped_field(f"content.{block_type}", "no equivalent in an Ollama response")
            )
        case _:
            assert_never(part)


def render_tool_call(
    block: BlockStart, arguments_text: str, index: int, report: AdaptationReport
) -> Json:
    """Render a tool call; arguments that are not a JSON object are wrapped in one."""
    arguments, raw_arguments = (
        ({"input": arguments_text}, None) if block.custom else parse_arguments(arguments_text)
    )
    if arguments is None:
        arguments = {"_raw": raw_arguments}
        reason = "the arguments are not a JSON object: shown as text inside one"
        report.add(approximated_field(f"message.tool_calls[{index}]", reason))
    function = {"index": index, "name": block.name, "arguments": arguments}
    return {"id": block.id, "function": function}


def render_done_reason(finish: Finish, report: AdaptationReport) -> str:
    """Render the `done_reason`; report what it cannot express."""
    if finish.reason in {"pause", "filter", "refusal"}:
        reason = f"Ollama has no finish reason {finish.reason}: shown as stop"
        report.add(approximated_field("done_reason", reason))
    return render_finish(finish)


# --- finish reasons -------------------------------------------------------------------------------

_LOAD_EXPLANATIONS = {
    "load": "the upstream loaded the model and did not answer",
    "unload": "the upstream unloaded the model and did not answer",
}


def parse_finish(done_reason: Any, *, has_tool_call: bool) -> Finish:
    """The canonical finish; Ollama reports `stop` for tool calls too."""
    if isinstance(done_reason, str) and done_reason in _LOAD_EXPLANATIONS:
        return Finish(reason="malformed", explanation=_LOAD_EXPLANATIONS[done_reason])
    if done_reason == "length":
        return Finish(reason="length")
    reason: FinishReason = "tool" if has_tool_call else "stop"
    return Finish(reason=reason, unknown=unknown_reason(done_reason, {"stop"}))


def render_finish(finish: Finish) -> str:
    """The `done_reason` for a client."""
    return "length" if finish.reason in {"length", "context"} else "stop"


# --- usage ----------------------------------------------------------------------------------------

_COUNTS = ("prompt_eval_count", "eval_count")


def parse_usage(last_object: Json) -> Usage | None:
    """The counts of a response's last object; a prompt that was cached may have none."""
    prompt, output = (non_negative_or_none(last_object.get(name)) for name in _COUNTS)
    if prompt is None and output is None:
        return None
    native = {
        name: last_object[name]
        for name in (*_COUNTS, *DURATIONS)
        if non_negative_or_none(last_object.get(name))
    }
    return Usage(input=prompt, output=output, native=native)


def render_usage(usage: Usage | None, elapsed_ms: int, first_output_ms: int = 0) -> Json:
    """The fields of the last object: the durations of Ollama, otherwise those that were measured.

    Ollama always sends `total_duration` and `eval_duration`, in nanoseconds, and clients calculate
    with them. `first_output_ms` is when the output began, if it was streamed.
    """
    total: Json = {"total_duration": elapsed_ms * 1_000_000} if elapsed_ms else {}
    if usage is None:
        return total
    if elapsed_ms and usage.output:
        total["eval_duration"] = max(elapsed_ms - first_output_ms, 1) * 1_000_000
    if first_output_ms:
        total["prompt_eval_duration"] = first_output_ms * 1_000_000
    out: Json = total | {name: usage.native[name] for name in DURATIONS if name in usage.native}
    for name, count in zip(_COUNTS, (usage.prompt_tokens, usage.output), strict=True):
        if count is not None:
            out[name] = count
    return out
