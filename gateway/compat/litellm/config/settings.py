"""Reads litellm_settings, router_settings and general_settings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.compat.litellm.config.caching import read_cache
from gateway.compat.litellm.config.callbacks import report_callbacks
from gateway.compat.litellm.config.deployment import MAX_NAME, timeouts
from gateway.compat.litellm.config.fallbacks import read_fallbacks
from gateway.compat.litellm.config.key_lookup import find_key
from gateway.compat.litellm.config.limits import read_limits
from gateway.compat.litellm.config.model_names import (
    add_routes_of_fallbacks,
    copy_route,
    find_route,
)
from gateway.compat.litellm.config.reader import Node, UnsetVariable
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.routing import read_checks, read_routing
from gateway.compat.litellm.config.rows import AliasRow, Config

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
                nodes.append(_with_known_keys(section, name))
    for section in nodes:
        report_callbacks(section, report)
        _read_aliases(config, section, report)
    for section in nodes:
        add_routes_of_fallbacks(config, section)
    for section in nodes:
        _read_numbers(config, section)
        _read_times(config, section)
        if (node := section.get("turn_off_message_logging")) is not None and node.boolean():
            config.log_bodies = False
    read_fallbacks(config, nodes, report)
    read_routing(config, nodes, report)
    read_limits(config, files, nodes, report)
    for file in files:
        if (general_settings := file.get("general_settings")) is not None:
            read_checks(config, general_settings)
    read_cache(config, files, report)
    for route in config.routes.values():
        route.retries = RETRIES if route.retries is None else route.retries
        route.cooldown_s = COOLDOWN_S if route.cooldown_s is None else route.cooldown_s
        # As in LiteLLM; the gateway's own, longer limits end a call that takes too long anyway.
        if any("first_byte_s" in target.timeouts for target in route.targets):
            policy = route.policy.get("retries_by_kind", {})
            route.policy["retries_by_kind"] = {"timeout": route.retries, **policy}


def _with_known_keys(section: Node, name: str) -> Node:
    """Return a section without the keys that it does not have in LiteLLM."""
    known_keys = {key: node for key, node in section.items() if find_key(name, key) is not None}
    return msgspec.structs.replace(section, value=known_keys)


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
    if len(name) > MAX_NAME:
        raise model.error(f"is an alias with more than {MAX_NAME} characters")
    route, own_route = find_route(config, model.text()), config.routes.get(name)
    if route is None:
        report.add_skipped(model, f"there is no model_name `{model.text()}`")
        return
    if "*" not in route.name:
        # An alias is listed with its route, also with one of a name that only matches a wildcard.
        route.hidden = False
    if own_route is None:
        alias = AliasRow(pattern=name, route=route.name, ref=model.location)
        config.aliases.setdefault(name, alias)
    elif own_route is not route:
        # As in LiteLLM, the alias takes precedence over the model_name.
        copy_route(config, route, name, route.targets).hidden = False
