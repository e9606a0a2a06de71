"""`auto_router/complexity_router`: a route with a step for each tier of complexity.

The steps' conditions are those of `gateway.routing.complexity`, LiteLLM's heuristic classifier.
Its other classifiers call a model; here the heuristic replaces them, and this is reported.
"""

from __future__ import annotations

import msgspec

from gateway.compat.litellm.config.inference import UnsupportedEntry
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config, RouteRow, StepRow

PREFIX = "auto_router/"
_MODEL = "auto_router/complexity_router"
_TIERS = {
    "SIMPLE": "simple_prompt",
    "MEDIUM": "medium_prompt",
    "COMPLEX": "complex_prompt",
    "REASONING": "reasoning_prompt",
}
_SUPPORTED_KEYS = frozenset({"tiers", "default_model", "classifier_type"})


def add_router(config: Config, name: Node, params: Node, report: Report) -> None:
    """Add the route of a router, when all other routes are known.

    Raises ConfigError, UnsupportedEntry.
    """
    model = params.get("model")
    if model is None or model.text() != _MODEL:
        raise UnsupportedEntry("only auto_router/complexity_router is supported")
    router = params.get("complexity_router_config")
    if router is None:
        raise UnsupportedEntry("it needs a complexity_router_config")
    default = params.get("complexity_router_default_model") or router.get("default_model")
    tier_models = _tier_models(config, router, default, report)
    if not tier_models:
        raise UnsupportedEntry("none of its models is in this file")
    _report_differences(router, report)
    router_name = name.text(max_length=200)
    row = config.routes.setdefault(router_name, RouteRow(name=router_name, ref=name.location))
    for order, (tier, condition) in enumerate(_TIERS.items(), 1):
        models = tier_models.get(tier)
        if models is None:
            continue
        row.steps.append(StepRow(order=order, name=tier.lower(), requires=condition))
        row.targets += [
            msgspec.structs.replace(target, order=order)
            for model_name in models
            for target in config.routes[model_name].targets
        ]
    if default is not None and default.text() in config.routes:
        row.fallbacks = [default.text()]


def _tier_models(
    config: Config, router: Node, default: Node | None, report: Report
) -> dict[str, list[str]]:
    """Return the models of each tier; a tier without models has the default model."""
    tiers = router.get("tiers")
    nodes = dict(tiers.items()) if tiers is not None else {}
    for name in nodes.keys() - _TIERS.keys():
        report.add_skipped(nodes[name], f"`{name}` is not one of the tiers {', '.join(_TIERS)}")
    model_by_tier = {}
    for tier in _TIERS:
        node = nodes.get(tier, default)
        models = [item for item in _node_texts(node) if item in config.routes]
        if models:
            model_by_tier[tier] = models
        elif node is not None:
            report.add_skipped(node, f"the tier {tier} has no model that is in this file")
    return model_by_tier


def _node_texts(node: Node | None) -> list[str]:
    if node is None:
        return []
    return [item.text() for item in (node.list() if isinstance(node.value, tuple) else (node,))]


def _report_differences(router: Node, report: Report) -> None:
    kind = router.get("classifier_type")
    if kind is not None and kind.text() != "heuristic":
        report.add(kind, f"`{kind.text()}` is not supported yet: the heuristic classifier is used")
    for name, node in router.items():
        if name not in _SUPPORTED_KEYS and name != "classifier_llm_config":
            report.add_skipped(node, "is ignored: the heuristic classifier has LiteLLM's defaults")
