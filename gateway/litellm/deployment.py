"""One entry of model_list -> provider, model and target."""

from __future__ import annotations

import hashlib
import os
import re
from decimal import Decimal
from typing import Any

import msgspec

from gateway.litellm.reader import Node
from gateway.litellm.rows import ModelRow, ProviderRow, TargetRow
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset

# LiteLLM's own guesses for a model without a provider prefix.
INFERRED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(gpt-|chatgpt-|o[1-9](-|$)|text-embedding-|ft:|davinci|babbage)"), "openai"),
    (re.compile(r"^claude"), "anthropic"),
    (re.compile(r"^gemini-"), "gemini"),
    (re.compile(r"^(command|c4ai-)"), "cohere"),
    (re.compile(r"^(mistral-|codestral|ministral|open-mistral)"), "mistral"),
    (re.compile(r"^(jamba)"), "ai21"),
)
_PREFIXES = {prefix: preset for preset in PRESETS.values() for prefix in preset.litellm}
_MILLION = Decimal(1_000_000)
_COSTS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
_DEFAULTS = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "n",
    "user",
)
_ABLE = {
    "supports_vision": "images",
    "supports_function_calling": "tools",
    "supports_reasoning": "reasoning",
    "supports_pdf_input": "pdf",
    "supports_audio_input": "audio",
    "supports_parallel_function_calling": "parallel_toggle",
    "supports_tool_choice": "forced_tools",
}


class Deployment(msgspec.Struct, kw_only=True):
    """What one entry comes to."""

    provider: ProviderRow
    model: ModelRow
    target: TargetRow


class NotYet(Exception):
    """The entry's provider has no preset here: the entry is left out, the rest runs."""


def read_deployment(params: Node, info: Node | None) -> Deployment:
    """The deployment of an entry. Raises Mistake, or NotYet."""
    model_node = params.get("model")
    if model_node is None:
        raise params.wrong("needs a model")
    own_base = params.get("api_base") or params.get("base_url")
    preset, name = split_model(model_node.text(), params, has_base=own_base is not None)
    provider = _provider(params, preset)
    return Deployment(
        provider=provider,
        model=ModelRow(
            provider=provider.name,
            name=name,
            ref=params.place,
            traits=_traits(info),
            prices=_prices(params, info),
        ),
        target=TargetRow(
            provider=provider.name,
            model=name,
            ref=params.place,
            weight=_weight(params),
            order=_whole(params.get("order"), 1),
            edits=_edits(params),
        ),
    )


def split_model(model: str, params: Node, *, has_base: bool) -> tuple[Preset, str]:
    """The preset and the upstream's name of a LiteLLM model. Raises NotYet."""
    given = params.get("custom_llm_provider")
    if given is not None:
        return _known(given.text(), model), model.removeprefix(f"{given.text()}/")
    prefix, slash, rest = model.partition("/")
    if slash and prefix in _PREFIXES:
        return _PREFIXES[prefix], rest
    if model == "*":
        return _known("openai", model), "*"
    for pattern, provider in INFERRED:
        if pattern.match(model):
            return _known(provider, model), model
    if has_base and not slash:
        return PRESETS["custom"], model
    if slash:
        raise NotYet(f"the provider `{prefix}` is not supported yet")
    raise NotYet(f"no provider is known for `{model}`; write it as provider/model")


def _known(provider: str, model: str) -> Preset:
    preset = _PREFIXES.get(provider)
    if preset is None:
        raise NotYet(f"the provider `{provider}` of `{model}` is not supported yet")
    return preset


def referenced(node: Node) -> tuple[str, str]:
    """A value and the variable it names: `os.environ/NAME` gives (its value, NAME)."""
    text = node.text()
    if text.startswith("os.environ/"):
        name = text.removeprefix("os.environ/")
        return os.environ.get(name, ""), name
    return text, ""


