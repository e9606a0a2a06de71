"""Reads the fallbacks of router_settings and litellm_settings.

LiteLLM also tries the fallbacks of a fallback; here they become fallbacks of the first route.
"""

from __future__ import annotations

from typing import Any

from gateway.compat.litellm.config.model_names import find_route
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config, RouteRow
from gateway.relay.run.litellm_fields import EXTRA_FALLBACK_KINDS, KIND_BY_FALLBACK_FIELD

# Names of routes, by the route whose fallbacks they are.
Fallbacks = dict[str, list[str]]

# LiteLLM's default of max_fallbacks: after so many, those of a fallback are not tried.
_CHAIN_LENGTH = 5
_MAX_FALLBACKS = 100


def read_fallbacks(config: Config, sections: list[Node], report: Report) -> None:
    """Apply the sections, highest precedence first, to all routes. Raises ConfigError."""
    limit = _read_limit(sections)
    fallbacks: Fallbacks = {}
    for section in sections:
        if (node := section.get("fallbacks")) is not None:
            _read_lists(config, node, fallbacks, report)
    for route in config.routes.values():
        route.fallbacks = _chain(route.name, fallbacks) or route.fallbacks
    for section in sections:
        _read_defaults(config, section, fallbacks)
    for route in config.routes.values():
        route.fallbacks = route.fallbacks[:limit]
    by_kind: dict[str, Fallbacks] = {}
    for key, kind in KIND_BY_FALLBACK_FIELD.items():
        for section in sections:
            if (node := section.get(key)) is not None:
                _read_lists(config, node, by_kind.setdefault(kind, {}), report)
    for route in config.routes.values():
        _set_fallbacks_by_kind(route, by_kind, limit)


def _read_lists(config: Config, node: Node, fallbacks: Fallbacks, report: Report) -> None:
    for item in node.list():
        for name, targets in item.items():
            if name == "*":
                continue
            route = find_route(config, name)
            if route is None:
                report.add_skipped(targets, f"there is no model_name `{name}`")
            elif route.name not in fallbacks:
                fallbacks[route.name] = _route_names(config, targets, route.name, report)


def _route_names(config: Config, node: Node, own_name: str, report: Report) -> list[str]:
    names = []
    for item in node.list():
        if isinstance(item.value, dict):
            report.add_skipped(
                item, "is skipped: a fallback with its own parameters is not supported yet"
            )
            continue
        route = find_route(config, item.text())
        # A name without a route is kept: it may be a model of another source.
        name = item.text() if route is None else route.name
        if name != own_name:
            names.append(name)
    return names


def _read_defaults(config: Config, section: Node, fallbacks: Fallbacks) -> None:
    """Apply `default_fallbacks`, and the entry `*` of `fallbacks`, to routes without fallbacks."""
    nodes = [section.get("default_fallbacks")]
    if (node := section.get("fallbacks")) is not None:
        nodes += [item.get("*") for item in node.list()]
    for entry in nodes:
        if entry is None:
            continue
        found = [(item.text(), find_route(config, item.text())) for item in entry.list()]
        names = [name if route is None else route.name for name, route in found]
        for route in config.routes.values():
            if not route.fallbacks and route.name not in names:
                route.fallbacks = _chain(route.name, {**fallbacks, route.name: names})


def _chain(first: str, fallbacks: Fallbacks) -> list[str]:
    """Return the fallbacks of a route, each followed by its own fallbacks."""
    chain: list[str] = []
    pending = list(fallbacks.get(first, ()))
    while pending:
        name = pending.pop(0)
        if name == first or name in chain:
            continue
        chain.append(name)
        if len(chain) < _CHAIN_LENGTH:
            pending = [*fallbacks.get(name, ()), *pending]
    return chain


def _set_fallbacks_by_kind(
    route: RouteRow, by_kind: dict[str, Fallbacks], limit: int | None
) -> None:
    names_by_kind: dict[str, Any] = {}
    for kind in EXTRA_FALLBACK_KINDS:
        names = _chain(route.name, by_kind[kind]) if kind in by_kind else route.fallbacks
        if names[:limit]:
            names_by_kind[kind] = names[:limit]
    if names_by_kind:
        route.policy["fallbacks_by_kind"] = names_by_kind


def _read_limit(sections: list[Node]) -> int | None:
    """Return `max_fallbacks`, or None. Raises ConfigError."""
    nodes = (section.get("max_fallbacks") for section in sections)
    node = next((node for node in nodes if node is not None), None)
    return None if node is None else node.integer(max_value=_MAX_FALLBACKS)
