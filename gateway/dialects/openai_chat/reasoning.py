"""Reasoning: the settings of a request, its text and its opaque state."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.errors import invalid
from gateway.canon.request import EFFORTS, Reasoning, ReasoningConfig, Request, Signature, Turn
from gateway.canon.signature import is_from_target, unwrap_signature, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.context import ChatRenderContext
from gateway.dialects.shared import state_tokens
from gateway.dialects.shared.effort import (
    drop_effort_of_disabled_reasoning,
    requested_effort,
    supported_effort,
)
from gateway.dialects.shared.fields import (
    boolean,
    compact_json,
    integer,
    mapping,
    objects,
    text,
    wrong_type,
)
from gateway.dialects.shared.state_tokens import REASONING_REFUSED, Fields

Json = dict[str, Any]
DETAILS = "reasoning_details"
# Provider-specific names of efforts.
_EFFORT_SYNONYMS = {"med": "medium", "ultra": "max", "disabled": "none"}
# Sent in place of missing required reasoning: not a text that the model might copy, but not
# empty either, which DeepSeek may treat as absent.
_PLACEHOLDER_TEXT = " "


# --- requested reasoning --------------------------------------------------------------------------


def parse_reasoning_config(body: Json, paths: dict[str, str]) -> ReasoningConfig | None:
    """The reasoning a client requests, by any of the known fields; records their paths.

    `reasoning_effort` is OpenAI's, `reasoning` OpenRouter's, `thinking` DeepSeek's.
    """
    reasoning = ReasoningConfig()
    if body.get("thinking") is not None:
        reasoning = _parse_thinking_field(body, paths)
    if body.get("reasoning") is not None:
        reasoning = _parse_reasoning_field(body, paths)
    if body.get("reasoning_effort") is not None:
        effort = _parse_effort(text(body, "reasoning_effort"), "reasoning_effort")
        paths["effort"] = "reasoning_effort"
        reasoning = _with_effort(reasoning, effort)
    if boolean(body, "include_reasoning") is False:
        reasoning = msgspec.structs.replace(reasoning, visible="none")
    return reasoning if reasoning != ReasoningConfig() else None


def _with_effort(reasoning: ReasoningConfig, effort: str | None) -> ReasoningConfig:
    if effort == "none":
        return msgspec.structs.replace(reasoning, mode="off", effort=None, budget=None)
    return msgspec.structs.replace(reasoning, effort=effort)


def _parse_effort(effort: str | None, path: str) -> str | None:
    if effort is None or effort == "default":
        return None
    effort = _EFFORT_SYNONYMS.get(effort, effort)
    if effort not in EFFORTS:
        raise invalid(f"{path} must be one of {', '.join(EFFORTS)}, not {effort[:40]!r}", path)
    return effort


def _parse_thinking_field(body: Json, paths: dict[str, str]) -> ReasoningConfig:
    value = body["thinking"]
    paths["reasoning"] = "thinking"
    if type(value) is bool:
        return ReasoningConfig(mode="auto" if value else "off")
    if type(value) is not dict:
        raise wrong_type("thinking", "an object with a type", value)
    paths["budget"] = "thinking.budget_tokens"
    budget = integer(value, "budget_tokens", minimum=0, path="thinking")
    if text(value, "type", "thinking") == "disabled":
        return ReasoningConfig(mode="off")
    return ReasoningConfig(mode="budget" if budget else "auto", budget=budget or None)


def _parse_reasoning_field(body: Json, paths: dict[str, str]) -> ReasoningConfig:
    value = mapping(body, "reasoning") or {}
    paths["reasoning"], paths["effort"], paths["budget"] = (
        "reasoning",
        "reasoning.effort",
        "reasoning.max_tokens",
    )
    effort = _parse_effort(text(value, "effort", "reasoning"), "reasoning.effort")
    budget = integer(value, "max_tokens", minimum=0, path="reasoning")
    enabled = boolean(value, "enabled", "reasoning")
    visible = "none" if boolean(value, "exclude", "reasoning") else None
    if visible is None and text(value, "summary", "reasoning") is not None:
        visible = "summary"
    reasoning = ReasoningConfig(visible=visible)  # type: ignore[arg-type]
    if enabled is False:
        return msgspec.structs.replace(reasoning, mode="off")
    if budget:
        return msgspec.structs.replace(reasoning, mode="budget", budget=budget, effort=effort)
    if enabled:
        reasoning = msgspec.structs.replace(reasoning, mode="auto")
    return _with_effort(reasoning, effort)


def render_reasoning_config(context: ChatRenderContext, body: Json) -> None:
    """Write the requested reasoning into the body, by the target's field."""
    request, traits = context.request, context.traits
    reasoning = _effective_reasoning_config(request)
    if traits.responses_required_with_tools and body.get("tools"):
        _disable_reasoning(context, body, reasoning)
        return
    if reasoning is None:
        return
    if not traits.reasoning or traits.reasoning_request == "none":
        _drop_reasoning_config(context, reasoning)
        return
    if reasoning.mode == "off":
        drop_effort_of_disabled_reasoning(context)
    if reasoning.mode == "off" and traits.reasoning_always_on and not traits.efforts:
        context.approximate(
            request.client_path("reasoning"), f"{traits.model} always reasons", before="off"
        )
        return
    match traits.reasoning_request:
        case "reasoning":
            _render_reasoning_object(context, body, reasoning)
        case "thinking":
            if reasoning.mode is not None:
                body["thinking"] = {"type": "disabled" if reasoning.mode == "off" else "enabled"}
            if reasoning.mode != "off":
                _render_effort(context, body, reasoning)
        case _:
            _render_effort(context, body, reasoning)


