"""A canonical request as the JSON of a Converse call."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.canon.naming import shorten_user_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.bedrock_converse.context import (
    MODEL_FIELDS,
    NAME,
    SUPPORTED_BETAS,
    Json,
    RenderContext,
)
from gateway.dialects.bedrock_converse.messages import render_messages, render_system
from gateway.dialects.bedrock_converse.reasoning import (
    HIGH_EFFORT_REASON,
    render_reasoning_config,
    uses_high_effort,
)
from gateway.dialects.bedrock_converse.tools import render_tools
from gateway.dialects.shared.render_context import UNLIMITED_TOP_K, check_supported

# Sampling fields that Converse does not have.
_UNSUPPORTED_SAMPLING = (
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
_MAX_STOPS = 2500
_MAX_NOVA_TOP_K = 128
# Fields of clients of the same dialect that have no canonical equivalent.
_BEDROCK_FIELDS = frozenset(
    {
        *("guardrailConfig", "promptVariables", "performanceConfig"),
        "additionalModelResponseFieldPaths",
    }
)
_MAX_LABELS = 16
_MAX_LABEL_LENGTH = 256
_VALID_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")
_SERVICE_TIERS = {"default": "default", "priority": "priority", "flex": "flex"}


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    check_supported(request, "Bedrock returns one choice per request")
    context = RenderContext(request, traits)
    body: Json = {}
    system = render_system(context)
    body["messages"] = render_messages(context, system)
    render_tools(context, body)
    if (limit := context.clamp_max_tokens(1)) is not None:
        body["inferenceConfig"] = {"maxTokens": limit}
    render_output_format(context, body)
    system += [{"text": hint} for hint in context.hints]
    if system:
        body["system"] = system
    render_reasoning_config(context, body)
    _render_sampling(context, body)
    _render_metadata(context, body)
    _render_request_cache(context, body)
    _render_extra_fields(context, body)
    context.limit_cache_breakpoints(body)
    if context.model_fields:
        body[MODEL_FIELDS] = context.model_fields
    return context.finish(body, custom_tools=True)


# --- limits and sampling --------------------------------------------------------------------------


def _render_sampling(context: RenderContext, body: Json) -> None:
    sampling, request = context.request.sampling, context.request
    config: Json = body.setdefault("inferenceConfig", {})
    _render_temperature_and_top_p(context, config)
    for name in _UNSUPPORTED_SAMPLING:
        if getattr(sampling, name) not in (None, False, 0, {}):
            context.drop(request.client_path(name), "no equivalent")
    _render_stop(context, config)
    if not config:
        del body["inferenceConfig"]


def _render_temperature_and_top_p(context: RenderContext, config: Json) -> None:
    """Temperature, top_p and top_k, if the model accepts them."""
    sampling, request = context.request.sampling, context.request
    sampling_values = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
    sampling_values = {name: value for name, value in sampling_values.items() if value is not None}
    if not context.traits.sampling:
        for name in sampling_values:
            context.drop(request.client_path(name), f"{context.model} rejects sampling parameters")
        return
    if uses_high_effort(context):
        for name in sampling_values:
            context.drop(request.client_path(name), HIGH_EFFORT_REASON)
        return
    if context.model_fields.get("thinking", {}).get("type") in {"adaptive", "enabled"}:
        _render_top_p_with_thinking(context, config, sampling_values)
        return
    if (temperature := sampling_values.get("temperature")) is not None:
        config["temperature"] = _clamp_sampling_value(context, "temperature", temperature)
    # Claude 4.1 and newer: "`temperature` and `top_p` cannot both be specified for this model."
    is_claude = context.traits.reasoning_request == "thinking"
    if "top_p" in sampling_values and temperature is not None and is_claude:
        context.drop(request.client_path("top_p"), "cannot be combined with temperature")
    elif "top_p" in sampling_values:
        config["topP"] = _clamp_sampling_value(context, "top_p", sampling_values["top_p"])
    if "top_k" not in sampling_values:
        return
    if context.traits.top_k and context.traits.nested_top_k:
        _render_nova_top_k(context, sampling_values["top_k"])
    elif context.traits.top_k and sampling_values["top_k"] >= 0:
        context.model_fields["top_k"] = sampling_values["top_k"]
    else:
        reason = UNLIMITED_TOP_K if context.traits.top_k else "no equivalent"
        context.drop(request.client_path("top_k"), reason)


def _render_nova_top_k(context: RenderContext, top_k: int) -> None:
    """Nova's `topK`, which Converse itself does not have.

    Source: docs.aws.amazon.com/nova/latest/nova2-userguide/request-response-schema.html
    """
    path = context.request.client_path("top_k")
    if top_k < 0:
        context.drop(path, UNLIMITED_TOP_K)
        return
    sent_top_k = min(top_k, _MAX_NOVA_TOP_K)
    if sent_top_k != top_k:
        context.approximate(
            path, f"{top_k} clamped to {sent_top_k}", before=top_k, after=sent_top_k
        )
    context.model_fields["inferenceConfig"] = {"topK": sent_top_k}


def _render_top_p_with_thinking(
    context: RenderContext, config: Json, sampling_values: Json
) -> None:
    """With thinking, Claude accepts only temperature 1 and a large top_p."""
    for name, value in sampling_values.items():
        if name == "top_p" and 0.95 <= value <= 1:
            config["topP"] = value
        elif not (name == "temperature" and value == 1):
            context.drop(context.request.client_path(name), "cannot be combined with thinking")


def _clamp_sampling_value(context: RenderContext, name: str, value: float) -> float:
    max_value = context.traits.temperature_max if name == "temperature" else 1.0
    sent_value = min(max(value, 0.0), max_value)
    if sent_value != value:
        reason = f"{value:g} clamped to {sent_value:g}"
        context.approximate(
            context.request.client_path(name), reason, before=value, after=sent_value
        )
    return sent_value


def _render_stop(context: RenderContext, config: Json) -> None:
    stop_sequences, path = context.request.sampling.stop, context.request.client_path("stop")
    max_stops = _MAX_STOPS if context.traits.stop_max is None else context.traits.stop_max
    accepted_stops = [text for text in stop_sequences if text and not text.isspace()]
    if len(accepted_stops) < len(stop_sequences):
        context.drop(path, "whitespace-only stop sequences are not accepted upstream")
    if len(accepted_stops) > max_stops:
        reason = (
            f"only the first {max_stops} are sent"
            if max_stops
            else f"{context.model} does not support stop sequences"
        )
        context.approximate(path, reason, before=len(accepted_stops), after=max_stops)
        accepted_stops = accepted_stops[:max_stops]
    if accepted_stops:
        config["stopSequences"] = accepted_stops


# --- metadata and extra fields --------------------------------------------------------------------


def _render_metadata(context: RenderContext, body: Json) -> None:
    meta, request = context.request.meta, context.request
    labels: dict[str, str] = {}
    if meta.user_id is not None:
        labels["user"] = _valid_user_id(context, meta.user_id)
    for key, value in (meta.metadata or {}).items():
        path = f"{request.client_path('metadata')}.{key}"
        is_valid = (
            isinstance(value, str) and _is_valid_label(key) and _is_valid_label(value) and bool(key)
        )
        if is_valid and len(labels) < _MAX_LABELS:
            labels.setdefault(key, value)
        else:
            context.drop(path, "unsupported characters in a label, or more than 16 labels")
    if labels:
        body["requestMetadata"] = labels
    context.drop_metadata("session_key", "store")
    tier = meta.service_tier
    if tier in _SERVICE_TIERS and context.traits.service_tier:
        body["serviceTier"] = {"type": _SERVICE_TIERS[tier]}
    elif tier not in (None, "auto", "default"):
        context.drop(request.client_path("service_tier"), "no equivalent")


def _is_valid_label(text: str) -> bool:
    return _VALID_LABEL.fullmatch(text) is not None


def _valid_user_id(context: RenderContext, user_id: str) -> str:
    """The end user's id, or its hash if the API does not accept the id's form."""
    sent_id = shorten_user_id(user_id, _MAX_LABEL_LENGTH)
    if not _is_valid_label(sent_id):
        sent_id = shorten_user_id(f"[{user_id}", _MAX_LABEL_LENGTH)
    if sent_id != user_id:
        context.approximate(
            context.request.client_path("user_id"),
            "not in the accepted form: its hash is sent",
        )
    return sent_id


def _render_request_cache(context: RenderContext, body: Json) -> None:
    """The request's cache breakpoint goes after the last message."""
    if context.request.cache is not None:
        context.add_cache_breakpoint(body["messages"][-1]["content"], context.request.cache)


