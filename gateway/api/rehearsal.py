"""A route's dry run: who would be tried for a request, and what would be sent. No call is made."""

from __future__ import annotations

import random
import time
from typing import Any, Literal

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from gateway import store
from gateway.api.failures import failure
from gateway.api.resources import guarded, missing, reply
from gateway.api.translate import LiveOut
from gateway.canon.errors import GatewayError
from gateway.edge.auth import find_route
from gateway.edge.endpoints import ENDPOINTS
from gateway.relay import runtime
from gateway.routing.candidates import with_fallbacks
from gateway.routing.document import Document
from gateway.routing.snapshot import ApiKey, Route, Snapshot
from gateway.simulate.dry_run import (
    SIMULATED_FAILURES,
    DryRun,
    RoutingState,
    TargetOutcome,
    build_call,
    dry_run,
)
from gateway.store.documents import KINDS, Refused, merged
from gateway.store.documents.shape import RouteDoc, shaped
from gateway.store.routes import with_document

router = Router(tags=["route dry run"])
_ROUTES = KINDS["routes"]
_CLIENTS = sorted({e.dialect for e in ENDPOINTS.values() if e.action in ("generate", "embed")})

_SAMPLE: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


class RehearseIn(Schema):
    """A request to try.

    Attributes:
        dialect: the client's: `openai_chat`, `anthropic_messages`, ...
        request: its body in that dialect; `model` may be left out, and is the route then.
        headers: the client's, such as `x-dragoman-session` and `x-dragoman-tags`.
        key: name or public part of the API key whose request it is; empty is anybody's.
        route: a merge patch of the route's document, tried without being saved.
        failures: what targets are to be pretended to do, by `provider/model` or `*` for all:
            `429`, `500`, `529`, `timeout`, `context_length`, `content_policy`.
        rested: as if no target rested now after failures.
        seed: of the draws by weight: the same seed is the same way.
    """

    dialect: str = "openai_chat"
    request: dict[str, Any] = Field(default_factory=lambda: dict(_SAMPLE))
    headers: dict[str, str] = {}
    key: str = ""
    route: dict[str, Any] = {}
    failures: dict[str, str] = {}
    rested: bool = False
    seed: int = 0


class TurnOut(Schema):
    """What became of one target; `step` and `route` say where it stands."""

    target: str
    outcome: Literal["skipped", "failed", "chosen"]
    why: str
    status: int | None
    error_kind: str
    step: str
    route: str


class SentOut(Schema):
    """What the upstream would be sent; secrets are `***`. `adaptations` is what was lost.

    `live` is what live traffic would add: reasoning that the gateway has kept, fetched files.
    """

    url: str
    dialect: str
    passthrough: bool
    headers: dict[str, str]
    body: Any
    adaptations: list[dict[str, Any]]
    live: list[LiveOut]


class RefusedOut(Schema):
    """What the client would be told instead."""

    status: int
    error_kind: str
    body: Any


class RehearsalOut(Schema):
    """The way of the request. One of `sent` and `refused` is there."""

    route: str
    turns: list[TurnOut]
    sent: SentOut | None
    refused: RefusedOut | None


@router.post("/routes/{path:name}/rehearse", response=RehearsalOut)
def rehearse_route(request: HttpRequest, name: str, payload: RehearseIn) -> HttpResponse:
    """Try a request on the route as it is, or as `route` would have it. It costs nothing."""
    row = _ROUTES.find(name)
    if row is None:
        return missing(_ROUTES, name)
    return guarded(lambda: _rehearsed(row, payload))


def _rehearsed(row: Any, asked: RehearseIn) -> HttpResponse:
    _check(asked)
    document = _document(row, asked.route)
    try:
        snapshot = with_document(store.load_snapshot(), document, row.name)
    except ValueError as error:
        raise Refused("route", str(error)) from None
    key = _key(snapshot, asked.key)
    said = {"model": document.name, **asked.request}
    headers = {name.lower(): value for name, value in asked.headers.items()}
    try:
        call = build_call(snapshot, asked.dialect, said, headers)
        route = find_route(snapshot, key, said["model"])
    except GatewayError as refusal:
        return failure(422, refusal.error.message, refusal.error.param or "request")
    return reply(200, _told(dry_run(_stage(asked, snapshot, route, key), call, route)))


def _check(asked: RehearseIn) -> None:
    if asked.dialect not in _CLIENTS:
        raise Refused("dialect", f"must be one of {', '.join(_CLIENTS)}")
    for target, what in asked.failures.items():
        if what not in SIMULATED_FAILURES:
            raise Refused(
                f"failures.{target[:200]}", f"must be one of {', '.join(SIMULATED_FAILURES)}"
            )


def _document(row: Any, change: dict[str, Any]) -> Document:
    """The route with the change, as the hot path would have it. Raises Refused."""
    given = shaped({**_ROUTES.read(row), **merged(_ROUTES.read(row), change)}, RouteDoc)
    return Document(**{name: getattr(given, name) for name in Document.__struct_fields__})


def _key(snapshot: Snapshot, name: str) -> ApiKey | None:
    if not name:
        return None
    row = KINDS["keys"].find(name)
    found = next((k for k in snapshot.keys.values() if row is not None and k.id == row.pk), None)
    if found is None:
        raise Refused("key", f"there is no live API key `{name[:200]}`")
    return found


def _stage(asked: RehearseIn, snapshot: Snapshot, route: Route, key: ApiKey | None) -> RoutingState:
    live = runtime.current()
    labels = {t.model.label for r in with_fallbacks(snapshot, route) for t in r.targets}
    failing = {
        label: asked.failures.get(label, asked.failures.get("*", ""))
        for label in labels
        if label in asked.failures or "*" in asked.failures
    }
    return RoutingState(
        snapshot=snapshot,
        health={} if live is None or asked.rested else dict(live.health),
        latency_by_target={} if live is None else dict(live.latency_stats),
        now=time.monotonic(),
        draw=random.Random(asked.seed).random,  # noqa: S311 - a repeatable draw, no secret
        pretended=failing,
        key=key,
        busy={} if live is None else dict(live.load.in_flight),
        fetches=settings.FETCH_MEDIA,
    )


def _told(found: DryRun) -> dict[str, Any]:
    sent = refused = None
    if found.prepared is not None and found.chosen is not None:
        provider = found.chosen.target.model.provider
        sent = {
            "url": provider.base_url + found.prepared.path,
            "dialect": found.prepared.dialect.name,
            "passthrough": found.prepared.rendered is None,
            "headers": found.prepared.headers,
            "body": msgspec.json.decode(found.prepared.content),
            "adaptations": msgspec.to_builtins(found.report),
            "live": [msgspec.to_builtins(one) for one in found.live],
        }
    elif found.error is not None:
        answer = found.call.dialect.client.render_error(found.error, found.call.id)
        refused = {"status": answer.status, "error_kind": found.error.kind, "body": answer.body}
    name = found.call.route.name if found.call.route is not None else ""
    turns = [_turn(turn) for turn in found.turns]
    return {"route": name, "turns": turns, "sent": sent, "refused": refused}


def _turn(turn: TargetOutcome) -> dict[str, Any]:
    step, error = turn.candidate.step, turn.error
    return {
        "target": turn.candidate.target.model.label,
        "outcome": turn.outcome,
        "why": turn.why,
        "status": error.status if error is not None else None,
        "error_kind": error.kind if error is not None else "",
        "step": step.name if step is not None else "",
        "route": turn.candidate.route.name,
    }
