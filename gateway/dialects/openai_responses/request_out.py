"""The canonical request -> a provider's Responses request."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import shorten_user_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_responses.items_out import input_out
from gateway.dialects.openai_responses.names import ENCRYPTED, LOGPROBS, NAME, NESTED, Json
from gateway.dialects.openai_responses.output import output_out
from gateway.dialects.openai_responses.reasoning import thinking_out
from gateway.dialects.openai_responses.render_context import ResponsesRenderContext, refused
from gateway.dialects.openai_responses.tools_out import tools_out
from gateway.dialects.shared.openai_logprobs import NOT_TRANSLATABLE, accepts_logprobs

# OpenAI's limits (safety_identifier: 128 characters; prompt_cache_key: 64).
_KEY_LIMIT = 64
_MIN_OUTPUT_TOKENS = 16
# Sampling fields that this dialect does not have.
_UNSUPPORTED_SAMPLING = (
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
)
# The field inside an item that is restored to its item.
_ITEM_FIELD_SUFFIX = "].phase"
# The fields that a token count accepts; others are a 400 there.
_TOKEN_COUNT_FIELDS = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text", "truncation"}
)


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express. Raises GatewayError."""
    if request.sampling.n is not None and request.sampling.n > 1:
        raise refused(request.client_path("n"), "OpenAI's Responses give one answer at a time")
    context = ResponsesRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model}
    if request.stream:
        body["stream"] = True
    # The provider stores nothing: the gateway stores responses itself, and reasoning is
    # restored from its encrypted state.
    body |= {"store": False, "include": [ENCRYPTED]}
    output_out(context, body)
    input_out(context, body)
    tools_out(context, body)
    thinking_out(context, body)
    if (limit := context.clamp_max_tokens(_MIN_OUTPUT_TOKENS)) is not None:
        body["max_output_tokens"] = limit
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


def token_count_body(body: Json, model: str) -> Json:
    """The body of a token count, from the body of the request."""
    return {key: value for key, value in body.items() if key in _TOKEN_COUNT_FIELDS}


def _sampling_out(context: ResponsesRenderContext, body: Json) -> None:
    sampling, traits, request = context.request.sampling, context.traits, context.request
    # OpenAI's reasoning models accept sampling fields when reasoning is off.
    accepts_sampling = traits.sampling or body.get("reasoning", {}).get("effort") == "none"
    rejects = f"{context.model} rejects sampling parameters"
    _temperature_out(context, body, accepts_sampling=accepts_sampling, why=rejects)
    _put_if_supported(
        context, body, "top_p", sampling.top_p, supported=accepts_sampling, why=rejects
    )
    for name in _UNSUPPORTED_SAMPLING:
        value = getattr(sampling, name)
        _put_if_supported(
            context, body, name, value, supported=False, why="no equivalent in OpenAI's Responses"
        )
    if sampling.stop:
        context.drop(request.client_path("stop"), "OpenAI's Responses take no stop sequences")
    if sampling.logprobs or sampling.top_logprobs:
        _logprobs_out(context, body)


def _put_if_supported(
    context: ResponsesRenderContext, body: Json, name: str, value: Any, *, supported: bool, why: str
) -> None:
    """Write a field, or report it if the target does not support it."""
    if value is None:
        return
    if supported:
        body[name] = value
    else:
        before = value if not isinstance(value, dict) else None
        context.drop(context.request.client_path(name), why, before=before)


def _temperature_out(
    context: ResponsesRenderContext, body: Json, *, accepts_sampling: bool, why: str
) -> None:
    value, maximum = context.request.sampling.temperature, context.traits.temperature_max
    if value is not None and accepts_sampling and value > maximum:
        reason = f"clamped to the largest temperature accepted, {maximum:g}"
        context.approximate(
            context.request.client_path("temperature"), reason, before=value, after=maximum
        )
        value = maximum
    _put_if_supported(context, body, "temperature", value, supported=accepts_sampling, why=why)


def _logprobs_out(context: ResponsesRenderContext, body: Json) -> None:
    sampling = context.request.sampling
    if not context.traits.logprobs or not accepts_logprobs(context.request):
        context.drop(context.request.client_path("logprobs"), NOT_TRANSLATABLE)
        return
    if sampling.logprobs:
        body["include"] = [*body["include"], LOGPROBS]
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs


def _meta_out(context: ResponsesRenderContext, body: Json) -> None:
    meta, traits, request = context.request.meta, context.traits, context.request
    if meta.user_id is not None:
        if traits.user_field == "none":
            context.drop(request.client_path("user_id"), "no equivalent")
        else:
            body[traits.user_field] = context.user_id(meta.user_id)
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
    if meta.store:
        context.drop(request.client_path("store"), "the provider must not store responses")


def _extra_out(context: ResponsesRenderContext, body: Json) -> None:
    """Send fields without a canonical equivalent to this dialect; report all others."""
    request = context.request
    context.drop_cache_marks(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect != NAME:
                context.drop(key, "no equivalent")
            elif key == "include":
                body["include"] = [*body["include"], *value]
            elif not _restore_field(body, key, value) and not key.endswith(_ITEM_FIELD_SUFFIX):
                context.drop(key, "no equivalent")


def _restore_field(body: Json, key: str, value: Any) -> bool:
    """Write a field under its path; False if it was inside an item."""
    if "[" in key:
        return False
    holder, _, inner = key.partition(".")
    if inner and holder in NESTED:
        # Fields that are already set win; `reasoning` exists only if reasoning is on.
        if inner != "summary":
            body.setdefault(holder, {}).setdefault(inner, value)
        return True
    body.setdefault(key, value)
    return True
