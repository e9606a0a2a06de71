"""The canonical request -> a provider's generateContent request; the model is in the path."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.gemini.contents_out import render_contents, render_system
from gateway.dialects.gemini.names import CALLING_CONFIG, GENERATION_CONFIG, NAME, WIRE_TIERS, Json
from gateway.dialects.gemini.output import render_output_format
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.gemini.thinking import render_thinking
from gateway.dialects.gemini.tools import render_tools
from gateway.dialects.shared.openai_logprobs import NOT_TRANSLATABLE, accepts_logprobs

# canonical sampling field -> ours, where the target's traits let it pass.
_SAMPLING_FIELDS = {
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
}
_UNSUPPORTED_SAMPLING = ("min_p", "repetition_penalty", "logit_bias")


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    if request.previous_response_id is not None:
        path = request.client_path("previous_response_id")
        message = f"{path}: the upstream keeps no earlier answers"
        raise GatewayError(Error(kind="unsupported_param", message=message, param=path))
    context = RenderContext(request, traits)
    body: Json = {}
    system = render_system(context)
    body["contents"], effort = render_contents(context, system)
    if system:
        body["systemInstruction"] = {"parts": system}
    render_tools(context, body)
    config: Json = {}
    _render_max_tokens(context, config)
    _render_sampling(context, config)
    render_output_format(context, config)
    render_thinking(context, config, effort)
    if config:
        body[GENERATION_CONFIG] = config
    _render_metadata(context, body)
    context.drop_cache_marks(request.cache)
    _render_extra_fields(context, body)
    custom_names = (
        context.sent_names[tool.name] for tool in request.tools if tool.kind == "custom"
    )
    return RenderedRequest(
        body=body,
        report=tuple(context.report),
        client_names={
            sent_name: client_name
            for client_name, sent_name in context.sent_names.items()
            if sent_name != client_name
        },
        custom_tools=frozenset(custom_names),
    )


def _render_max_tokens(context: RenderContext, config: Json) -> None:
    requested_tokens, max_output = context.request.max_output, context.traits.max_output
    if requested_tokens is None:
        return
    if max_output is not None and requested_tokens > max_output:
        why = f"{requested_tokens} clamped to the model's output limit {max_output}"
        context.approximate(
            context.request.client_path("max_output"),
            why,
            before=requested_tokens,
            after=max_output,
        )
        requested_tokens = max_output
    config["maxOutputTokens"] = requested_tokens


def _render_sampling(context: RenderContext, config: Json) -> None:
    sampling, request, traits = context.request.sampling, context.request, context.traits
    _render_temperature(context, config)
    supported_fields = {
        "top_p": traits.sampling,
        "top_k": traits.top_k,
        "frequency_penalty": traits.penalties,
        "presence_penalty": traits.penalties,
        "seed": traits.seed,
    }
    for name, key in _SAMPLING_FIELDS.items():
        value = getattr(sampling, name)
        if value is not None and supported_fields[name]:
            config[key] = value
        elif value is not None:
            context.drop(request.client_path(name), f"{context.model} does not take it")
    for name in _UNSUPPORTED_SAMPLING:
        if getattr(sampling, name) not in (None, {}):
            context.drop(request.client_path(name), "no equivalent")
    _render_stop(context, config)
    _render_candidates_and_logprobs(context, config)


def _render_temperature(context: RenderContext, config: Json) -> None:
    value, max_temperature = context.request.sampling.temperature, context.traits.temperature_max
    if value is None:
        return
    path = context.request.client_path("temperature")
    if not context.traits.sampling:
        context.drop(path, f"{context.model} does not take it")
        return
    if value > max_temperature:
        context.approximate(
            path, f"{value:g} clamped to {max_temperature:g}", before=value, after=max_temperature
        )
    config["temperature"] = min(value, max_temperature)


def _render_stop(context: RenderContext, config: Json) -> None:
    stop, max_stops = context.request.sampling.stop, context.traits.stop_max
    accepted_stops = [text for text in stop if text]
    if accepted_stops and max_stops is not None and len(accepted_stops) > max_stops:
        why = f"only the first {max_stops} are sent"
        context.approximate(
            context.request.client_path("stop"), why, before=len(accepted_stops), after=max_stops
        )
        accepted_stops = accepted_stops[:max_stops]
    if accepted_stops:
        config["stopSequences"] = accepted_stops


def _render_candidates_and_logprobs(context: RenderContext, config: Json) -> None:
    """How many answers, and how likely their tokens were."""
    sampling, request, traits = context.request.sampling, context.request, context.traits
    if sampling.n is not None:
        sent_count = min(sampling.n, traits.n_max)
        if sent_count != sampling.n:
            why = f"{context.model} gives at most {sent_count} answers"
            context.approximate(request.client_path("n"), why, before=sampling.n, after=sent_count)
        config["candidateCount"] = sent_count
    accepts_client_logprobs = context.same_dialect or accepts_logprobs(request)
    if not traits.logprobs or not accepts_client_logprobs:
        why = NOT_TRANSLATABLE if traits.logprobs else f"{context.model} does not return them"
        for name in ("logprobs", "top_logprobs"):
            if getattr(sampling, name):
                context.drop(request.client_path(name), why)
        return
    if sampling.logprobs is not None:
        config["responseLogprobs"] = sampling.logprobs
    if sampling.top_logprobs is not None:
        config["logprobs"] = sampling.top_logprobs


# --- the rest ----------------------------------------------------------------------------


def _render_metadata(context: RenderContext, body: Json) -> None:
    meta, request, traits = context.request.meta, context.request, context.traits
    if meta.user_id is not None:
        context.drop(request.client_path("user_id"), "no equivalent")
    if meta.session_key is not None and request.client_path("session_key") != request.client_path(
        "user_id"
    ):
        context.drop(request.client_path("session_key"), "no equivalent")
    if meta.metadata and traits.metadata:
        body["labels"] = meta.metadata
    elif meta.metadata:
        context.drop(request.client_path("metadata"), "only Vertex AI takes labels")
    if meta.store is not None and traits.store:
        body["store"] = meta.store
    elif meta.store:
        context.drop(request.client_path("store"), "no equivalent")
    if meta.service_tier is None:
        return
    tier = WIRE_TIERS.get(meta.service_tier)
    if tier is None or not traits.service_tier:
        context.drop(request.client_path("service_tier"), "no equivalent")
    else:
        body["serviceTier"] = tier


def _render_extra_fields(context: RenderContext, body: Json) -> None:
    """Renders fields without a canonical equivalent for this dialect; reports those of others."""
    for dialect, fields in context.request.extra.items():
        for key, value in fields.items():
            # A key with a bracket is the path of a field inside a part.
            if dialect == NAME and "[" not in key:
                _set_extra_field(body, key, value)
            else:
                context.drop(key, "no equivalent")


def _set_extra_field(body: Json, key: str, value: Any) -> None:
    """Sets a field by its dotted path; an existing value stays."""
    *parent_keys, last_key = key.split(".")
    parent = body
    for parent_key in parent_keys:
        parent = parent.setdefault(parent_key, {})
    if key == f"{CALLING_CONFIG}.mode":
        parent[last_key] = value
    else:
        parent.setdefault(last_key, value)
