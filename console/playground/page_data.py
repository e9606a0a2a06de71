"""Initial data of the playground page: models, dialects, code languages, sample prompts."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from console.dialects import CONSOLE_DIALECTS, title
from console.insight.steps import DEMO_PRESET
from console.playground import code
from gateway.canon.traits import Traits
from gateway.routing.snapshot import Model, Route, Snapshot

Json = dict[str, Any]


def presets_of(models: list[Json]) -> list[str]:
    """Presets of the providers of these models, each once: the page has one logo of each."""
    return list(dict.fromkeys(model["preset"] for model in models))


def list_models(snapshot: Snapshot) -> list[Json]:
    """Choices for a column: routes, then models as `provider/model`; the demo's last of each."""
    routes = [_route_entry(route) for route in snapshot.routes.values() if _is_concrete(route)]
    concrete_models = [m for m in snapshot.models.values() if "*" not in m.name]
    rows = [
        _model_entry(model, kind="model", id_=model.label, label=model.name)
        for model in concrete_models
    ]
    return sorted(routes, key=_sort_key) + sorted(rows, key=_sort_key)


def _sort_key(row: Json) -> tuple[bool, str]:
    return row["preset"] == DEMO_PRESET, str(row["id"]).lower()


def _is_concrete(route: Route) -> bool:
    names = [route.name, *(target.model.name for target in route.targets)]
    return not route.hidden and bool(route.targets) and not any("*" in name for name in names)


def _route_entry(route: Route) -> Json:
    """Entry of a route, described by its first target, which answers by default."""
    first = min(route.targets, key=lambda target: target.order).model
    row = _model_entry(first, kind="route", id_=route.name, label=route.name)
    traits_of_targets = [target.model.traits for target in route.targets]
    # A feature counts only if every target supports it: any of them may answer.
    row["images"] = all(traits.images for traits in traits_of_targets)
    row["tools"] = all(traits.tools for traits in traits_of_targets)
    return row


def _model_entry(model: Model, *, kind: str, id_: str, label: str) -> Json:
    traits: Traits = model.traits
    price = model.price
    return {
        "id": id_,
        "label": label,
        "kind": kind,
        "provider": model.provider.name,
        "preset": model.provider.preset,
        "tools": traits.tools,
        "images": traits.images,
        "schema": traits.structured == "schema",
        "reasoning": traits.reasoning,
        "price_in": None if price.input is None else float(price.input),
        "price_out": None if price.output is None else float(price.output),
    }


def list_dialects() -> list[Json]:
    """Client dialects."""
    return [{"id": name, "label": title(name)} for name in CONSOLE_DIALECTS]


def list_languages() -> list[Json]:
    """Languages of "Get code"."""
    return [{"id": name, "label": label} for name, label in code.TITLES.items()]


def sample_prompts() -> list[Json]:
    """Sample prompts, one for each feature that the page checks."""
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    person = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
        "required": ["name", "born"],
        "additionalProperties": False,
    }
    return [
        {
            "id": "plain",
            "title": _("Compare an explanation"),
            "prompt": _("Explain to a ten-year-old why the sky is blue, in three sentences."),
        },
        {
            "id": "tool",
            "title": _("Call a tool"),
            "prompt": _("What is the weather in Paris? Use get_weather."),
            "tools": [
                {
                    "name": "get_weather",
                    "description": _("The weather in a city now."),
                    "schema": city,
                    "mock": {"celsius": 18, "sky": "clear"},
                }
            ],
            "expected": [{"name": "get_weather", "arguments": {"city": "Paris"}}],
        },
        {
            "id": "schema",
            "title": _("Fill a schema"),
            "prompt": _("Ada Lovelace was born in London in 1815. Fill in name and year."),
            "schema": person,
        },
    ]
