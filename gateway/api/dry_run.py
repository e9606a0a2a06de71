"""Dry run of a route: the targets that would be tried, and the request that would be sent."""

from __future__ import annotations

import random
import time
from typing import Any, Literal

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from gateway import store
from gateway.api.auth import Editor
from gateway.api.failures import failure
from gateway.api.request_schema import RequestSchema
from gateway.api.resources import not_found_response, reply, run_guarded
from gateway.api.runtime import runtime_of
from gateway.api.translate import RuntimeInputOut
from gateway.canon.errors import GatewayError
from gateway.edge.admission import find_route
from gateway.edge.endpoints import ENDPOINTS
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
from gateway.store.documents import KINDS, Refused, merge_patch
from gateway.store.documents.schemas import RouteDoc, convert_document
from gateway.store.routes import with_spec

router = Router(tags=["route dry run"], auth=Editor())
_ROUTES = KINDS["routes"]
_CLIENTS = sorted({e.dialect for e in ENDPOINTS.values() if e.action in ("generate", "embed")})

_SAMPLE: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


class DryRunIn(RequestSchema):
    """A request to try.

    Attributes:
        dialect: the API of the client: `openai_chat`, `anthropic_messages`, ...
        request: its body in that dialect; `model` defaults to the route.
        headers: client headers, such as `x-dragoman-session` and `x-dragoman-tags`.
        key: name or prefix of the API key that sends the request; empty for none.
        route: a merge patch of the route, applied without being saved.
        failures: simulated failures of targets, by `provider/model` or `*` for all:
            `404`, `429`, `500`, `529`, `timeout`, `context_length`, `content_policy`.
        ignore_cooldowns: treat targets in cooldown as available.
        seed: of random selection by weight; the same seed gives the same result.
    """

    dialect: str = "openai_chat"
    request: dict[str, Any] = Field(default_factory=lambda: dict(_SAMPLE))
    headers: dict[str, str] = {}
    key: str = ""
    route: dict[str, Any] = {}
    failures: dict[str, str] = {}
    ignore_cooldowns: bool = False
    seed: int = 0


class TargetOutcomeOut(Schema):
    """Outcome of one target; `step` and `route` are those it belongs to."""

    target: str
    outcome: Literal["skipped", "failed", "chosen"]
    reason: str
    status: int | None
    error_kind: str
    step: str
    route: str


class UpstreamRequestOut(Schema):
    """The request to the upstream; secrets are `***`. `adaptations` lists inexact fields.

    `runtime_inputs` lists what only live traffic adds: stored reasoning, fetched files.
    """

    url: str
    dialect: str
    passthrough: bool
    headers: dict[str, str]
    body: Any
    adaptations: list[dict[str, Any]]
    runtime_inputs: list[RuntimeInputOut]


class ClientErrorOut(Schema):
    """The error that the client would get."""

    status: int
    error_kind: str
    body: Any


class DryRunOut(Schema):
    """Result of a dry run. Exactly one of `upstream_request` and `error` is set."""

    route: str
    targets: list[TargetOutcomeOut]
    upstream_request: UpstreamRequestOut | None
    error: ClientErrorOut | None


@router.post("/routes/{path:name}/dry-run", response=DryRunOut)
def dry_run_route(request: HttpRequest, name: str, payload: DryRunIn) -> HttpResponse:
    """Simulate a request on the route, with the changes in `route` if given. No call is made."""
    row = _ROUTES.find(name)
    if row is None:
        return not_found_response(_ROUTES, name)
    return run_guarded(lambda: _dry_run(runtime_of(request), row, payload))


def _dry_run(runtime: Runtime | None, row: Any, payload: DryRunIn) -> HttpResponse:
    _check_payload(payload)
    spec = _changed_spec(row, payload.route)
    try:
        snapshot = with_spec(store.current_snapshot(), spec, row.name)
    except ValueError as error:
        raise Refused("route", str(error)) from None
    key = _find_key(snapshot, payload.key)
    body = {"model": spec.name, **payload.request}
    headers = {name.lower(): value for name, value in payload.headers.items()}
    try:
        call = build_call(snapshot, payload.dialect, body, headers)
        route = find_route(snapshot, key, body["model"])
    except GatewayError as refusal:
        return failure(422, refusal.error.message, refusal.error.param or "request")
    state = _routing_state(runtime, payload, snapshot, route, key)
    return reply(200, _result_item(dry_run(state, call, route)))


