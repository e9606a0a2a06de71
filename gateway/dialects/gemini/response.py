"""A non-streaming response: a provider's JSON -> canonical, and canonical -> a client's JSON."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.fold import fold_events
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
from gateway.canon.response import Finish, Response
from gateway.canon.signature import hide_reasoning_text
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.gemini.citations import GroundedText, render_grounding, utf8_length
from gateway.dialects.gemini.errors import is_error, parse_error_payload
from gateway.dialects.gemini.finish import render_finish
from gateway.dialects.gemini.logprobs import parse_logprobs, render_logprobs
from gateway.dialects.gemini.names import NAME, Json
from gateway.dialects.gemini.signatures import is_gemini, render_signature
from gateway.dialects.gemini.stream_in import GeminiStreamParser
from gateway.dialects.gemini.usage import render_usage
from gateway.dialects.shared.openai_logprobs import logprobs_extra, token_logprobs
from gateway.dialects.shared.responses import malformed_output_error

_PARSED_FIELDS = frozenset(
    {"content", "finishReason", "finishMessage", "index", "groundingMetadata", "tokenCount"}
)


# --- a provider's ----------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if not isinstance(body, dict) or not ("candidates" in body or "promptFeedback" in body):
        raise bad_upstream("the upstream's answer holds no candidates")
    parser = GeminiStreamParser(traits, rendered)
    response = fold_events([*parser.parse_event(body), *parser.close()])
    candidates = body.get("candidates")
    candidates = (
        [c for c in candidates if isinstance(c, dict)] if isinstance(candidates, list) else []
    )
    extra_by_index = {c.get("index", 0): _parse_extra_fields(c) for c in reversed(candidates)}
    responses_with_index = zip(
        response.alternatives, sorted(extra_by_index.keys() - {0}), strict=False
    )
    extra_choices = tuple(
        replace(response_choice, extra=extra_by_index[index])
        for response_choice, index in responses_with_index
    )
    return replace(response, extra=extra_by_index.get(0, {}), alternatives=extra_choices)


def _parse_extra_fields(candidate: Json) -> dict[str, Json]:
    """The extra fields of a candidate: log probabilities, and fields specific to Google."""
    extra = logprobs_extra(parse_logprobs(candidate.get("logprobsResult")))
    candidate_fields = {
        k: v for k, v in candidate.items() if k not in _PARSED_FIELDS and v is not None
    }
    return {**extra, NAME: {"candidate": candidate_fields}} if candidate_fields else extra


# --- a client's ------------------------------------------------------------------------


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report: list[Adaptation] = []
    candidates = [render_candidate(response, 0, context, report)]
    for index, choice in enumerate(response.alternatives, 1):
        candidates.append(render_candidate(choice, index, context, report))
    body: Json = {"candidates": candidates}
    if (usage := render_usage(response.usage)) is not None:
        body["usageMetadata"] = usage
    return {**body, **render_identifiers(context)}, tuple(report)


def render_candidate(
    response: Response, index: int, context: ResponseContext, report: list[Adaptation]
) -> Json:
    """Renders one response as a candidate."""
    parts: list[Json] = []
    grounded_texts: list[GroundedText] = []
    bytes_before = 0
    for part_index, part in enumerate(response.parts):
        parts += render_part(
            part, f"candidates[{index}].content.parts[{part_index}]", context, report
        )
        if isinstance(part, Text):
            grounded_texts += [
                GroundedText(citation, part.text, bytes_before) for citation in part.citations
            ]
        if isinstance(part, Text | Refusal):
            bytes_before += utf8_length(part.text)
    report_pause(response.finish, index, report)
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    candidate |= render_candidate_end(response, grounded_texts)
    if tokens := token_logprobs(response):
        candidate["logprobsResult"] = render_logprobs(tokens)
    return candidate | {"index": index, **response.extra.get(NAME, {}).get("candidate", {})}


def report_pause(finish: Finish, index: int, report: list[Adaptation]) -> None:
    """Reports a paused turn, for which the dialect has no finish reason."""
    if finish.reason == "pause":
        why = "a paused turn is shown as stopped"
        report.append(approximated(f"candidates[{index}].finishReason", why))


def render_candidate_end(response: Response, grounded_texts: list[GroundedText]) -> Json:
    """Why a candidate ended, and what it is grounded in."""
    out: Json = {"finishReason": render_finish(response.finish)}
    if response.finish.explanation:
        out["finishMessage"] = response.finish.explanation
    if (grounding := render_grounding(grounded_texts)) is not None:
        out["groundingMetadata"] = grounding
    return out


def render_identifiers(context: ResponseContext) -> Json:
    """The model and response id of every response and chunk."""
    return {"modelVersion": context.model, "responseId": context.id}


def render_part(
    part: Part, path: str, context: ResponseContext, report: list[Adaptation]
) -> list[Json]:
    """The parts that tell a client of one part of the answer."""
    match part:
        case Text() | Refusal():
            return [{"text": part.text}] if part.text else []
        case Reasoning():
            return render_reasoning(part, context)
        case ToolCall():
            return [render_function_call(part, path, report)]
        case Native() if part.dialect == NAME:
            return [part.data]
        case Native() | Image() | Document() | Audio() | ToolResult():
            report.append(dropped(path, "Gemini has no part of an answer for it"))
            return []
        case _:
            assert_never(part)


def render_reasoning(part: Reasoning, context: ResponseContext) -> list[Json]:
    """Renders reasoning; its signature token identifies the provider and model."""
    reasoning_text = "" if context.reasoning_display == "none" else part.text
    signature = part.signature
    if signature is not None and is_gemini(signature) and signature.kind != "thoughtSignature":
        signature = None  # it stands under the call that follows
    if signature is not None and not reasoning_text and not is_gemini(signature):
        # The provider requires the text back, so the token carries it.
        signature = hide_reasoning_text(part.text, signature)
    token = (
        render_signature(signature)
        if signature is not None and _needs_signature(signature, part)
        else None
    )
    if not reasoning_text and token is None:
        return []
    out: Json = {"text": reasoning_text}
    if reasoning_text or signature is None or not is_gemini(signature):
        out["thought"] = True
    if token is not None:
        out["thoughtSignature"] = token
    return [out]


def _needs_signature(signature: Signature, part: Reasoning) -> bool:
    """Whether there is state to carry: a signature value, or a foreign provider."""
    foreign = bool(signature.provider) and not is_gemini(signature)
    return bool(signature.value) or part.redacted or foreign


def render_function_call(call: ToolCall, path: str, report: list[Adaptation]) -> Json:
    """Renders a complete call."""
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        report.append(approximated(path, "the arguments are no JSON object; shown as `_raw`"))
        arguments = {"_raw": call.raw or ""}
    out: Json = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        out["thoughtSignature"] = render_signature(call.signature)
    return out