def _provider(params: Node, preset: Preset) -> ProviderRow:
    key, key_env = "", ""
    if (node := params.get("api_key")) is not None:
        key, key_env = referenced(node)
    elif preset.env:
        key_env = next((name for name in preset.env if os.environ.get(name)), preset.env[0])
    base_node = params.get("api_base") or params.get("base_url")
    row = ProviderRow(
        name="",
        preset=preset.name,
        ref=params.place,
        base_url=_base(preset, referenced(base_node)[0]) if base_node is not None else "",
        key="" if key_env else key,
        key_env=key_env,
        headers=_headers(params),
        query=_query(params),
        timeouts=_timeouts(params),
        drop_params=(node := params.get("drop_params")) is not None and node.flag(),
    )
    row.name = _name(row, preset)
    return row


def _base(preset: Preset, base: str) -> str:
    """LiteLLM's api_base for the preset: its own paths are appended by the dialect."""
    base = base.rstrip("/")
    # LiteLLM calls Ollama's native API at the root; here its /v1 is spoken.
    if preset.local and preset.base_url.endswith("/v1") and not base.endswith("/v1"):
        return f"{base}/v1"
    return base


def _name(row: ProviderRow, preset: Preset) -> str:
    """The preset's name for its plain row; a stable suffix for each variation."""
    usual_key = row.key_env in preset.env or (not row.key and not row.key_env)
    plain = usual_key and not (row.base_url or row.headers or row.query or row.timeouts)
    if plain:
        return preset.name
    parts = (row.base_url, row.key_env, row.key, row.headers, row.query, row.timeouts)
    digest = hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
    return f"{preset.name}-{digest[:6]}"


def _headers(params: Node) -> dict[str, str]:
    headers: dict[str, str] = {}
    if (node := params.get("extra_headers")) is not None:
        headers = {name: referenced(value)[0] for name, value in node.items()}
    if (node := params.get("organization")) is not None:
        headers["OpenAI-Organization"] = referenced(node)[0]
    return headers


def _query(params: Node) -> dict[str, str]:
    node = params.get("api_version")
    return {"api-version": referenced(node)[0]} if node is not None else {}


def _timeouts(params: Node) -> dict[str, float]:
    timeouts: dict[str, float] = {}
    if (node := params.get("timeout")) is not None:
        timeouts["first_byte_s"] = timeouts["total_s"] = node.number()
    if (node := params.get("stream_timeout")) is not None:
        timeouts["first_byte_s"] = node.number()
    return timeouts


def _weight(params: Node) -> float:
    """simple-shuffle weighs by weight, else by rpm, else by tpm."""
    for name in ("weight", "rpm", "tpm"):
        if (node := params.get(name)) is not None:
            return node.number()
    return 1.0


def _whole(node: Node | None, default: int) -> int:
    if node is None:
        return default
    value = node.number()
    if value != int(value):
        raise node.wrong("must be a whole number")
    return int(value)


def _edits(params: Node) -> list[dict[str, Any]]:
    edits: list[dict[str, Any]] = []
    defaults = ((name, params.get(name)) for name in _DEFAULTS)
    edits += [
        {"op": "default", "path": name, "value": node.plain()}
        for name, node in defaults
        if node is not None
    ]
    if (node := params.get("extra_body")) is not None:
        edits += [{"op": "set", "path": n, "value": v.plain()} for n, v in node.items()]
    if (node := params.get("additional_drop_params")) is not None:
        edits += [{"op": "drop", "path": item.text()} for item in node.list()]
    return edits


def _prices(params: Node, info: Node | None) -> dict[str, Decimal]:
    prices = {}
    for source in (info, params):
        for key, name in _COSTS.items():
            node = source.get(key) if source is not None else None
            if node is not None:
                prices[name] = Decimal(str(node.number())) * _MILLION
    return prices


def _traits(info: Node | None) -> dict[str, Any]:
    if info is None:
        return {}
    traits: dict[str, Any] = {}
    if (node := info.get("max_output_tokens") or info.get("max_tokens")) is not None:
        traits["max_output"] = _whole(node, 0)
    if (node := info.get("max_input_tokens")) is not None:
        traits["context_window"] = _whole(node, 0)
    for key, trait in _ABLE.items():
        if (node := info.get(key)) is not None:
            traits[trait] = node.flag()
    if (node := info.get("supports_response_schema")) is not None and not node.flag():
        traits["structured"] = "json"
    return traits