def _check_payload(payload: DryRunIn) -> None:
    if payload.dialect not in _CLIENTS:
        raise Refused("dialect", f"must be one of {', '.join(_CLIENTS)}")
    for target, failure_kind in payload.failures.items():
        if failure_kind not in SIMULATED_FAILURES:
            raise Refused(
                f"failures.{target[:200]}", f"must be one of {', '.join(SIMULATED_FAILURES)}"
            )


def _changed_spec(row: Any, change: dict[str, Any]) -> RouteSpec:
    """The route's spec with the merge patch applied. Raises Refused."""
    values = convert_document(
        {**_ROUTES.read(row), **merge_patch(_ROUTES.read(row), change)}, RouteDoc
    )
    return RouteSpec(**{name: getattr(values, name) for name in RouteSpec.__struct_fields__})


def _find_key(snapshot: Snapshot, name: str) -> ApiKey | None:
    if not name:
        return None
    row = KINDS["keys"].find(name)
    key = next((k for k in snapshot.keys.values() if row is not None and k.id == row.pk), None)
    if key is None:
        raise Refused("key", f"there is no active API key `{name[:200]}`")
    return key


def _routing_state(
    runtime: Runtime | None,
    payload: DryRunIn,
    snapshot: Snapshot,
    route: Route,
    key: ApiKey | None,
) -> RoutingState:
    labels = {t.model.label for r in with_fallbacks(snapshot, route) for t in r.targets}
    failures = {
        label: payload.failures.get(label, payload.failures.get("*", ""))
        for label in labels
        if label in payload.failures or "*" in payload.failures
    }
    return RoutingState(
        snapshot=snapshot,
        health={} if runtime is None or payload.ignore_cooldowns else dict(runtime.health),
        latency_by_target={} if runtime is None else dict(runtime.latency.stats),
        now=time.monotonic(),
        draw=random.Random(payload.seed).random,  # noqa: S311 - a repeatable draw, no secret
        simulated_failures=failures,
        key=key,
        busy={} if runtime is None else dict(runtime.load.in_flight),
        fetch_media=settings.FETCH_MEDIA,
        gateway_searches=bool(settings.WEB_SEARCH_URL) and route.web_search,
    )


def _result_item(result: DryRun) -> dict[str, Any]:
    upstream_request = client_error = None
    exchange = result.call.exchange
    if result.prepared_request is not None and result.chosen is not None:
        provider = result.chosen.target.model.provider
        upstream_request = {
            "url": provider.base_url + result.prepared_request.path,
            "dialect": result.prepared_request.dialect.name,
            "passthrough": result.prepared_request.rendered_request is None,
            "headers": result.prepared_request.headers,
            "body": msgspec.json.decode(result.prepared_request.content),
            "adaptations": msgspec.to_builtins(result.report),
            "runtime_inputs": [
                msgspec.to_builtins(runtime_input) for runtime_input in result.runtime_inputs
            ],
        }
    elif result.error is not None:
        rendered_error = exchange.dialect.client.render_error(result.error, exchange.id)
        client_error = {
            "status": rendered_error.status,
            "error_kind": result.error.kind,
            "body": rendered_error.body,
        }
    name = exchange.route.name if exchange.route is not None else ""
    targets = [_target_item(turn) for turn in result.targets]
    return {
        "route": name,
        "targets": targets,
        "upstream_request": upstream_request,
        "error": client_error,
    }


def _target_item(outcome: TargetOutcome) -> dict[str, Any]:
    step, error = outcome.candidate.step, outcome.error
    return {
        "target": outcome.candidate.target.model.label,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "status": error.status if error is not None else None,
        "error_kind": error.kind if error is not None else "",
        "step": step.name if step is not None else "",
        "route": outcome.candidate.route.name,
    }
