"""Reads limits and budgets of deployments, providers, keys and the whole gateway.

`rpm` and `tpm` of a deployment are limits only with some strategies and checks; otherwise
they are weights (docs.litellm.ai/docs/routing, proxy/load_balancing).
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal
from typing import Any

import msgspec

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config, RouteRow, SettingRow, TargetRow
from gateway.providers.catalog.litellm_names import presets_for_prefix
from gateway.routing.end_users import parse_header_names

Budget = dict[str, Decimal]

# Rate of a deployment -> the limit here.
RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
KEY_RATES = {
    "default_api_key_rpm_limit": "requests_per_minute",
    "default_api_key_tpm_limit": "tokens_per_minute",
}
# Strategies that skip deployments at their rpm or tpm limit.
_LIMIT_SETTINGS = frozenset(
    {
        "usage-based-routing",
        "usage-based-routing-v2",
        "latency-based-routing",
        "cost-based-routing",
    }
)
# The check that enforces rpm and tpm as limits, and those that enforce rpm alone.
ENFORCE_MODEL_LIMITS = "enforce_model_rate_limits"
_CHECKS = ("enable_pre_call_checks", "enable_pre_call_check")

_DURATION = re.compile(r"(\d{1,9})(mo|[smhdw])")
_SECONDS_BY_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "mo": 30 * 86_400}
# Windows of budgets and the longest duration each of them stands for, in seconds.
_SPANS = (("day", 86_400), ("week", 7 * 86_400), ("month", 31 * 86_400))
# LiteLLM aligns these with the calendar, as all windows are here.
_EXACT_WINDOWS_S = frozenset({86_400, 7 * 86_400, 30 * 86_400})
# The range of the columns: at least a millionth of a dollar, and below ten billion.
_LEAST_USD, _MOST_USD = Decimal("0.000001"), Decimal(10**10)


def read_limits(config: Config, files: list[Node], sections: list[Node], report: Report) -> None:
    """Apply limits of general_settings and the other sections. Raises ConfigError."""
    general_settings = [
        node for file in files if (node := file.get("general_settings")) is not None
    ]
    rates, max_parallel = (
        _enforced_rates(sections),
        _default_concurrency(sections, general_settings),
    )
    for route in config.routes.values():
        route.targets = [_with_limits(target, rates, max_parallel) for target in route.targets]
    for section in sections:
        if (node := section.get("provider_budget_config")) is not None:
            _provider_budgets(config, node, report)
    _read_global_limits(config, sections, general_settings, report)
    _read_end_users(config, sections, general_settings, report)


def deployment_limits(params: Node, info: Node | None) -> tuple[dict[str, int], dict[str, int]]:
    """Return the limits of an entry that always apply, and the rates that may become limits."""
    limits = {}
    if (count := _limit_or_none(params.get("max_parallel_requests"))) is not None:
        limits["concurrency"] = count
    rates = {}
    for name, limit in RATES.items():
        node = params.get(name) or (info.get(name) if info is not None else None)
        if (count := _limit_or_none(node)) is not None:
            rates[limit] = count
    return limits, rates


def note_key_limits(route: RouteRow, params: Node) -> None:
    """Set what each key may use of a model: the lowest limit of its entries."""
    for name, limit in KEY_RATES.items():
        if (count := _limit_or_none(params.get(name))) is not None:
            route.key_limits[limit] = min(count, route.key_limits.get(limit, count))


def budget(section: Node, report: Report, amount_key: str, window_key: str) -> Budget:
    """Return the budget that two keys of a section define, by field of `routing.limits.Budget`."""
    amount, duration = section.get(amount_key), section.get(window_key)
    if amount is None:
        return {}
    usd = Decimal(str(amount.number())).quantize(_LEAST_USD, ROUND_UP)
    if usd >= _MOST_USD:
        raise amount.error(f"must be below {_MOST_USD} US dollars")
    span = "total" if duration is None else _budget_span(duration, report)
    return {f"{span}_usd": usd} if span else {}


def parse_duration(text: str) -> int | None:
    """The seconds of a duration such as `30d`; None for any other text."""
    match = _DURATION.fullmatch(text.strip().lower())
    return None if match is None else int(match[1]) * _SECONDS_BY_UNIT[match[2]]


def span_for(seconds: int) -> str:
    """The shortest window of budgets for this time; empty if none is long enough."""
    return next((name for name, max_seconds in _SPANS if 0 < seconds <= max_seconds), "")


def _budget_span(node: Node, report: Report) -> str:
    """Return the window of a budget; empty, and reported, for a duration without a window."""
    seconds = parse_duration(node.text())
    if seconds is None:
        raise node.error("must be a period such as 1d, 7d or 30d")
    span = span_for(seconds)
    if not span:
        report.add_skipped(node, "is ignored with its budget: periods are a day, a week or a month")
    elif seconds not in _EXACT_WINDOWS_S:
        report.add(node, f"is rounded up: the budget is for a {span}")
    return span


def _limit_or_none(node: Node | None) -> int | None:
    """Return a limit; None if it is not set, or 0."""
    return None if node is None else int(node.number()) or None


def _enforced_rates(sections: list[Node]) -> frozenset[str]:
    """Return the rates that the strategy and the checks enforce as limits."""
    strategy = first_node(sections, "routing_strategy")
    checks = first_node(sections, "optional_pre_call_checks")
    check_names = {item.text() for item in checks.list()} if checks is not None else set()
    if ENFORCE_MODEL_LIMITS in check_names or (
        strategy is not None and strategy.text() in _LIMIT_SETTINGS
    ):
        return frozenset(RATES.values())
    before = (first_node(sections, name) for name in _CHECKS)
    if any(node is not None and node.boolean() for node in before):
        return frozenset({RATES["rpm"]})
    return frozenset()


def _default_concurrency(sections: list[Node], general_settings: list[Node]) -> int | None:
    """Return the concurrency limit of deployments without their own."""
    router = _limit_or_none(first_node(sections, "default_max_parallel_requests"))
    return router or _limit_or_none(first_node(general_settings, "max_parallel_requests"))


def _with_limits(target: TargetRow, rates: frozenset[str], max_parallel: int | None) -> TargetRow:
    limits = {name: count for name, count in target.rates.items() if name in rates}
    if max_parallel is not None:
        limits["concurrency"] = max_parallel
    return msgspec.structs.replace(target, limits={**limits, **target.limits})


def _provider_budgets(config: Config, node: Node, report: Report) -> None:
    for prefix, section in node.items():
        provider_budget = budget(section, report, "budget_limit", "time_period")
        presets = presets_for_prefix(prefix)
        names = [name for name, row in config.providers.items() if row.preset in presets]
        if not names:
            report.add_skipped(section, f"has no effect: no model of `{prefix}` is in this file")
        elif len(names) > 1:
            report.add(section, f"is the budget of each of {', '.join(sorted(names))} separately")
        for name in names:
            row = config.providers[name]
            # A row shared with one from the environment cannot have this budget.
            config.providers[name] = msgspec.structs.replace(
                row, budget=provider_budget, shareable=False
            )


def _read_global_limits(
    config: Config, sections: list[Node], general_settings: list[Node], report: Report
) -> None:
    max_concurrency = first_node(general_settings, "global_max_parallel_requests")
    if max_concurrency is not None and (count := _limit_or_none(max_concurrency)) is not None:
        _add_setting(config, "limits", {"concurrency": count}, max_concurrency)
    for section in sections:
        amount = section.get("max_budget")
        if amount is None:
            continue
        if not amount.number():
            report.add_skipped(amount, "0 is not a budget and is ignored")
        elif total_budget := budget(section, report, "max_budget", "budget_duration"):
            amounts = {name: f"{usd.normalize():f}" for name, usd in total_budget.items()}
            _add_setting(config, "budget", amounts, amount)


def _read_end_users(
    config: Config, sections: list[Node], general_settings: list[Node], report: Report
) -> None:
    """Read the budget of each end user, the headers that name them, and headers as tags."""
    amount = first_node(sections, "max_end_user_budget")
    if amount is not None and (usd := Decimal(str(amount.number()))):
        _add_setting(config, "end_user_budget", {"total_usd": f"{usd.normalize():f}"}, amount)
    name = first_node(general_settings, "user_header_name")
    headers = [name] if name is not None else []
    mappings = first_node(general_settings, "user_header_mappings")
    for mapping in mappings.list() if mappings is not None else ():
        header, role = mapping.get("header_name"), mapping.get("litellm_user_role")
        if header is None or role is None:
            raise mapping.error("needs a header_name and a litellm_user_role")
        if role.text() == "customer":
            headers.append(header)
        else:
            report.add_skipped(mapping, "has no effect: only customers are named by headers")
    for setting, nodes in (
        ("end_user_headers", headers),
        ("tag_headers", _list_items(first_node(sections, "extra_spend_tag_headers"))),
    ):
        names = [text for node in nodes if (text := _header_name(node, report))]
        if names:
            _add_setting(config, setting, list(dict.fromkeys(names)), nodes[0])


def _list_items(node: Node | None) -> list[Node]:
    return [] if node is None else list(node.list())


def _header_name(node: Node, report: Report) -> str:
    name = node.text().strip().lower()
    try:
        parse_header_names([name])
    except ValueError as error:
        report.add_skipped(node, f"is ignored: {error}")
        return ""
    return name


def _add_setting(config: Config, name: str, value: Any, node: Node) -> None:
    config.settings.setdefault(name, SettingRow(name=name, value=value, ref=node.location))


def first_node(sections: list[Node], name: str) -> Node | None:
    """The setting in the first of the sections that has it."""
    return next((node for section in sections if (node := section.get(name)) is not None), None)
