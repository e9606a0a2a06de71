"""The dry run: simulates a sample request on the draft, with simulated failures."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.dialects import CONSOLE_DIALECTS, title
from console.pages.routes.samples import SAMPLES, body
from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import GatewayError
from gateway.edge.admission import find_route
from gateway.relay.exchange.call import Call
from gateway.relay.runtime import Runtime
from gateway.routing.candidates import with_fallbacks
from gateway.routing.route_spec import RouteSpec
from gateway.routing.snapshot import ApiKey, Route, Snapshot
from gateway.simulate.dry_run import (
    SIMULATED_FAILURES,
    DryRun,
    RoutingState,
    TargetOutcome,
    build_call,
    dry_run,
)
from gateway.simulate.inputs import RuntimeInput
from gateway.store.routes import with_spec

FAILURE_TITLES: dict[str, str | Promise] = {
    "404": gettext_lazy("404 model not found"),
    "429": gettext_lazy("429 rate limit"),
    "500": gettext_lazy("500 server error"),
    "529": gettext_lazy("529 overloaded"),
    "timeout": gettext_lazy("timeout"),
    "context_length": gettext_lazy("context too long"),
    "content_policy": gettext_lazy("content filter"),
}
_MAX_BODY_CHARS = 12_000
_MAX_SEEDS = 25


class Line(NamedTuple):
    """A line of the trace: its CSS class, icon, title and text."""

    kind: str
    icon: str
    title: str
    text: str


@dataclass(slots=True)
class DryRunPanel:
    """The inputs of the dry run panel and its result."""

    dialect: str = "anthropic_messages"
    sample: str = "text"
    model: str = ""
    target: str = ""
    failure: str = ""
    key: str = ""
    session: str = ""
    tags: str = ""
    ignore_cooldowns: bool = False
    lines: list[Line] = field(default_factory=list)
    url: str = ""
    upstream_body: str = ""
    headers: str = ""
    adaptations: tuple[Adaptation, ...] = ()
    live_only: tuple[RuntimeInput, ...] = ()
    passthrough: bool = False
    error_body: str = ""

    @property
    def has_result(self) -> bool:
        """Whether there is a result to display."""
        return bool(self.lines)


def panel_from_form(data: QueryDict) -> DryRunPanel:
    """The panel from form data; unsupported choices get their defaults."""
    panel = DryRunPanel(
        model=data.get("dry-model", "").strip(),
        target=data.get("dry-target", ""),
        key=data.get("dry-key", ""),
        session=data.get("dry-session", "").strip()[:200],
        tags=data.get("dry-tags", "").strip()[:500],
        ignore_cooldowns=data.get("dry-ignore-cooldowns") == "1",
    )
    panel.dialect = _valid_choice(data.get("dry-dialect", ""), CONSOLE_DIALECTS, panel.dialect)
    panel.sample = _valid_choice(data.get("dry-sample", ""), SAMPLES, panel.sample)
    panel.failure = _valid_choice(data.get("dry-failure", ""), SIMULATED_FAILURES, "")
    return panel


def _valid_choice(name: str, table: Container[str], default: str) -> str:
    return name if name in table else default


def run(
    runtime: Runtime | None,
    panel: DryRunPanel,
    spec: RouteSpec,
    snapshot: Snapshot,
    saved_name: str,
) -> None:
    """Compute the result. Uses no tokens and no network."""
    model = panel.model or spec.name
    try:
        draft_snapshot = with_spec(snapshot, spec, saved_name)
        key = next(
            (k for k in draft_snapshot.keys.values() if panel.key in {str(k.id), k.prefix}), None
        )
        sample_body = body(panel.dialect, panel.sample, model)
        call = build_call(draft_snapshot, panel.dialect, sample_body, _request_headers(panel))
        route = find_route(draft_snapshot, key, model)
    except ValueError as error:
        panel.lines.append(Line("bad", "circle-x", _("The draft is invalid"), str(error)))
        return
    except GatewayError as refusal:
        title = _("Rejected before any target")
        panel.lines.append(Line("bad", "circle-x", title, refusal.error.message))
        return
    if panel.key and key is None:
        panel.lines.append(Line("bad", "circle-x", _("There is no such API key"), panel.key[:200]))
        return
    panel.lines.append(_match_line(spec, route, model))
    panel.lines.append(_key_line(key))
    result = _simulate_with_seeds(runtime, panel, draft_snapshot, route, key, call)
    panel.lines += [_outcome_line(outcome, result) for outcome in result.targets]
    _add_result(panel, result)


def _request_headers(panel: DryRunPanel) -> dict[str, str]:
    headers = {"x-dragoman-session": panel.session, "x-dragoman-tags": panel.tags}
    return {name: value for name, value in headers.items() if value}


def _simulate_with_seeds(
    runtime: Runtime | None,
    panel: DryRunPanel,
    snapshot: Snapshot,
    route: Route,
    key: ApiKey | None,
    call: Call,
) -> DryRun:
    """Simulate with several random seeds until the failing target is tried."""
    first_result = None
    for seed in range(_MAX_SEEDS if panel.failure and panel.target else 1):
        state = _simulation_inputs(runtime, panel, snapshot, route, key, seed)
        result = dry_run(state, call, route)
        if any(target.outcome == "failed" for target in result.targets):
            return result
        first_result = first_result or result
    assert first_result is not None
    return first_result


def _simulation_inputs(
    runtime: Runtime | None,
    panel: DryRunPanel,
    snapshot: Snapshot,
    route: Route,
    key: ApiKey | None,
    seed: int,
) -> RoutingState:
    """Inputs of the simulation; the target name `*` makes all targets fail."""
    targets = [t for r in with_fallbacks(snapshot, route) for t in r.targets]
    labels = {t.model.label for t in targets if panel.target in {t.model.label, "*"}}
    return RoutingState(
        snapshot=snapshot,
        health={} if runtime is None or panel.ignore_cooldowns else dict(runtime.health),
        latency_by_target={} if runtime is None else dict(runtime.latency.stats),
        now=time.monotonic(),
        draw=random.Random(seed).random,  # noqa: S311 - a repeatable draw, no secret
        simulated_failures=dict.fromkeys(labels, panel.failure) if panel.failure else {},
        key=key,
        busy={} if runtime is None else dict(runtime.load.in_flight),
        fetch_media=settings.FETCH_MEDIA,
        gateway_searches=bool(settings.WEB_SEARCH_URL) and route.web_search,
    )


def _match_line(spec: RouteSpec, route: Route, model: str) -> Line:
    if model == route.name:
        text = _("%s, by name") % route.name
    elif model in spec.aliases:
        text = _("%(route)s, by alias %(name)s") % {"route": route.name, "name": model}
    else:
        text = _("%(route)s, by a pattern matching %(name)s") % {
            "route": route.name,
            "name": model,
        }
    return Line("ok", "circle-check", _("Matched route"), text)


def _key_line(key: ApiKey | None) -> Line:
    text = _("%s is allowed") % key.name if key else _("any key allowed to use the route")
    return Line("ok", "circle-check", _("Key policy"), text)


def _outcome_line(target_outcome: TargetOutcome, result: DryRun) -> Line:
    name = target_outcome.candidate.target.model.name
    step = target_outcome.candidate.step
    location = step.name if step is not None and step.name else ""
    if target_outcome.candidate.route is not result.call.exchange.route:
        location = _("fallback route %s") % target_outcome.candidate.route.name
    if target_outcome.outcome == "chosen":
        text = _("selected") + (f" · {location}" if location else "")
        return Line("pick", "arrow-right", name, text)
    text = (
        target_outcome.reason if target_outcome.error is None else _describe_failure(target_outcome)
    )
    icon = "minus" if target_outcome.outcome == "skipped" else "x"
    return Line(target_outcome.outcome, icon, name, text + (f" · {location}" if location else ""))


def _describe_failure(target_outcome: TargetOutcome) -> str:
    assert target_outcome.error is not None
    if target_outcome.error.status is not None:
        return _("simulated %(status)d response, classified as %(kind)s") % {
            "status": target_outcome.error.status,
            "kind": target_outcome.error.kind,
        }
    if target_outcome.error.kind == "timeout":
        return _("simulated timeout")
    return _("could not be called: %s") % target_outcome.reason


def _add_result(panel: DryRunPanel, result: DryRun) -> None:
    if result.prepared_request is None or result.chosen is None:
        assert result.error is not None
        refusal = result.call.exchange.dialect.client.render_error(
            result.error, result.call.exchange.id
        )
        panel.error_body = _pretty_json(refusal.body)
        text = _("status %(status)d, %(kind)s") % {
            "status": refusal.status,
            "kind": result.error.kind,
        }
        panel.lines.append(Line("bad", "circle-x", _("Error returned to the client"), text))
        return
    provider = result.chosen.target.model.provider
    panel.adaptations, panel.passthrough = (
        result.report,
        result.prepared_request.rendered_request is None,
    )
    panel.live_only = result.runtime_inputs
    panel.url = provider.base_url + result.prepared_request.path
    panel.headers = "\n".join(
        f"{k}: {v}" for k, v in sorted(result.prepared_request.headers.items())
    )
    panel.upstream_body = _pretty_json(msgspec.json.decode(result.prepared_request.content))
    panel.lines.append(_translation_line(panel, result.prepared_request.dialect.name))


def _translation_line(panel: DryRunPanel, upstream: str) -> Line:
    titles = {name: title(name) for name in (panel.dialect, upstream)}
    if panel.passthrough:
        text = _("not needed, both use %s") % titles[upstream]
        return Line("ok", "circle-check", _("Translation"), text)
    text = f"{titles[panel.dialect]} → {titles[upstream]}"
    if not panel.adaptations:
        return Line("ok", "circle-check", _("Translation"), text + _(", lossless"))
    changed = len(panel.adaptations)
    summary = ngettext(", %d field changed or dropped", ", %d fields changed or dropped", changed)
    return Line("warn", "triangle-alert", _("Translation"), text + summary % changed)


def _pretty_json(value: Any) -> str:
    text = json.dumps(_shorten_texts(value), indent=2, ensure_ascii=False)
    return text if len(text) <= _MAX_BODY_CHARS else text[:_MAX_BODY_CHARS] + "\n…"


def _shorten_texts(value: Any) -> Any:
    """Copy of the value with very long texts shortened."""
    if isinstance(value, str) and len(value) > 600:
        return value[:300] + f"… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {name: _shorten_texts(item) for name, item in value.items()}
    return [_shorten_texts(item) for item in value] if isinstance(value, list) else value
