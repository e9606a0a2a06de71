"""Models that a request names besides `model`: those that a provider tries if it fails, and those
that its tools and plugins call. A key that is limited to some models may not reach others so.

    models, providerOptions.gateway.models   OpenRouter and Vercel (openrouter.ai/docs, "Model
                                             Fallbacks"; vercel.com/docs, "AI Gateway")
    fallbacks                                Anthropic, OpenRouter's Messages, LiteLLM
    tools                                    Anthropic's and OpenRouter's advisor, OpenRouter's
                                             fusion, OpenAI's image generation
    plugins                                  OpenRouter's fusion
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.json_values import decode_or_none, dict_items
from gateway.routing.snapshot import ApiKey, Snapshot, may_use

# The fields of a request's body that may name other models.
FIELDS = frozenset({"models", "providerOptions", "fallbacks", "tools", "plugins"})
# Fields of a tool or plugin that name the models that it calls.
_MODEL_FIELDS = frozenset({"model", "models", "analysis_models"})
# Tools that the client executes: their schemas name no models.
_CLIENT_TOOLS = frozenset({"function", "custom"})
# Tools and plugins that call models of the provider's choice unless the request names some.
_MULTI_MODEL = frozenset({"openrouter:advisor", "openrouter:fusion", "fusion"})


def is_limited(key: ApiKey | None) -> bool:
    """Whether a key may use only some models."""
    return key is not None and bool(key.routes) and "*" not in key.routes


def refuse_other_models(
    snapshot: Snapshot, key: ApiKey | None, fields: Mapping[str, Any], prefix: str = ""
) -> None:
    """Raises GatewayError (403) if a limited key names other models than it may use.

    Fallback models in `models` are refused whichever they are. `fields` are decoded or raw;
    `prefix` precedes their names in the error.
    """
    if key is None or not is_limited(key):
        return
    for name in sorted(FIELDS & fields.keys()):
        value = fields[name]
        if isinstance(value, msgspec.Raw):
            value = decode_or_none(value)
            # It cannot be read here, but a provider may.
            if value is None and bytes(fields[name]) != b"null":
                raise _refusal(prefix + name)
        _refuse_in_field(snapshot, key, name, value, prefix)


def _refuse_in_field(snapshot: Snapshot, key: ApiKey, name: str, value: Any, prefix: str) -> None:
    param = prefix + name
    if name == "models" and value:
        raise _refusal(param)
    if name == "providerOptions":
        options = value.get("gateway") if isinstance(value, dict) else None
        if isinstance(options, dict) and options.get("models"):
            raise _refusal(f"{param}.gateway.models")
    elif name == "fallbacks" and value != "default":  # the provider's own choice
        _refuse_unusable(snapshot, key, param, _names_in({"models": value}))
    elif name in {"tools", "plugins"}:
        for index, entry in enumerate(dict_items(value)):
            if "type" not in entry and "id" not in entry:  # a function, in other dialects
                continue
            names, entry_param = list(_names_in(entry)), f"{param}[{index}]"
            if not names and _is_one_of(entry.get("type", entry.get("id")), _MULTI_MODEL):
                raise _refusal(entry_param)
            _refuse_unusable(snapshot, key, entry_param, names)


def _names_in(value: Any) -> Iterator[str]:
    """The models that fallbacks, or a tool or plugin at any depth, name."""
    values = [value]
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict) and not _is_one_of(value.get("type"), _CLIENT_TOOLS):
            values += value.values()
            for field in _MODEL_FIELDS & value.keys():
                model_names = value[field]
                items = model_names if isinstance(model_names, list) else [model_names]
                yield from (item for item in items if isinstance(item, str))


def _is_one_of(kind: Any, kinds: frozenset[str]) -> bool:
    return isinstance(kind, str) and kind in kinds


def _refuse_unusable(snapshot: Snapshot, key: ApiKey, param: str, names: Iterable[str]) -> None:
    for name in names:
        route = snapshot.route(name)
        if route is None or not may_use(key, route):
            raise _refusal(param)


def _refusal(param: str) -> GatewayError:
    message = f"this API key is limited to some models and may not name others in {param}"
    return GatewayError(Error(kind="not_allowed", message=message, param=param))
