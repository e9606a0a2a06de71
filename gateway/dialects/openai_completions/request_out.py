"""The canonical request -> a provider's prompt: a conversation as one text."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated, dropped
from gateway.canon.arguments import render_arguments
from gateway.canon.naming import LONG_USER_REASON, USER_LIMIT, shorten_user_id
from gateway.canon.request import (
    Document,
    Part,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.traits import Traits
from gateway.canon.turns import join_cited_texts
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_completions.names import NAME, Json

_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System"}


class PromptRenderContext:
    """The request, the traits of its target, and the adaptations reported so far."""

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report = AdaptationReport()

    def drop(self, path: str, why: str = "no equivalent") -> None:
        """Report a field that is not sent, unless the client did not write it."""
        self._record(dropped(path, why))

    def approximate(self, path: str, why: str, *, before: Any = None, after: Any = None) -> None:
        """Report a field that is sent as an approximation."""
        self._record(approximated(path, why, before=before, after=after))

    def _record(self, adaptation: Adaptation) -> None:
        if adaptation.path:
            self.report.add(adaptation)


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express."""
    context = PromptRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model, "prompt": _prompt(context)}
    if request.stream:
        body["stream"] = True
        if traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    _limit_out(context, body)
    _sampling_out(context, body)
    _drop_unsupported(context)
    if request.meta.user_id is not None:
        if traits.user_field == "none":
            context.drop(request.client_path("user_id"))
        else:
            body["user"] = request.meta.user_id
            if len(request.meta.user_id) > USER_LIMIT:
                body["user"] = shorten_user_id(request.meta.user_id, USER_LIMIT)
                context.approximate(request.client_path("user_id"), LONG_USER_REASON)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                context.drop(key)
    return RenderedRequest(body=body, report=tuple(context.report))


def _prompt(context: PromptRenderContext) -> str:
    """A single user message as text; a conversation with its roles as labels."""
    request = context.request
    if len(request.turns) == 1 and not request.instructions and request.turns[0].role == "user":
        return _turn_text(context, request.turns[0])
    field = request.turns[0].path.partition("[")[0] if request.turns else "messages"
    context.approximate(
        field or "messages", "a conversation is sent as one text with its speakers named"
    )
    lines = [block.text for block in request.instructions]
    lines += [f"{_SPEAKERS[turn.role]}: {_turn_text(context, turn)}" for turn in request.turns]
    if not request.turns or request.turns[-1].role != "assistant":
        lines.append("Assistant:")
    return "\n\n".join(lines)


def _turn_text(context: PromptRenderContext, turn: Turn) -> str:
    return "\n\n".join(
        text for part in join_cited_texts(turn.parts) if (text := _part_text(context, part))
    )


def _part_text(context: PromptRenderContext, part: Part) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case Document() if part.text is not None:
            return part.text
        case ToolCall():
            return f"[called {part.name} with {render_arguments(part)}]"
        case ToolResult():
            inner = "\n\n".join(
                text for result_part in part.parts if (text := _part_text(context, result_part))
            )
            return f"[{part.name or 'the tool'} gave {inner}]"
        case _:
            context.drop(part.path, "a prompt holds text only")
            return ""


def _limit_out(context: PromptRenderContext, body: Json) -> None:
    requested, maximum = context.request.max_output, context.traits.max_output
    if requested is None:
        return
    if maximum is not None and requested > maximum:
        why = f"{requested} clamped to the model's output limit {maximum}"
        context.approximate(
            context.request.client_path("max_output"), why, before=requested, after=maximum
        )
        requested = maximum
    body["max_tokens"] = requested


def _sampling_out(context: PromptRenderContext, body: Json) -> None:
    request, traits, sampling = context.request, context.traits, context.request.sampling
    for name, supported in (
        ("temperature", traits.sampling),
        ("top_p", traits.sampling),
        ("top_k", traits.top_k),
        ("min_p", traits.min_p),
        ("repetition_penalty", traits.repetition_penalty),
        ("frequency_penalty", traits.penalties),
        ("presence_penalty", traits.penalties),
        ("seed", traits.seed),
        ("logit_bias", traits.logit_bias),
    ):
        value = getattr(sampling, name)
        if value is not None and supported:
            body[name] = value
        elif value is not None:
            context.drop(request.client_path(name))
    max_sequences = traits.stop_max
    if sampling.stop and max_sequences is not None and len(sampling.stop) > max_sequences:
        why = f"only the first {max_sequences} are sent"
        context.approximate(
            request.client_path("stop"), why, before=len(sampling.stop), after=max_sequences
        )
    if sequences := list(sampling.stop[:max_sequences]):
        body["stop"] = sequences
    if sampling.logprobs and traits.logprobs and not request.stream:
        body["logprobs"] = sampling.top_logprobs or 0
    elif sampling.logprobs:
        context.drop(request.client_path("logprobs"))
    if sampling.n is not None and sampling.n > 1:
        context.approximate(
            request.client_path("n"), "an answer has one choice", before=sampling.n, after=1
        )


def _drop_unsupported(context: PromptRenderContext) -> None:
    """Report the fields that a prompt cannot express."""
    request, meta, thinking = context.request, context.request.meta, context.request.thinking
    if request.tools:
        context.drop("tools", "a prompt offers no tools")
    elif request.tool_choice is not None and request.tool_choice.mode in {"any", "named"}:
        context.drop(request.client_path("tool_choice"))
    if request.output.format != "text":
        context.drop(
            request.client_path("schema" if request.output.format == "schema" else "format")
        )
    if request.output.verbosity is not None:
        context.drop(request.client_path("verbosity"))
    if thinking is not None and thinking.effort is not None:
        context.drop(request.client_path("effort"))
    elif thinking is not None and thinking.mode in {"auto", "budget"}:
        context.drop(request.client_path("thinking"))
    if request.previous_response_id is not None:
        context.drop(request.client_path("previous_response_id"))
    if request.cache is not None:
        context.drop(request.client_paths.get("cache", "cache_control"))
    for name in ("session_key", "metadata", "service_tier", "store"):
        if getattr(meta, name) and request.client_path(name) != request.client_path("user_id"):
            context.drop(request.client_path(name))
