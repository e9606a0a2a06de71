"""Reads litellm_settings, router_settings and general_settings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.compat.litellm.config.caching import read_cache
from gateway.compat.litellm.config.callbacks import report_callbacks
from gateway.compat.litellm.config.deployment import MAX_NAME, timeouts
from gateway.compat.litellm.config.limits import read_limits
from gateway.compat.litellm.config.reader import Node, UnsetVariable
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.routing import limit_fallbacks, read_checks, read_routing
from gateway.compat.litellm.config.rows import AliasRow, Config, RouteRow

# LiteLLM's defaults, if neither an entry nor a section sets a value.
RETRIES = 2
COOLDOWN_S = 5.0
# More retries would only delay the error that the client gets.
MAX_RETRIES = 100

_MASTER_KEY_VARIABLES = ("DRAGOMAN_MASTER_KEY", "DRAGOMAN_MASTER_KEY_FILE")
# router_settings override litellm_settings; the first section with a key counts.
_SECTIONS = ("router_settings", "litellm_settings")


def read_settings(
    config: Config, files: list[Node], environ: Mapping[str, str], report: Report
) -> None:
    """Apply the settings of all files. Raises ConfigError."""
    for file in files:
        if (general_settings := file.get("general_settings")) is not None:
            report.keys(general_settings, "general_settings")
            _read_general_settings(config, general_settings, environ, report)
    nodes: list[Node] = []
    for name in _SECTIONS:
        for file in files:
            if (section := file.get(name)) is not None:
                report.keys(section, name)
                nodes.append(section)
    for section in nodes:
        report_callbacks(section, report)
        _read_aliases(config, section, report)
    for section in nodes:
        _read_numbers(config, section)
        _read_times(config, section)
        _read_fallbacks(config, section, report)
        if (node := section.get("turn_off_message_logging")) is not None and node.boolean():
            config.log_bodies = False
    for section in nodes:
        _default_fallbacks(config, section)
    read_routing(config, nodes, report)
    limit_fallbacks(config, nodes)
    read_limits(config, files, nodes, report)
    for file in files:
        if (general_settings := file.get("general_settings")) is not None:
            read_checks(config, general_settings)
    read_cache(config, files, report)
    for route in config.routes.values():
        route.retries = RETRIES if route.retries is None else route.retries
        route.cooldown_s = COOLDOWN_S if route.cooldown_s is None else route.cooldown_s


def _read_general_settings(
    config: Config, section: Node, environ: Mapping[str, str], report: Report
) -> None:
    node = section.get("master_key")
    if node is not None:
        try:
            config.master_key = node.text().strip()
        except UnsetVariable as unset:
            # Without any master key, the gateway must not start unprotected.
            if not any(environ.get(name) for name in _MASTER_KEY_VARIABLES):
                raise
            report.add_mistake(unset, "DRAGOMAN_MASTER_KEY applies")
    if (limit := section.get("max_in_flight_requests_per_worker")) is not None:
        config.max_requests = limit.integer()


def _read_numbers(config: Config, section: Node) -> None:
    retries, cooldown = section.get("num_retries"), section.get("cooldown_time")
    cooldowns_disabled = section.get("disable_cooldowns")
    for route in config.routes.values():
        if retries is not None and route.retries is None:
            route.retries = retries.integer(max_value=MAX_RETRIES)
        if cooldowns_disabled is not None and cooldowns_disabled.boolean():
            route.cooldown_s = 0.0
        if cooldown is not None and route.cooldown_s is None:
            route.cooldown_s = cooldown.number()


def _read_times(config: Config, section: Node) -> None:
    limits = timeouts(section)
    if (idle := section.get("stream_idle_timeout")) is not None:
        limits["idle_s"] = idle.number()
    if not limits:
        return
    for route in config.routes.values():
        route.targets = [
            msgspec.structs.replace(target, timeouts={**limits, **target.timeouts})
            for target in route.targets
        ]


def _read_fallbacks(config: Config, section: Node, report: Report) -> None:
    node = section.get("fallbacks")
    if node is None:
        return
    for item in node.list():
        for name, targets in item.items():
            if name == "*":
                continue
            route = _find_route(config, name)
            if route is None:
                report.add_skipped(targets, f"there is no model_name `{name}`")
            elif not route.fallbacks:
                route.fallbacks = _fallback_names(targets, route, report)


def _default_fallbacks(config: Config, section: Node) -> None:
    """Apply `default_fallbacks`, and the entry `*` of `fallbacks`, to routes without fallbacks."""
    nodes = [section.get("default_fallbacks")]
    if (node := section.get("fallbacks")) is not None:
        nodes += [item.get("*") for item in node.list()]
    for entry in nodes:
        names = [item.text() for item in entry.list()] if entry is not None else []
        for route in config.routes.values():
            if not route.fallbacks and route.name not in names:
                route.fallbacks = names


def _fallback_names(node: Node, route: RouteRow, report: Report) -> list[str]:
    names = []
    for item in node.list():
        if isinstance(item.value, dict):
            report.add_skipped(
                item, "is skipped: a fallback with its own parameters is not supported yet"
            )
        elif item.text() != route.name:
            names.append(item.text())
    return names


def _find_route(config: Config, name: str) -> RouteRow | None:
    alias = config.aliases.get(name)
    return config.routes.get(name) or (config.routes.get(alias.route) if alias else None)


def _read_aliases(config: Config, section: Node, report: Report) -> None:
    for key in ("model_group_alias", "model_alias_map"):
        node = section.get(key)
        for name, target in node.items() if node is not None else ():
            is_hidden = None
            model: Node | None = target
            if isinstance(target.value, dict):
                model, is_hidden = target.get("model"), target.get("hidden")
            if model is None:
                raise target.error("needs a model")
            if is_hidden is not None and is_hidden.boolean():
                report.add_skipped(is_hidden, "has no effect: an alias is listed with its model")
            _add_alias(config, name, model, report)


def _add_alias(config: Config, name: str, model: Node, report: Report) -> None:
    route = model.text()
    if len(name) > MAX_NAME:
        raise model.error(f"is an alias with more than {MAX_NAME} characters")
    if name in config.routes:
        report.add_skipped(
            model, f"has no effect: `{name}` is also a model_name, which takes precedence"
        )
    elif route not in config.routes:
        report.add_skipped(model, f"there is no model_name `{route}`")
    else:
        config.aliases.setdefault(name, AliasRow(pattern=name, route=route, ref=model.location))
