"""One entry of model_list -> provider, model and target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gateway.compat.litellm.config.clouds import resolve_preset
from gateway.compat.litellm.config.defaults import (
    ALL_DEFAULTS,
    LIMITS,
    default_edits,
    edit_reason,
)
from gateway.compat.litellm.config.endpoint import endpoint, explicit_base_url
from gateway.compat.litellm.config.inference import (
    ELSEWHERE,
    OTHER_API,
    ResolvedModel,
    resolve_model,
)
from gateway.compat.litellm.config.limits import budget, deployment_limits
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import ModelRow, ProviderRow, TargetRow
from gateway.dialects import DIALECTS, EMBED_DIALECTS
from gateway.providers.capabilities import traits_for
from gateway.providers.prices import price_for
from gateway.routing.pricing import TOKENS_PER_MTOK
from gateway.routing.snapshot import Timeouts

WEIGHT_FIELDS = ("weight", "rpm", "tpm")
# Modes of LiteLLM's that the endpoints serve (litellm/types/utils.py, ModelInfoBase.mode),
# and spellings that files have for them.
MODES = frozenset(
    {
        "chat",
        "responses",
        "completion",
        "embedding",
        "embeddings",
        "image_generation",
        "image_edit",
        "audio_transcription",
        "audio_speech",
        "tts",
        "moderation",
        "rerank",
        "batch",
    }
)
# Parameters that become edits of the request.
EDIT_PARAMETERS = (*ALL_DEFAULTS, *LIMITS, "extra_body", "additional_drop_params")

MAX_NAME = 200
# The preset that answers with a `mock_response`.
MOCK = "demo"
# The largest value of a price column, in US dollars per million tokens.
MAX_PRICE = Decimal(10_000_000)

_PRICE_QUANTUM = Decimal("1e-8")
# LiteLLM's names of prices, in US dollars per token -> fields of `Price`.
COSTS = {
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
# Fields that set prices and capabilities of a model, in `litellm_params` or `model_info`.
MODEL_FIELDS = frozenset(
    {
        *COSTS,
        *_CAPABILITIES,
        *("max_tokens", "max_output_tokens", "max_input_tokens", "supports_response_schema"),
    }
)


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The provider, model and target of one entry."""

    provider: ProviderRow
    model: ModelRow
    target: TargetRow


def read_deployment(
    model_name: str, params: Node, info: Node | None, environ: Mapping[str, str], report: Report
) -> Deployment:
    """Read the deployment of an entry.

    Raises ConfigError, or UnsupportedEntry if it is not supported.
    """
    model = params.get("model")
    if model is None:
        raise params.error("needs a model")
    _note_mode(info, report)
    base = explicit_base_url(params)
    resolved_model = resolve_model(
        model.text(max_length=MAX_NAME), params.get("custom_llm_provider"), base
    )
    resolved_model = resolve_preset(params, resolved_model, base, environ)
    if not resolved_model.model:
        report.add(model, f"names a provider but no model; `{model_name}` is used")
        resolved_model = msgspec.structs.replace(resolved_model, model=model_name)
    if resolved_model.guessed and resolved_model.prefix in ELSEWHERE:
        report.add(model, ELSEWHERE[resolved_model.prefix])
    mock_response = _mock_response(params, report)
    if resolved_model.prefix in OTHER_API and mock_response is None:
        report.add(model, OTHER_API[resolved_model.prefix])
    if mock_response is None:
        provider = endpoint(params, resolved_model, environ, report)
        edits = _read_edits(params, resolved_model, report)
    else:
        provider = ProviderRow(preset=MOCK, ref=params.location, shareable=True)
        edits = [{"op": "set", "path": "mock_response", "value": mock_response}]
    traits, prices = _base_model_properties(info, resolved_model)
    if mock_response is not None:
        prices = {**_list_prices(resolved_model.preset.name, resolved_model.model), **prices}
    _note_embeddings(model, resolved_model, info, report)
    limits, rates = deployment_limits(params, info)
    return Deployment(
        provider=provider,
        model=ModelRow(
            provider=provider.identity,
            name=resolved_model.model,
            ref=params.location,
            traits={**traits, **_read_traits(info, report)},
            prices={**prices, **_read_prices(params, info, report)},
        ),
        target=TargetRow(
            provider=provider.identity,
            model=resolved_model.model,
            ref=params.location,
            order=node.integer() if (node := params.get("order")) is not None else 1,
            shares={n: node.number() for n in WEIGHT_FIELDS if (node := params.get(n)) is not None},
            timeouts=timeouts(params),
            edits=edits,
            tags=_read_tags(params),
            limits=limits,
            rates=rates,
            budget=budget(params, report, "max_budget", "budget_duration"),
        ),
    )


def _mock_response(params: Node, report: Report) -> str | None:
    """Return the entry's fixed response, or None; it replaces the call to the provider."""
    node = params.get("mock_response")
    if node is None or isinstance(node.value, str):
        return node.text() if node is not None else None
    report.add_skipped(node, "is ignored: only a text can be returned")
    return None


