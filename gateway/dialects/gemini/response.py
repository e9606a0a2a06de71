"""A whole answer: a provider's JSON -> canonical, and back for a client."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.fold import fold
from gateway.canon.request import (
    Audio,
    Citation,
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
from gateway.canon.signature import hidden
from gateway.canon.traits import Traits
from gateway.dialects.base import Exchange, Rendered
from gateway.dialects.gemini.citations import grounding_out
from gateway.dialects.gemini.errors import error_in, is_error
from gateway.dialects.gemini.finish import finish_out, malformed
from gateway.dialects.gemini.logprobs import logprobs_in, logprobs_out
from gateway.dialects.gemini.names import NAME, Json
from gateway.dialects.gemini.signatures import is_gemini, signature_out
from gateway.dialects.gemini.stream_in import GeminiStreamParser
from gateway.dialects.gemini.usage import usage_out
from gateway.dialects.openai_logprobs import extra_of, tokens_of

_KNOWN = frozenset(
    {"content", "finishReason", "finishMessage", "index", "groundingMetadata", "tokenCount"}
)


# --- a provider's ----------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(error_in(body))
    if not isinstance(body, dict) or not ("candidates" in body or "promptFeedback" in body):
        raise bad_upstream("the upstream's answer holds no candidates")
    parser = GeminiStreamParser(traits, rendered)
    response = fold([*parser.read(body), *parser.close()])
    listed = body.get("candidates")
    listed = [c for c in listed if isinstance(c, dict)] if isinstance(listed, list) else []
    extras = {c.get("index", 0): _extra_in(c) for c in reversed(listed)}
    others = zip(response.others, sorted(extras.keys() - {0}), strict=False)
    told = tuple(replace(other, extra=extras[place]) for other, place in others)
    return replace(response, extra=extras.get(0, {}), others=told)


def _extra_in(candidate: Json) -> dict[str, Json]:
    """What stands beside an answer: how likely its tokens were, and what only Google tells."""
    extra = extra_of(logprobs_in(candidate.get("logprobsResult")))
    own = {k: v for k, v in candidate.items() if k not in _KNOWN and v is not None}
    return {**extra, NAME: {"candidate": own}} if own else extra


# --- a client's ------------------------------------------------------------------------


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError if it is garbled."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed(response.finish))
    report: list[Adaptation] = []
    candidates = [candidate_out(response, 0, exchange, report)]
    for place, other in enumerate(response.others, 1):
        candidates.append(candidate_out(other, place, exchange, report))
    body: Json = {"candidates": candidates}
    if (usage := usage_out(response.usage)) is not None:
        body["usageMetadata"] = usage
    return {**body, **names_of(exchange)}, tuple(report)


def candidate_out(
    response: Response, index: int, exchange: Exchange, report: list[Adaptation]
) -> Json:
    """One of the answers."""
    parts: list[Json] = []
    cited: list[tuple[Citation, str]] = []
    for place, part in enumerate(response.parts):
        parts += part_out(part, f"candidates[{index}].content.parts[{place}]", exchange, report)
        if isinstance(part, Text):
            cited += [(citation, part.text) for citation in part.citations]
    note_pause(response.finish, index, report)
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    candidate |= ending(response, cited)
    if tokens := tokens_of(response):
        candidate["logprobsResult"] = logprobs_out(tokens)
    return candidate | {"index": index, **response.extra.get(NAME, {}).get("candidate", {})}


def note_pause(finish: Finish, index: int, report: list[Adaptation]) -> None:
    """Report the one reason that has no word here but is no error."""
    if finish.reason == "pause":
        why = "a paused turn is shown as stopped"
        report.append(approximated(f"candidates[{index}].finishReason", why))


def ending(response: Response, cited: list[tuple[Citation, str]]) -> Json:
    """Why a candidate ended, and what it is grounded in."""
    out: Json = {"finishReason": finish_out(response.finish)}
    if response.finish.explanation:
        out["finishMessage"] = response.finish.explanation
    if (grounding := grounding_out(cited)) is not None:
        out["groundingMetadata"] = grounding
    return out


def names_of(exchange: Exchange) -> Json:
    """What every answer and every chunk of one is called by."""
    return {"modelVersion": exchange.model, "responseId": exchange.id}


def part_out(part: Part, at: str, exchange: Exchange, report: list[Adaptation]) -> list[Json]:
    """The parts that tell a client of one part of the answer."""
    match part:
        case Text() | Refusal():
            return [{"text": part.text}] if part.text else []
        case Reasoning():
            return thought_out(part, exchange)
        case ToolCall():
            return [call_out(part, at, report)]
        case Native() if part.dialect == NAME:
            return [part.data]
        case Native() | Image() | Document() | Audio() | ToolResult():
            report.append(dropped(at, "Gemini has no part of an answer for it"))
            return []
        case _:
            assert_never(part)


def thought_out(part: Reasoning, exchange: Exchange) -> list[Json]:
    """A thought, signed by a token that its maker is known by again."""
    words = "" if exchange.thinking == "none" else part.text
    state = part.signature
    if state is not None and is_gemini(state) and state.kind != "thoughtSignature":
        state = None  # it stands under the call that follows
    if state is not None and not words and not is_gemini(state):
        # Its maker wants the words themselves back, so they travel unseen.
        state = hidden(part.text, state)
    token = signature_out(state) if state is not None and _counts(state, part) else None
    if not words and token is None:
        return []
    out: Json = {"text": words}
    if words or state is None or not is_gemini(state):
        out["thought"] = True
    if token is not None:
        out["thoughtSignature"] = token
    return [out]


def _counts(state: Signature, part: Reasoning) -> bool:
    """Whether there is anything to remember: a value, or who thought the words."""
    foreign = bool(state.provider) and not is_gemini(state)
    return bool(state.value) or part.redacted or foreign


def call_out(call: ToolCall, at: str, report: list[Adaptation]) -> Json:
    """A call, whole."""
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        report.append(approximated(at, "the arguments are no JSON object; shown as `_raw`"))
        arguments = {"_raw": call.raw or ""}
    out: Json = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        out["thoughtSignature"] = signature_out(call.signature)
    return out