def _render_extra_fields(context: RenderContext, body: Json) -> None:
    """Render supported betas and Bedrock's own fields; report the others."""
    supported_betas = [
        beta for beta in dict.fromkeys(context.request.betas) if beta in SUPPORTED_BETAS
    ]
    if supported_betas and context.traits.reasoning_request == "thinking":
        context.model_fields["anthropic_beta"] = supported_betas
    for dialect, fields in context.request.extra.items():
        for key, value in fields.items():
            if dialect == NAME and key.startswith(f"{MODEL_FIELDS}."):
                name = key.removeprefix(f"{MODEL_FIELDS}.")
                if isinstance(value, dict):
                    value = {**value, **context.model_fields.get(name, {})}
                context.model_fields[name] = value
            elif dialect == NAME and key in _BEDROCK_FIELDS:
                body.setdefault(key, value)
            else:
                context.drop(key, "no equivalent")


# --- output formats -------------------------------------------------------------------------------

_INVALID_NAME_CHARACTERS = re.compile(r"[^a-zA-Z0-9_-]")


def render_output_format(context: RenderContext, body: Json) -> None:
    """Render the output format into the body, or as a hint if it cannot be enforced."""
    output, request = context.request.output, context.request
    if output.format == "schema" and output.schema is not None:
        schema = context.enforceable_schema(
            output.schema, "the upstream cannot enforce this schema"
        )
        if schema is not None:
            _render_schema(context, body, schema)
    elif output.format != "text":
        context.add_json_hint()
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")


def _render_schema(context: RenderContext, body: Json, schema: Json) -> None:
    output = context.request.output
    json_schema: Json = {"schema": msgspec.json.encode(schema).decode()}
    if output.name is not None:
        json_schema["name"] = _INVALID_NAME_CHARACTERS.sub("_", output.name)[:64]
    if output.description is not None:
        json_schema["description"] = output.description
    text_format = {"type": "json_schema", "structure": {"jsonSchema": json_schema}}
    body.setdefault("outputConfig", {})["textFormat"] = text_format


# --- paths and token counts -----------------------------------------------------------------------


# Tokens are counted by the model itself, not by an inference profile for it.
_INFERENCE_PROFILE_PREFIX = re.compile(r"^(?:us|us-gov|eu|apac|au|ca|jp|global)\.(?=[a-z0-9]+\.)")


_COUNTED_FIELDS = ("messages", "system", "toolConfig")


def token_count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The body of a token count: messages, instructions and tools."""
    return {"input": {"converse": {key: body[key] for key in _COUNTED_FIELDS if key in body}}}


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    if verb == "count_tokens":
        return f"/model/{quote(_INFERENCE_PROFILE_PREFIX.sub('', model), safe='')}/count-tokens"
    action = "converse-stream" if stream else "converse"
    return f"/model/{quote(model, safe='')}/{action}"
