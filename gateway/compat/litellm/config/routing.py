"""Reads routing from router_settings: strategy, retries, cooldowns, tags and checks.

It also reads litellm_settings, after router_settings; the first section with a key counts.
"""

from __future__ import annotations

import msgspec

from gateway.compat.litellm.config.limits import ENFORCE_MODEL_LIMITS, first_node
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config, RouteRow
from gateway.routing.snapshot import MIN_HEALTH_CHECK_INTERVAL_S

STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "fastest",
    "usage-based-routing": "least_used",
    "usage-based-routing-v2": "least_used",
    "cost-based-routing": "cheapest",
}
# In LiteLLM these strategies ignore weights.
_UNWEIGHTED_STRATEGIES = frozenset({"least_busy", "least_used"})
# LiteLLM's error names -> error kinds.
ERROR_KINDS = {
    "AuthenticationError": "upstream_auth",
    "TimeoutError": "timeout",
    "RateLimitError": "rate_limit",
    "ContentPolicyViolationError": "content_policy",
    "InternalServerError": "upstream_error",
    "ServiceUnavailableError": "upstream_error",
    "BadGatewayError": "upstream_error",
}
# Errors of the request itself.
_REJECTIONS = frozenset({"BadRequestError", "NotFoundError"})
# Pre-call checks that pin a conversation to its target.
_AFFINITY = frozenset({"prompt_caching", "session_affinity", "deployment_affinity"})
_CHECK_S = 300.0
_MAX_COUNT = 100


def read_routing(config: Config, sections: list[Node], report: Report) -> None:
    """Apply the sections, highest precedence first, to all routes. Raises ConfigError."""
    routes = list(config.routes.values())
    for section in sections:
        _read_retry_policies(config, section, report)
        for route in routes:
            _read_numbers(route, section)
    for route in routes:
        # LiteLLM retries among the deployments of a model before it falls back to another.
        route.policy["retry_before_fallback"] = True
    _set_strategy(routes, first_node(sections, "routing_strategy"), report)
    _set_affinity(routes, first_node(sections, "optional_pre_call_checks"), report)
    _set_tag_filtering(routes, sections)


def read_checks(config: Config, general_settings: Node) -> None:
    """Apply `background_health_checks` of general_settings. Raises ConfigError."""
    enabled, interval = (
        general_settings.get("background_health_checks"),
        general_settings.get("health_check_interval"),
    )
    if enabled is None or not enabled.boolean():
        return
    seconds = max(
        MIN_HEALTH_CHECK_INTERVAL_S, interval.number() if interval is not None else _CHECK_S
    )
    for route in config.routes.values():
        route.policy.setdefault("health_check_interval_s", seconds)


def _read_numbers(route: RouteRow, section: Node) -> None:
    if (node := section.get("allowed_fails")) is not None:
        # LiteLLM starts the cooldown with the failure after the allowed ones.
        route.policy.setdefault("cooldown_after", node.integer(max_value=_MAX_COUNT) + 1)
    if (node := section.get("retry_after")) is not None and (seconds := node.number()):
        # The shortest delay is half of the base delay.
        route.policy.setdefault("backoff_s", 2 * seconds)
    for name in ("enable_pre_call_checks", "enable_pre_call_check"):
        if (node := section.get(name)) is not None:
            route.policy.setdefault("require_capabilities", node.boolean())


def _read_retry_policies(config: Config, section: Node, report: Report) -> None:
    groups = section.get("model_group_retry_policy")
    for name, policy in groups.items() if groups is not None else ():
        route = config.routes.get(name)
        if route is None:
            report.add_skipped(policy, f"there is no model_name `{name}`")
            continue
        _set_retries([route], policy, report)
    routes = list(config.routes.values())
    if (policy_of_all := section.get("retry_policy")) is not None:
        _set_retries(routes, policy_of_all, report)
    if (node := section.get("allowed_fails_policy")) is not None:
        counts = _counts_by_kind(node, "AllowedFails", report)
        for route in routes:
            thresholds = {kind: count + 1 for kind, count in counts.items()}
            route.policy.setdefault("cooldown_after_by_kind", thresholds)


def _set_retries(routes: list[RouteRow], policy: Node, report: Report) -> None:
    """Set the retries of routes that have no policy yet."""
    counts, default = _counts_by_kind(policy, "Retries", report), policy.get("DefaultRetries")
    for route in routes:
        if "retries_by_kind" in route.policy:
            continue
        route.policy["retries_by_kind"] = counts
        if default is not None:
            route.retries = default.integer(max_value=_MAX_COUNT)


def _counts_by_kind(policy: Node, suffix: str, report: Report) -> dict[str, int]:
    """Return the highest number of each error kind; report fields without an effect."""
    counts: dict[str, int] = {}
    for name, node in policy.items():
        error = name.removesuffix(suffix)
        if name == "DefaultRetries" and suffix == "Retries":
            continue
        if not name.endswith(suffix) or error not in {*ERROR_KINDS, *_REJECTIONS}:
            report.add_skipped(node, "unknown key")
        elif suffix == "AllowedFails" and error in {*_REJECTIONS, "ContentPolicyViolationError"}:
            report.add_skipped(
                node, "has no effect: such an error does not count as a failure of the target"
            )
        elif error in _REJECTIONS:
            report.add_skipped(
                node, "has no effect: such a failure would be the same at every attempt"
            )
        elif node.value is not None:
            kind = ERROR_KINDS[error]
            counts[kind] = max(counts.get(kind, 0), node.integer(max_value=_MAX_COUNT))
    return counts


def _set_strategy(routes: list[RouteRow], node: Node | None, report: Report) -> None:
    if node is None:
        return
    strategy = STRATEGIES.get(node.text())
    if strategy is None:
        report.add_skipped(
            node, f"`{node.text()}` is not supported yet; targets are selected by weight"
        )
        return
    for route in routes:
        route.strategy = strategy
        if strategy in _UNWEIGHTED_STRATEGIES:
            route.targets = [msgspec.structs.replace(t, weight=1.0) for t in route.targets]


def _set_affinity(routes: list[RouteRow], node: Node | None, report: Report) -> None:
    if node is None:
        return
    for item in node.list():
        if item.text() == ENFORCE_MODEL_LIMITS:
            continue
        if item.text() not in _AFFINITY:
            check_names = ", ".join(sorted({*_AFFINITY, ENFORCE_MODEL_LIMITS}))
            report.add_skipped(item, f"`{item.text()}` is not one of {check_names}")
            continue
        for route in routes:
            if route.strategy == "weighted":
                route.strategy = "sticky"


def _set_tag_filtering(routes: list[RouteRow], sections: list[Node]) -> None:
    """Remove the targets' tags unless tag filtering is enabled; set how tags match."""
    enabled = first_node(sections, "enable_tag_filtering")
    match = first_node(sections, "tag_filtering_match_any")
    for route in routes:
        if enabled is None or not enabled.boolean():
            route.targets = [msgspec.structs.replace(t, tags=()) for t in route.targets]
        elif match is not None and not match.boolean():
            route.policy.setdefault("tag_match", "all")