def _read_tags(params: Node) -> tuple[str, ...]:
    node = params.get("tags")
    tags = (item.text(max_length=128).strip() for item in node.list()) if node is not None else ()
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _note_mode(info: Node | None, report: Report) -> None:
    """Report a mode that no endpoint serves; the model can still be called by chat."""
    mode = info.get("mode") if info is not None else None
    if mode is not None and mode.text() not in MODES:
        report.add(mode, f"`{mode.text()}` is not a mode; the model is served like any other")


def _note_embeddings(node: Node, model: ResolvedModel, info: Node | None, report: Report) -> None:
    """Report a model for embeddings at a provider that they are not supported for."""
    mode = info.get("mode") if info is not None else None
    is_embedding = mode is not None and mode.text().startswith("embedding")
    is_embedding = is_embedding or "embed" in model.model
    dialect = EMBED_DIALECTS.get(model.preset.dialect, model.preset.dialect)
    if is_embedding and DIALECTS[dialect].embed_provider is None:
        report.add(node, f"embeddings of {model.preset.title} are not supported yet")


def timeouts(node: Node) -> dict[str, float]:
    """Return the entry's timeouts per stage of a call, in seconds.

    `timeout` bounds the wait for the first byte: it never cuts a stream that keeps sending.
    `stream_timeout` bounds the wait between chunks; see `with_idle_timeout`.
    """
    timeouts: dict[str, float] = {}
    total_node, stream_node = node.get("timeout", "request_timeout"), node.get("stream_timeout")
    if total_node is not None:
        timeouts["first_byte_s"] = total_node.number()
        timeouts["total_s"] = max(Timeouts().total_s, total_node.number())
    if stream_node is not None:
        timeouts["idle_s"] = stream_node.number()
    for name, seconds in timeouts.items():
        if seconds <= 0:
            raise (total_node or stream_node or node).error(f"must be above 0 ({name})")
    return timeouts


def with_idle_timeout(timeouts: dict[str, float]) -> dict[str, float]:
    """Return the timeouts of an entry and of the settings, where `timeout` also bounds chunks.

    In LiteLLM, a `stream_timeout` anywhere has precedence over a `timeout` for streams.
    """
    if "first_byte_s" not in timeouts:
        return timeouts
    return {"idle_s": timeouts["first_byte_s"], **timeouts}


def _read_edits(params: Node, model: ResolvedModel, report: Report) -> list[dict[str, Any]]:
    edits = default_edits(params, model, report)
    if (node := params.get("extra_body")) is not None:
        reason = edit_reason("extra_body")
        edits += [
            {"op": "set", "path": n, "value": v.to_python(), "reason": reason}
            for n, v in node.items()
        ]
    if (node := params.get("additional_drop_params")) is not None:
        # LiteLLM writes `tools[*].strict`, edits here write `tools[].strict`.
        paths = [item.text().replace("[*]", "[]") for item in node.list()]
        reason = edit_reason("additional_drop_params")
        edits += [{"op": "drop", "path": path, "reason": reason} for path in paths]
    return edits


def _base_model_properties(
    info: Node | None, model: ResolvedModel
) -> tuple[dict[str, Any], dict[str, Decimal]]:
    """Return traits and prices of `base_model` that the deployment's own name does not give."""
    node = info.get("base_model") if info is not None else None
    if node is None:
        return {}, {}
    base = node.text().removeprefix(f"{model.prefix}/")
    preset = model.preset.name
    base_traits, model_traits = traits_for(preset, base), traits_for(preset, model.model)
    traits = {
        name: value
        for name in base_traits.__struct_fields__
        if name != "model" and (value := getattr(base_traits, name)) != getattr(model_traits, name)
    }
    return msgspec.to_builtins(traits), _list_prices(preset, base)


def _list_prices(preset: str, model: str) -> dict[str, Decimal]:
    price = price_for(preset, model)
    return {name: value for name in COSTS.values() if (value := getattr(price, name))}


def _read_prices(params: Node, info: Node | None, report: Report) -> dict[str, Decimal]:
    prices = {}
    for source in (info, params):
        for key, name in COSTS.items():
            node = source.get(key) if source is not None else None
            if node is not None and (price := report.attempt(node, _price_per_mtok)) is not None:
                prices[name] = price
    return prices


def _price_per_mtok(node: Node) -> Decimal:
    """Convert US dollars per token to US dollars per million tokens, without rounding error."""
    price = Decimal(str(node.number())) * TOKENS_PER_MTOK
    if price > MAX_PRICE:
        raise node.error("is the price of one token in US dollars; this value is too high")
    return price.quantize(_PRICE_QUANTUM)


def _read_traits(info: Node | None, report: Report) -> dict[str, Any]:
    if info is None:
        return {}
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "max_tokens": ("max_output", Node.integer),
        "max_output_tokens": ("max_output", Node.integer),
        "max_input_tokens": ("context_window", Node.integer),
        **{key: (trait, Node.boolean) for key, trait in _CAPABILITIES.items()},
    }
    traits: dict[str, Any] = {}
    for key, (trait, read) in readers.items():
        node = info.get(key)
        if node is not None and (value := report.attempt(node, read)) is not None:
            traits[trait] = value
    node = info.get("supports_response_schema")
    if node is not None and report.attempt(node, Node.boolean) is False:
        traits["structured"] = "json"
    return traits
