"""What the playground's page knows when it opens: models, dialects, presets, samples."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from console.dialects import OFFERED, title
from console.playground import code
from gateway.canon.traits import Traits
from gateway.routing.snapshot import Model, Route, Snapshot

Json = dict[str, Any]


def models(snapshot: Snapshot) -> list[Json]:
    """All that a column may be: the routes first, then the models behind their providers."""
    routes = [_route(route) for route in snapshot.routes.values() if _is_concrete(route)]
    found = [m for m in snapshot.models.values() if "*" not in m.name]
    rows = [_facts(model, kind="model", id_=model.label, label=model.name) for model in found]
    return sorted(routes, key=_name) + sorted(rows, key=_name)


def _name(row: Json) -> str:
    return str(row["id"]).lower()


def _is_concrete(route: Route) -> bool:
    names = [route.name, *(target.model.name for target in route.targets)]
    return not route.hidden and bool(route.targets) and not any("*" in name for name in names)


def _route(route: Route) -> Json:
    """A route by its first target: what answers unless something is wrong."""
    first = min(route.targets, key=lambda target: target.order).model
    row = _facts(first, kind="route", id_=route.name, label=route.name)
    others = [target.model.traits for target in route.targets]
    # A fallback that can less than the first one fails where the first would not.
    row["images"] = all(traits.images for traits in others)
    row["tools"] = all(traits.tools for traits in others)
    row["targets"] = [target.model.label for target in route.targets]
    return row


def _facts(model: Model, *, kind: str, id_: str, label: str) -> Json:
    traits: Traits = model.traits
    price = model.price
    return {
        "id": id_,
        "label": label,
        "kind": kind,
        "provider": model.provider.name,
        "preset": model.provider.preset,
        "model": model.name,
        "tools": traits.tools,
        "images": traits.images,
        "schema": traits.structured == "schema",
        "reasoning": traits.reasoning,
        "efforts": list(traits.efforts),
        "context": traits.context_window,
        "price_in": None if price.input is None else str(price.input),
        "price_out": None if price.output is None else str(price.output),
    }


def dialects() -> list[Json]:
    """The dialects in which a client may ask."""
    return [{"id": name, "label": title(name)} for name in OFFERED]


def languages() -> list[Json]:
    """The languages in which "Get code" writes."""
    return [{"id": name, "label": label} for name, label in code.TITLES.items()]


def samples() -> list[Json]:
    """Examples to begin with, one for each thing that the page judges."""
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
