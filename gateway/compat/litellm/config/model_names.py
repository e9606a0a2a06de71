"""Finds the route of a name that fallbacks and aliases of a file use, as LiteLLM finds a model.

Such a name may be a model_name, an alias, the ID of a deployment, or match a wildcard. A name of
the last two kinds gets a route of its own, because fallbacks and aliases refer to routes.
"""

from __future__ import annotations

import copy
import fnmatch

import msgspec

from gateway.canon.model_names import text_of_wildcard
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.rows import Config, RouteRow, TargetRow
from gateway.relay.run.litellm_fields import FALLBACKS, KIND_BY_FALLBACK_FIELD

# Keys whose values are lists of `{name: [name, ...]}`.
_FALLBACK_KEYS = (FALLBACKS, *KIND_BY_FALLBACK_FIELD)


def find_route(config: Config, name: str) -> RouteRow | None:
    """Return the route of a name, which is created if it needs one; None if nothing has it."""
    route = config.routes.get(name)
    if route is None and (alias := config.aliases.get(name)) is not None:
        route = config.routes.get(alias.route)
    return route or _route_of_deployment(config, name) or _route_of_wildcard(config, name)


def add_routes_of_fallbacks(config: Config, section: Node) -> None:
    """Create the routes that the fallbacks of a section need, before settings are applied."""
    for key in _FALLBACK_KEYS:
        node = section.get(key)
        for item in node.list() if node is not None else ():
            for name, targets in item.items():
                find_route(config, name)
                _find_routes(config, targets)
    if (node := section.get("default_fallbacks")) is not None:
        _find_routes(config, node)


def _find_routes(config: Config, names: Node) -> None:
    for item in names.list():
        if isinstance(item.value, str):
            find_route(config, item.value)


def _route_of_deployment(config: Config, name: str) -> RouteRow | None:
    """Create the route of one deployment, by its `model_info.id`."""
    if name not in config.deployments:
        return None
    model_name, target = config.deployments[name]
    return copy_route(config, config.routes[model_name], name, [target])


def _route_of_wildcard(config: Config, name: str) -> RouteRow | None:
    """Create the route of a name that matches a wildcard; the longest pattern comes first."""
    for pattern in sorted(config.aliases, key=len, reverse=True):
        if "*" in pattern and fnmatch.fnmatchcase(name, pattern):
            route = config.routes[config.aliases[pattern].route]
            text = text_of_wildcard(pattern, name)
            targets = [_named_target(config, target, text) for target in route.targets]
            return copy_route(config, route, name, targets)
    return None


def _named_target(config: Config, target: TargetRow, text: str) -> TargetRow:
    """Return the target with its `*` replaced, and add its model."""
    name = target.model.replace("*", text)
    wildcard_model = config.models[target.provider, target.model]
    config.models.setdefault(
        (target.provider, name), msgspec.structs.replace(wildcard_model, name=name)
    )
    return msgspec.structs.replace(target, model=name)


def copy_route(config: Config, original: RouteRow, name: str, targets: list[TargetRow]) -> RouteRow:
    """Add a route with these targets and the options of the original; it is not listed."""
    route = msgspec.structs.replace(
        copy.deepcopy(original), name=name, targets=targets, hidden=True
    )
    config.routes[name] = route
    return route
