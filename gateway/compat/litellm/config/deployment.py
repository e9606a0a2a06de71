"""One entry of model_list -> provider, model and target."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gateway.canon.traits import Traits
from gateway.compat.litellm.config.clouds import resolve_preset
from gateway.compat.litellm.config.endpoint import endpoint, explicit_base_url
from gateway.compat.litellm.config.inference import ELSEWHERE, NotYet, ResolvedModel, resolve_model
from gateway.compat.litellm.config.limits import budget, deployment_limits
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import ModelRow, ProviderRow, TargetRow
from gateway.providers.capabilities import traits_for
from gateway.providers.prices import price_for
from gateway.routing.snapshot import Timeouts

SHARES = ("weight", "rpm", "tpm")
# Modes that the endpoints serve; entries of other modes are left out.
MODES = frozenset({"chat", "responses"})

MAX_NAME = 200
# The preset that answers with a `mock_response`.
MOCK = "demo"
# The largest value of a price column, in US dollars per million tokens.
MAX_PRICE = Decimal(10_000_000)

_MILLION = Decimal(1_000_000)
_PRICE_QUANTUM = Decimal("1e-8")
_COSTS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}
_CAPABILITIES = {
    "supports_vision": "images",
    "supports_function_calling": "tools",
    "supports_reasoning": "reasoning",
    "supports_pdf_input": "pdf",
    "supports_audio_input": "audio",
    "supports_parallel_function_calling": "parallel_toggle",
    "supports_tool_choice": "forced_tools",
}
# Default parameters, by the name that each dialect has for them.
DEFAULTS: dict[str, dict[str, str]] = {
    "openai_chat": {
        name: name
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "n",
            "seed",
            "stop",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "reasoning_effort",
            "response_format",
            "service_tier",
            "user",
            "verbosity",
            "thinking",
        )
    },
    "openai_responses": {
        **{name: name for name in ("temperature", "top_p", "top_logprobs", "service_tier")},
        "user": "user",
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
    },
    "anthropic_messages": {
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "stop": "stop_sequences",
        "thinking": "thinking",
        "service_tier": "service_tier",
        "max_tokens": "max_tokens",
    },
    "ollama": {
        **{
            name: f"options.{name}"
            for name in (
                "temperature",
                "top_p",
                "top_k",
                "seed",
                "stop",
                "presence_penalty",
                "frequency_penalty",
            )
        },
        "max_tokens": "options.num_predict",
    },
    "gemini": {
        "temperature": "generationConfig.temperature",
        "top_p": "generationConfig.topP",
        "top_k": "generationConfig.topK",
        "n": "generationConfig.candidateCount",
        "seed": "generationConfig.seed",
        "stop": "generationConfig.stopSequences",
        "presence_penalty": "generationConfig.presencePenalty",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "max_tokens": "generationConfig.maxOutputTokens",
    },
}
# Where a provider expects a list and LiteLLM also accepts a string.
_LISTS = frozenset(
    {
        "stop_sequences",
        "inferenceConfig.stopSequences",
        "options.stop",
        "generationConfig.stopSequences",
    }
)
_ALL_DEFAULTS = tuple(DEFAULTS["openai_chat"])
LIMITS = ("max_completion_tokens", "max_tokens")


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The provider, model and target of one entry."""

    provider: ProviderRow
    model: ModelRow
    target: TargetRow


def read_deployment(
    params: Node, info: Node | None, environ: Mapping[str, str], report: Report
) -> Deployment:
    """Read the deployment of an entry. Raises Mistake, or NotYet if it is not supported."""
    model = params.get("model")
    if model is None:
        raise params.mistake("needs a model")
    _served(info)
    base = explicit_base_url(params)
    resolved = resolve_model(
        model.text(max_length=MAX_NAME), params.get("custom_llm_provider"), base
    )
    resolved = resolve_preset(resolved, base)
    if not resolved.model:
        raise model.mistake("names a provider but no model")
    if resolved.guessed and resolved.prefix in ELSEWHERE:
        report.add(model, ELSEWHERE[resolved.prefix])
    mock_response = _mock(params, report)
    if mock_response is None:
        provider = endpoint(params, resolved, environ, report)
        edits = _edits(params, resolved, report)
    else:
        provider = ProviderRow(preset=MOCK, ref=params.location, shareable=True)
        edits = [{"op": "set", "path": "mock_response", "value": mock_response}]
    traits, prices = _base_model_facts(info, resolved)
    if mock_response is not None:
        prices = {**_list_prices(resolved.preset.name, resolved.model), **prices}
    limits, rates = deployment_limits(params, info)
    return Deployment(
        provider=provider,
        model=ModelRow(
            provider=provider.identity,
            name=resolved.model,
            ref=params.location,
            traits={**traits, **_traits(info)},
            prices={**prices, **_prices(params, info)},
        ),
        target=TargetRow(
            provider=provider.identity,
            model=resolved.model,
            ref=params.location,
            order=node.integer() if (node := params.get("order")) is not None else 1,
            shares={n: node.number() for n in SHARES if (node := params.get(n)) is not None},
            timeouts=timeouts(params),
            edits=edits,
            tags=_tags(params),
            limits=limits,
            rates=rates,
            budget=budget(params, report, "max_budget", "budget_duration"),
        ),
    )