def _effective_reasoning_config(request: Request) -> ReasoningConfig | None:
    """The reasoning setting in effect: a turn's own effort applies from that turn on."""
    for turn in reversed(request.turns):
        if turn.effort:
            return msgspec.structs.replace(
                request.reasoning or ReasoningConfig(), effort=turn.effort
            )
    return request.reasoning


def _disable_reasoning(
    context: ChatRenderContext, body: Json, reasoning: ReasoningConfig | None
) -> None:
    """Turn reasoning off: some models accept tools here only without it."""
    efforts = context.traits.efforts
    if efforts and "none" not in efforts:
        return
    body["reasoning_effort"] = "none"
    if reasoning is None or reasoning.mode != "off":
        name = "effort" if reasoning is None or reasoning.effort else "reasoning"
        reason = (
            f"{context.traits.model} supports function tools in this API only without reasoning"
        )
        before = reasoning.effort if reasoning else None
        context.approximate(context.request.client_path(name), reason, before=before, after="none")


def _drop_reasoning_config(context: ChatRenderContext, reasoning: ReasoningConfig) -> None:
    model = context.traits.model or "the model"
    reason = f"{model} is not a reasoning model"
    if context.traits.reasoning:
        reason = f"{model} has no reasoning setting"
    if reasoning.effort is not None:
        context.drop(context.request.client_path("effort"), reason, before=reasoning.effort)
    if reasoning.mode in {"auto", "budget"}:
        context.drop(context.request.client_path("reasoning"), reason)


