"""The canonical request -> a provider's Chat request."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import shorten_user_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat.messages_out import messages_out
from gateway.dialects.openai_chat.output import output_out
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_chat.reasoning import thinking_out
from gateway.dialects.openai_chat.render_context import ChatRenderContext, cache_control
from gateway.dialects.openai_chat.tools import tools_out
from gateway.dialects.shared.openai_logprobs import NOT_TRANSLATABLE, accepts_logprobs

# OpenAI's limits (safety_identifier: 128 characters; prompt_cache_key: 64).
_KEY_LIMIT = 64
_MIN_OUTPUT_TOKENS = 1


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express. Raises GatewayError."""
    context = ChatRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model}
    _stream_out(context, body)
    output_out(context, body)
    messages_out(context, body)
    tools_out(context, body)
    thinking_out(context, body)
    if (limit := context.clamp_max_tokens(_MIN_OUTPUT_TOKENS)) is not None:
        body[traits.max_tokens_field] = limit
    _sampling_out(context, body)
    _meta_out(context, body)
    _extra_out(context, body)
    custom_tools = {
        context.sent_names[tool.name]
        for tool in request.tools
        if tool.kind == "custom" and not traits.custom_tools
    }
    return RenderedRequest(
        body=body,
        report=tuple(context.report),
        client_names={
            sent: client_name
            for client_name, sent in context.sent_names.items()
            if sent != client_name
        },
        custom_tools=frozenset(custom_tools),
    )


def _stream_out(context: ChatRenderContext, body: Json) -> None:
    request = context.request
    if request.stream:
        body["stream"] = True
        if context.traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    if request.include_usage is not None and not context.traits.stream_options:
        context.drop(
            request.client_path("include_usage"),
            "the upstream always reports the usage at the end",
        )


def _sampling_out(context: ChatRenderContext, body: Json) -> None:
    sampling, traits = context.request.sampling, context.traits
    # OpenAI's reasoning models accept sampling fields when reasoning is off.
    accepts_sampling = traits.sampling or body.get("reasoning_effort") == "none"
    model = traits.model or "the upstream"
    rejects = f"{model} rejects sampling parameters"
    unknown = "no equivalent"
    _temperature_out(context, body, accepts_sampling=accepts_sampling, why=rejects)
    for name, supported, why in (
        ("top_p", accepts_sampling, rejects),
        ("top_k", accepts_sampling and traits.top_k, unknown),
        ("min_p", traits.min_p, unknown),
        ("frequency_penalty", traits.penalties, f"{model} takes no penalties"),
        ("presence_penalty", traits.penalties, f"{model} takes no penalties"),
        ("repetition_penalty", traits.repetition_penalty, unknown),
        ("seed", traits.seed, unknown),
        ("logit_bias", traits.logit_bias, unknown),
    ):
        _put_if_supported(
            context, body, name, getattr(sampling, name), supported=supported, why=why
        )
    _stop_out(context, body)
    _logprobs_out(context, body)
    if sampling.n is not None and sampling.n > 1:
        sent = min(sampling.n, traits.n_max)
        if sent != sampling.n:
            why = f"{model} gives at most {sent} answers"
            context.approximate(
                context.request.client_path("n"), why, before=sampling.n, after=sent
            )
        if sent > 1:
            body["n"] = sent


def _put_if_supported(
    context: ChatRenderContext, body: Json, name: str, value: Any, *, supported: bool, why: str
) -> None:
    """Write a field, or report it if the target does not support it."""
    if value is None:
        return
    if supported:
        body[name] = value
    else:
        context.drop(
            context.request.client_path(name),
            why,
            before=value if not isinstance(value, dict) else None,
        )


def _temperature_out(
    context: ChatRenderContext, body: Json, *, accepts_sampling: bool, why: str
) -> None:
    value, maximum = context.request.sampling.temperature, context.traits.temperature_max
    if value is not None and accepts_sampling and value > maximum:
        reason = f"clamped to the largest temperature accepted, {maximum:g}"
        context.approximate(
            context.request.client_path("temperature"), reason, before=value, after=maximum
        )
        value = maximum
    _put_if_supported(context, body, "temperature", value, supported=accepts_sampling, why=why)


def _stop_out(context: ChatRenderContext, body: Json) -> None:
    stop, max_sequences = context.request.sampling.stop, context.traits.stop_max
    if not stop:
        return
    path = context.request.client_path("stop")
    if max_sequences == 0:
        context.drop(path, f"{context.traits.model} takes no stop sequences")
        return
    if max_sequences is not None and len(stop) > max_sequences:
        context.approximate(
            path, f"only the first {max_sequences} are sent", before=len(stop), after=max_sequences
        )
        stop = stop[:max_sequences]
    body["stop"] = list(stop)


def _logprobs_out(context: ChatRenderContext, body: Json) -> None:
    sampling = context.request.sampling
    why = "no equivalent"
    supported = context.traits.logprobs
    if supported and not accepts_logprobs(context.request):
        supported, why = False, NOT_TRANSLATABLE
    if sampling.logprobs:
        _put_if_supported(
            context, body, "logprobs", sampling.logprobs, supported=supported, why=why
        )
        _put_if_supported(
            context, body, "top_logprobs", sampling.top_logprobs, supported=supported, why=why
        )


def _meta_out(context: ChatRenderContext, body: Json) -> None:
    meta, traits, request = context.request.meta, context.traits, context.request
    if meta.user_id is not None:
        field = traits.user_field
        if field == "none":
            context.drop(request.client_path("user_id"), "no equivalent")
        else:
            body[field] = context.user_id(meta.user_id)
    if meta.session_key is not None and traits.session_field != "none":
        body[traits.session_field] = shorten_user_id(meta.session_key, _KEY_LIMIT)
    elif meta.session_key is not None and request.client_path("session_key") != request.client_path(
        "user_id"
    ):
        context.drop(request.client_path("session_key"), "no equivalent")
    _put_if_supported(
        context, body, "metadata", meta.metadata, supported=traits.metadata, why="no equivalent"
    )
    tier = meta.service_tier
    _put_if_supported(
        context, body, "service_tier", tier, supported=traits.service_tier, why="no equivalent"
    )
    if meta.store or traits.store:
        _put_if_supported(
            context, body, "store", meta.store, supported=traits.store, why="no equivalent"
        )


def _extra_out(context: ChatRenderContext, body: Json) -> None:
    request = context.request
    if request.cache is not None and context.traits.cache == "cache_control":
        body["cache_control"] = cache_control(request.cache)
    else:
        context.drop_cache_marks(request.cache)
    if request.previous_response_id is not None:
        context.drop("previous_response_id", "OpenAI Chat stores no responses to continue")
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            # A key with a dot or a bracket is the path of a field inside a message.
            if dialect != NAME or "." in key or "[" in key:
                context.drop(key, "no equivalent")
            elif key == "stream_options":
                if "stream_options" in body:
                    body["stream_options"] |= value
            else:
                body.setdefault(key, value)