def _mock(params: Node, report: Report) -> str | None:
    """Return the entry's fixed response, or None; it replaces the call to the provider."""
    node = params.get("mock_response")
    if node is None or isinstance(node.value, str):
        return node.text() if node is not None else None
    report.add(node, "is left out: only a text is said")
    return None


def _tags(params: Node) -> tuple[str, ...]:
    node = params.get("tags")
    tags = (item.text(max_length=128).strip() for item in node.list()) if node is not None else ()
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _served(info: Node | None) -> None:
    mode = info.get("mode") if info is not None else None
    if mode is not None and mode.text() not in MODES:
        raise NotYet(f"models of mode `{mode.text()}` are not served yet")


def timeouts(node: Node) -> dict[str, float]:
    """Return the entry's timeouts per stage of a call, in seconds.

    `timeout` bounds the wait for the first byte and, in a stream, for each next chunk: it
    never cuts a stream that keeps sending. `stream_timeout` bounds the wait between chunks.
    """
    timeouts: dict[str, float] = {}
    total_node, stream_node = node.get("timeout", "request_timeout"), node.get("stream_timeout")
    if total_node is not None:
        timeouts["first_byte_s"] = timeouts["idle_s"] = total_node.number()
        timeouts["total_s"] = max(Timeouts().total_s, total_node.number())
    if stream_node is not None:
        timeouts["idle_s"] = stream_node.number()
    for name, seconds in timeouts.items():
        if seconds <= 0:
            raise (total_node or stream_node or node).mistake(f"must be above 0 ({name})")
    return timeouts


def _edits(params: Node, model: ResolvedModel, report: Report) -> list[dict[str, Any]]:
    edits = list(_defaults(params, model, report))
    if (node := params.get("extra_body")) is not None:
        edits += [{"op": "set", "path": n, "value": v.to_python()} for n, v in node.items()]
    if (node := params.get("additional_drop_params")) is not None:
        # LiteLLM writes `tools[*].strict`, edits here write `tools[].strict`.
        paths = [item.text().replace("[*]", "[]") for item in node.list()]
        edits += [{"op": "drop", "path": path, "why": "additional_drop_params"} for path in paths]
    return edits


def _defaults(params: Node, model: ResolvedModel, report: Report) -> list[dict[str, Any]]:
    """Return edits that set parameters which the client leaves out."""
    parameters = DEFAULTS.get(model.preset.dialect, {})
    edits: list[dict[str, Any]] = []
    for name in _ALL_DEFAULTS:
        node = params.get(name)
        if node is None:
            continue
        if name not in parameters:
            report.add(node, "is left out: the provider has no such parameter")
            continue
        value = node.to_python()
        if parameters[name] in _LISTS and isinstance(value, str):
            value = [value]
        edits.append({"op": "default", "path": parameters[name], "value": value})
    limit = params.get(*LIMITS)
    if limit is not None:
        # Chat has two names for this limit, and each model accepts one of them.
        field = parameters.get("max_tokens") or _traits_of(model).max_tokens_field
        edits.append({"op": "default", "path": field, "value": limit.integer()})
    return edits


def _traits_of(model: ResolvedModel) -> Traits:
    return traits_for(model.preset.name, model.model)


def _base_model_facts(
    info: Node | None, model: ResolvedModel
) -> tuple[dict[str, Any], dict[str, Decimal]]:
    """Return traits and prices of `base_model` that the deployment's own name does not give."""
    node = info.get("base_model") if info is not None else None
    if node is None:
        return {}, {}
    base = node.text().removeprefix(f"{model.prefix}/")
    preset = model.preset.name
    base_traits, model_traits = traits_for(preset, base), _traits_of(model)
    traits = {
        name: value
        for name in base_traits.__struct_fields__
        if name != "model" and (value := getattr(base_traits, name)) != getattr(model_traits, name)
    }
    return msgspec.to_builtins(traits), _list_prices(preset, base)


def _list_prices(preset: str, model: str) -> dict[str, Decimal]:
    price = price_for(preset, model)
    return {name: value for name in _COSTS.values() if (value := getattr(price, name))}


def _prices(params: Node, info: Node | None) -> dict[str, Decimal]:
    prices = {}
    for source in (info, params):
        for key, name in _COSTS.items():
            node = source.get(key) if source is not None else None
            if node is not None:
                prices[name] = _price(node)
    return prices


def _price(node: Node) -> Decimal:
    """Convert US dollars per token to US dollars per million tokens, without rounding error."""
    price = Decimal(str(node.number())) * _MILLION
    if price > MAX_PRICE:
        raise node.mistake("is the price of one token, in dollars, and can not be so high")
    return price.quantize(_PRICE_QUANTUM)


def _traits(info: Node | None) -> dict[str, Any]:
    if info is None:
        return {}
    traits: dict[str, Any] = {}
    if (node := info.get("max_output_tokens", "max_tokens")) is not None:
        traits["max_output"] = node.integer()
    if (node := info.get("max_input_tokens")) is not None:
        traits["context_window"] = node.integer()
    for key, trait in _CAPABILITIES.items():
        if (node := info.get(key)) is not None:
            traits[trait] = node.flag()
    if (node := info.get("supports_response_schema")) is not None and not node.flag():
        traits["structured"] = "json"
    return traits