def _render_effort(context: ChatRenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    name, level = requested_effort(context, reasoning)
    if level is None:
        return
    sent_effort = supported_effort(context, name, level)
    if sent_effort is not None:
        body["reasoning_effort"] = sent_effort


def _render_reasoning_object(
    context: ChatRenderContext, body: Json, reasoning: ReasoningConfig
) -> None:
    """Write OpenRouter's `reasoning`: an effort or a token budget, never both."""
    out: Json = {}
    if reasoning.mode == "off":
        out["effort"] = "none"
    elif reasoning.budget is not None and reasoning.effort is None:
        out["max_tokens"] = reasoning.budget
    elif reasoning.effort is not None:
        _, level = requested_effort(context, reasoning)
        sent_effort = (
            supported_effort(context, "effort", level or "medium")
            if context.traits.efforts
            else level
        )
        out["effort"] = sent_effort
    elif reasoning.mode == "auto":
        out["enabled"] = True
    if reasoning.visible == "none":
        out["exclude"] = True
    if out:
        body["reasoning"] = out


# --- reasoning in the history ---------------------------------------------------------------------


def parse_reasoning(message: Json, path: str) -> list[Reasoning]:
    """The reasoning that a client sends back, in any of the three fields."""
    reasoning_text = text(message, "reasoning_content", path)
    field = "reasoning_content"
    if reasoning_text is None:
        reasoning_text, field = text(message, "reasoning", path), "reasoning"
    details = objects(message, DETAILS, path)
    if wrapped_parts := _parse_wrapped_details(details, f"{path}.{DETAILS}"):
        return wrapped_parts
    if details:
        part_text = reasoning_text if reasoning_text else details_text(details)
        field_path = f"{path}.{DETAILS}"
        return [Reasoning(text=part_text, signature=_details_signature(details), path=field_path)]
    return [Reasoning(text=reasoning_text, path=f"{path}.{field}")] if reasoning_text else []


def render_reasoning_detail(
    reasoning_text: str, signature: Signature, index: int, *, redacted: bool
) -> Json:
    """One reasoning part with its state, for a client that sends both back."""
    token, common_fields = wrap_signature(signature), {"format": "dragoman-v1", "index": index}
    if redacted:
        return {"type": "reasoning.encrypted", "data": token, **common_fields}
    return {"type": "reasoning.text", "text": reasoning_text, "signature": token, **common_fields}


def _parse_wrapped_details(details: list[Json], path: str) -> list[Reasoning]:
    """The reasoning parts in details that the gateway created; each is complete."""
    parts: list[Reasoning] = []
    for index, detail in enumerate(details):
        token = detail.get("signature") or detail.get("data")
        state = unwrap_signature(token) if isinstance(token, str) else None
        if state is None or detail.get("format") != "dragoman-v1":
            continue
        detail_text = detail.get("text")
        part_text = detail_text if isinstance(detail_text, str) else ""
        redacted = detail.get("type") == "reasoning.encrypted"
        detail_path = f"{path}[{index}]"
        parts.append(
            Reasoning(text=part_text, signature=state, redacted=redacted, path=detail_path)
        )
    return parts


def details_text(details: list[Json]) -> str:
    """The text in `reasoning_details`."""
    texts = (detail.get("text") or detail.get("summary") for detail in details)
    return "".join(text for text in texts if isinstance(text, str))


def _details_signature(details: list[Json]) -> Signature:
    for detail in details:
        for value in (detail.get("data"), detail.get("signature")):
            signature = unwrap_signature(value) if isinstance(value, str) else None
            if signature is not None:
                return signature
    return Signature(kind=DETAILS, value=compact_json(details))


def render_reasoning(
    context: ChatRenderContext, turn: Turn, message: Json, *, has_calls: bool
) -> list[Json]:
    """Render a turn's reasoning into its message, if the target accepts it.

    Return content chunks for targets that expect it in the content.
    """
    reasoning_parts = [part for part in turn.parts if isinstance(part, Reasoning)]
    traits = context.traits
    required = traits.requires_reasoning_replay and has_calls
    if traits.reasoning_field == "none" or traits.replay_reasoning == "ignored":
        for reasoning_part in reasoning_parts:
            context.drop(
                reasoning_part.path,
                "thinking block: the upstream does not accept reasoning in requests",
            )
        return []
    if traits.reasoning_field == "thinking":
        return [
            chunk
            for reasoning_part in reasoning_parts
            for chunk in _render_thinking_chunk(context, reasoning_part)
        ]
    field = traits.reasoning_field
    if field == DETAILS:
        field = "reasoning"
        details, reasoning_parts = _native_details(context, reasoning_parts)
        if details:
            message[DETAILS] = details
    reasoning_text = "".join(
        _replayable_text(context, reasoning_part, required=required)
        for reasoning_part in reasoning_parts
    )
    if required and not reasoning_text:
        reasoning_text = _PLACEHOLDER_TEXT
        context.default(
            turn.path, f"{traits.model} requires {field} with tool calls", after=_PLACEHOLDER_TEXT
        )
    if reasoning_text:
        message[field] = reasoning_text
    return []


def _render_thinking_chunk(context: ChatRenderContext, part: Reasoning) -> list[Json]:
    """Mistral's thinking chunk for a reasoning part; empty if the target may not get it."""
    reasoning_text = _replayable_text(context, part, required=False)
    if not reasoning_text:
        return []
    chunk = thinking_chunk(reasoning_text)
    signature = part.signature
    if signature is not None and signature.kind == DETAILS:
        context.drop(part.path, "the state of another provider's reasoning")
    elif signature is not None and signature.value:
        chunk["signature"] = signature.value
    return [{**chunk, "closed": True}]


def thinking_chunk(text: str) -> Json:
    """Reasoning as Mistral sends it: a chunk of the content."""
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _replayable_text(context: ChatRenderContext, part: Reasoning, *, required: bool) -> str:
    """The text of a reasoning part; empty if the target may not get it."""
    signature = part.signature
    # Text without a wrapped origin comes from a client that received text only.
    is_unsigned = signature is None or (not signature.provider and signature.kind == DETAILS)
    if is_unsigned or is_from_target(signature, context.traits):
        return part.text
    if required and part.text:
        context.approximate(part.path, "reasoning of another model, sent as text of this model")
        return part.text
    context.drop(part.path, "reasoning of another model")
    return ""


def _native_details(
    context: ChatRenderContext, reasoning_parts: list[Reasoning]
) -> tuple[list[Json], list[Reasoning]]:
    """The target's own `reasoning_details`, and the parts without them."""
    details: list[Json] = []
    remaining_parts: list[Reasoning] = []
    for part in reasoning_parts:
        signature = part.signature
        # Details without a token reached the client by passthrough, and return unchanged.
        is_native = is_from_target(signature, context.traits) or (
            signature and not signature.provider
        )
        if signature and signature.kind == DETAILS and is_native:
            details += _decode_details(context, part, signature.value)
        else:
            remaining_parts.append(part)
    return details, remaining_parts


def _decode_details(context: ChatRenderContext, part: Reasoning, value: str) -> list[Json]:
    """The details in a token, which the client may have changed."""
    try:
        return msgspec.json.decode(value, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        context.drop(part.path, "the reasoning state was changed and cannot be decoded")
        return []


# The field of Mistral's clients, whose content has the reasoning in chunks.
THINKING_CHUNKS = ("thinking",)


def reasoning_fields(context: ResponseContext) -> tuple[str, ...]:
    """The fields that show reasoning to this client; empty if it is hidden."""
    if context.reasoning_display == "none" or context.reasoning_field == "none":
        return ()
    if context.reasoning_field == "both":
        return ("reasoning_content", "reasoning")
    if context.reasoning_field == DETAILS:
        return ("reasoning",)
    return (context.reasoning_field,)


# --- state in a stream ----------------------------------------------------------------------------

# Fields of a detail that stream in fragments; for others the last value counts.
_STREAMED_FIELDS = frozenset({"text", "summary", "data", "signature"})


class ReasoningStateCollector:
    """The opaque state of the current reasoning block."""

    def __init__(self) -> None:
        self._details: list[Json] = []
        # Fragments of the streamed fields of the last detail.
        self._fragments: dict[str, list[str]] = {}
        self._signature = ""
        self._texts: list[str] = []
        # Whether a detail contains opaque state.
        self.has_state = False

    def note_text(self, text: Any) -> None:
        """Note a fragment of reasoning that came without a detail."""
        if isinstance(text, str):
            self._texts.append(text)

    def unsent_text(self, details: list[Json]) -> str:
        """The text of details, unless it repeats the fragments before them."""
        noted_text, self._texts = "".join(self._texts), []
        text = details_text(details)
        return "" if text == noted_text else text

    def set_signature(self, signature: Any) -> None:
        """Set a signature outside of any detail (Mistral)."""
        if isinstance(signature, str):
            self._signature = signature

    def add(self, details: list[Json]) -> None:
        """Add deltas of `reasoning_details`: equal type and index is one detail."""
        for detail in details:
            if detail.get("signature") or detail.get("data"):
                self.has_state = True
            last_detail = self._details[-1] if self._details else None
            if last_detail is None or _detail_key(last_detail) != _detail_key(detail):
                self._join_fragments()
                self._details.append(dict(detail))
            else:
                self._extend_detail(last_detail, detail)

    def take_signature(self, provider: str, model: str) -> Signature:
        """The state of the block that ends; without state, only the model that created it."""
        self._join_fragments()
        kind, value = "text", ""
        if self.has_state:
            kind, value = DETAILS, compact_json(self._details)
        elif self._signature:
            kind, value = "signature", self._signature
        self._details, self._signature, self.has_state = [], "", False
        return Signature(provider=provider, model=model, kind=kind, value=value)

    def _extend_detail(self, detail: Json, fragment: Json) -> None:
        for key, value in fragment.items():
            old_value = detail.get(key)
            if key in _STREAMED_FIELDS and isinstance(value, str) and isinstance(old_value, str):
                self._fragments.setdefault(key, [old_value]).append(value)
            elif value is not None:
                self._fragments.pop(key, None)
                detail[key] = value

    def _join_fragments(self) -> None:
        """Join the fragments of the last detail."""
        for key, fragments in self._fragments.items():
            self._details[-1][key] = "".join(fragments)
        self._fragments = {}


def _detail_key(detail: Json) -> tuple[Any, Any]:
    return detail.get("type"), detail.get("index")


# --- passthrough ----------------------------------------------------------------------------------

# Fields of a message and of a call that hold opaque state: OpenRouter's, and Gemini's Chat API's.
_STATE_MARKERS = (f'"{DETAILS}"'.encode(), b'"extra_content"')


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without signatures and encrypted reasoning, and a report; text stays.

    Returns the same object for a model that requires its state: the request is translated.
    """
    if traits.requires_reasoning_replay:
        return fields, ()
    return state_tokens.edit_items(fields, "messages", _STATE_MARKERS, _drop_message_state, traits)


def _drop_message_state(message: Json, path: str, _: Traits, report: list[Adaptation]) -> Json:
    message = dict(message)
    details = message.get(DETAILS)
    if isinstance(details, list):
        texts = [detail for detail in details if not _has_state(detail)]
        if len(texts) < len(details):
            report.append(dropped_field(f"{path}.{DETAILS}", REASONING_REFUSED))
        message[DETAILS] = texts
        if not texts:
            del message[DETAILS]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = calls = list(calls)
        for index, call in enumerate(calls):
            if isinstance(call, dict) and "extra_content" in call:
                call_path = f"{path}.tool_calls[{index}].extra_content"
                report.append(dropped_field(call_path, REASONING_REFUSED))
                calls[index] = {k: v for k, v in call.items() if k != "extra_content"}
    if message.pop("extra_content", None) is not None:
        report.append(dropped_field(f"{path}.extra_content", REASONING_REFUSED))
    return message


def _has_state(detail: Any) -> bool:
    return isinstance(detail, dict) and bool(detail.get("signature") or detail.get("data"))
