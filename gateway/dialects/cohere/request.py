"""A canonical request as the JSON of a chat."""

from __future__ import annotations

import msgspec

from gateway.canon.logprobs import NOT_TRANSLATABLE, accepts_logprobs
from gateway.canon.request import ReasoningConfig, Request
from gateway.canon.schema import with_object_schemas
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.cohere.context import NAME, Json, RenderContext
from gateway.dialects.cohere.messages import render_messages
from gateway.dialects.cohere.tools import render_tools
from gateway.dialects.shared.effort import BUDGET_BY_EFFORT, drop_effort_of_disabled_reasoning
from gateway.dialects.shared.render_context import check_supported

_UNSUPPORTED_SAMPLING = ("min_p", "repetition_penalty", "logit_bias", "top_logprobs")
# Fields of clients of the same dialect that have no canonical equivalent.
_COHERE_FIELDS = frozenset({"citation_options", "safety_mode", "priority"})
_MIN_P, _MAX_P = 0.01, 0.99
_MAX_K = 500
# The tokens that thinking must leave (docs.cohere.com/docs/reasoning).
_MIN_RESPONSE_TOKENS = 1024
# `priority`: requests with 0 are served first.
_PRIORITY_BY_TIER = {"priority": 0}


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    check_supported(request, "Cohere returns one choice per request")
    context = RenderContext(request, traits)
    body: Json = {"model": traits.model or request.model, "stream": request.stream}
    body["messages"] = render_messages(context)
    render_tools(context, body)
    if context.documents:
        body["documents"] = context.documents
    _render_output_format(context, body)
    if (limit := context.clamp_max_tokens(0)) is not None:
        body["max_tokens"] = limit
    _render_sampling(context, body)
    _render_reasoning_config(context, body)
    _render_metadata(context, body)
    context.drop_cache_marks(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME and key in _COHERE_FIELDS:
                body.setdefault(key, value)
            else:
                context.drop(key, "no equivalent")
    return context.finish(body, custom_tools=True)


def _render_output_format(context: RenderContext, body: Json) -> None:
    output, request = context.request.output, context.request
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")
    if output.format == "text":
        return
    for field in ("tools", "documents"):
        if field in body:
            context.drop(
                request.client_path("format"), f"json_object cannot be combined with {field}"
            )
            return
    response_format: Json = {"type": "json_object"}
    if output.format == "schema" and output.schema is not None:
        schema = with_object_schemas(output.schema)
        if output.description is not None:
            schema = {"description": output.description, **schema}
        response_format["json_schema"] = schema
        if output.name is not None:
            context.drop(request.client_path("name"), "no equivalent")
    body["response_format"] = response_format


# --- sampling -------------------------------------------------------------------------------------


def _render_sampling(context: RenderContext, body: Json) -> None:
    sampling, request = context.request.sampling, context.request
    _render_clamped(
        context, body, "temperature", "temperature", 0.0, context.traits.temperature_max
    )
    _render_clamped(context, body, "top_p", "p", _MIN_P, _MAX_P)
    _render_clamped(context, body, "top_k", "k", 0, _MAX_K)
    for name in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, name)
        if value is not None and value < 0:
            context.drop(request.client_path(name), "negative values are not supported")
        else:
            _render_clamped(context, body, name, name, 0.0, 1.0)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logprobs and not accepts_logprobs(request):
        context.drop(request.client_path("logprobs"), NOT_TRANSLATABLE)
    elif sampling.logprobs is not None:
        body["logprobs"] = sampling.logprobs
        if sampling.top_logprobs and not request.client_path("top_logprobs"):
            # One field of the client's sets both.
            reason = "only the log probabilities of the generated tokens are returned"
            context.approximate(request.client_path("logprobs"), reason)
    for name in _UNSUPPORTED_SAMPLING:
        if getattr(sampling, name) not in (None, 0, {}):
            context.drop(request.client_path(name), "no equivalent")
    if stop := context.limit_stop_sequences([text for text in sampling.stop if text]):
        body["stop_sequences"] = stop


def _render_clamped(
    context: RenderContext, body: Json, name: str, key: str, minimum: float, maximum: float
) -> None:
    """Render a number clamped to its bounds; integer bounds keep integers."""
    value = getattr(context.request.sampling, name)
    if value is None:
        return
    sent_value = min(max(value, minimum), maximum)
    if sent_value != value:
        reason = f"{value} clamped to {sent_value}"
        context.approximate(
            context.request.client_path(name), reason, before=value, after=sent_value
        )
    body[key] = sent_value


# --- metadata and extra fields --------------------------------------------------------------------


def _render_reasoning_config(context: RenderContext, body: Json) -> None:
    reasoning = context.request.reasoning
    if reasoning is None:
        return
    if reasoning.mode == "off":
        drop_effort_of_disabled_reasoning(context)
    if reasoning.effort == "none":
        reasoning = msgspec.structs.replace(reasoning, mode="off", effort=None)
    path = context.reasoning_path
    if not context.traits.reasoning:
        if reasoning.mode != "off":
            context.drop(path, f"{context.model} does not support reasoning")
        return
    if reasoning.mode == "off":
        body["thinking"] = {"type": "disabled"}
        return
    thinking_object: Json = {"type": "enabled"}
    if (budget := _requested_budget(reasoning)) is not None:
        thinking_object["token_budget"] = _fit_budget(
            context, reasoning, budget, body.get("max_tokens")
        )
    body["thinking"] = thinking_object


def _requested_budget(reasoning: ReasoningConfig) -> int | None:
    """The budget of reasoning tokens; None lets the model decide."""
    if reasoning.mode == "budget" and reasoning.budget is not None:
        return max(1, reasoning.budget)
    return BUDGET_BY_EFFORT.get(reasoning.effort or "")


def _fit_budget(
    context: RenderContext, reasoning: ReasoningConfig, budget: int, max_tokens: int | None
) -> int:
    """The budget, reduced so that the limit leaves room for a response.

    Reports a reduced budget, and an effort beyond those that have a usual budget.
    """
    path = context.request.client_path("budget" if reasoning.mode == "budget" else "effort")
    if max_tokens is not None and budget > max_tokens - _MIN_RESPONSE_TOKENS:
        sent_budget = max(1, max_tokens - _MIN_RESPONSE_TOKENS)
        reason = (
            f"at least {_MIN_RESPONSE_TOKENS} tokens of the limit are reserved for the response"
        )
        context.approximate(path, reason, before=budget, after=sent_budget)
        return sent_budget
    if reasoning.effort in {"xhigh", "max"}:
        context.approximate(path, "sent as a token budget", after=budget)
    return budget


def _render_metadata(context: RenderContext, body: Json) -> None:
    meta, request = context.request.meta, context.request
    context.drop_metadata("user_id", "session_key", "metadata", "store")
    tier = meta.service_tier
    if tier in _PRIORITY_BY_TIER:
        body["priority"] = _PRIORITY_BY_TIER[tier]
        context.approximate(
            request.client_path("service_tier"), "priority in the queue", before=tier, after=0
        )
    elif tier not in (None, "auto", "default"):
        context.drop(request.client_path("service_tier"), "no equivalent")


# --- paths and token counts -----------------------------------------------------------------------


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return "/v2/chat"
