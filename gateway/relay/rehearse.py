"""A request's way through a route without a call: who would be tried, and what would be sent.

The functions are those of live traffic, from finding the route to the bytes for the
upstream; only the calls themselves are pretended. Nothing leaves the process, and what a
target "answers" is read by its dialect, as a true refusal would be.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS
from gateway.relay.call import Call
from gateway.relay.facts import decision
from gateway.relay.lent import Lent, Unshown, lend
from gateway.relay.pipeline import nobody
from gateway.relay.prepare import Prepared, prepare
from gateway.relay.reply import stopped
from gateway.routing.course import Candidate, Skip
from gateway.routing.health import State
from gateway.routing.readings import Readings
from gateway.routing.snapshot import ApiKey, Route, Snapshot
from gateway.routing.stepwise import course_of
from gateway.routing.strategies import Draw

# What a target may be pretended to do: a status it answers, or that it never does.
FAILURES: dict[str, int | None] = {
    "429": 429,
    "500": 500,
    "529": 529,
    "timeout": None,
    "context_length": 400,
    "content_policy": 400,
}
# What the client is told by those of them that are about the request itself.
_REFUSED = {
    "context_length": "the request is longer than the model's context",
    "content_policy": "the request was refused by a content filter",
}


class Turn(msgspec.Struct, frozen=True):
    """What became of one target: `error` is set where it was called in vain."""

    outcome: Literal["skipped", "failed", "chosen"]
    candidate: Candidate
    why: str = ""
    error: Error | None = None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The whole way. `chosen` and `prepared` are None where `error` is what the client gets.

    `live` is what live traffic adds to what was prepared.
    """

    call: Call
    turns: tuple[Turn, ...]
    chosen: Candidate | None = None
    prepared: Prepared | None = None
    error: Error | None = None
    live: tuple[Unshown, ...] = ()

    @property
    def report(self) -> tuple[Adaptation, ...]:
        """What translation could not carry exactly."""
        return self.prepared.report if self.prepared is not None else ()


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What a way depends on beside the request: the registry, and the state of the line.

    `pretended` are keys of FAILURES by `provider/model`; `key` is whose request it is.
    `busy` are requests under way; `at` is the time of day as unix seconds, None is now.
    `fetches`: whether live traffic opens URLs.
    """

    snapshot: Snapshot
    health: Mapping[str, State]
    readings: Readings
    now: float
    draw: Draw
    pretended: Mapping[str, str] = {}
    key: ApiKey | None = None
    busy: Mapping[str, int] = {}
    at: float | None = None
    fetches: bool = False


def call_of(
    snapshot: Snapshot,
    dialect: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A request as the edge would have it. Raises GatewayError for one that is none.

    `model` and `stream` stand in `body` for dialects too that have them in the path.
    """
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    call = Call(
        request_id="req_rehearsal",
        endpoint="rehearsal",
        verb="generate",
        dialect=DIALECTS[dialect],
        snapshot=snapshot,
        headers=dict(headers or {}),
        started=time.perf_counter(),
    )
    call.model = body["model"]
    told = body.get("stream")
    call.stream = told is True or (told is None and call.dialect.streams)
    if call.dialect.model_in_path:
        body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    call.body = json.dumps(body).encode()
    call.fields = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    return call


def rehearse(stage: Stage, call: Call, route: Route) -> Rehearsal:
    """The way of a call whose route has been found. Never raises for a refusal."""
    call.key, call.route = stage.key, route
    if stage.at is not None:
        call.started_at = stage.at
    turns: list[Turn] = []
    try:
        call.dialect.check(call.body)
        found = decision(
            call, route, stage.health, stage.readings, stage.now, stage.draw, stage.busy
        )
    except GatewayError as refusal:
        return Rehearsal(call=call, turns=(), error=refusal.error)
    turns += [_skipped(skip) for skip in found.skipped]
    course = course_of(found, route)
    error: Error | None = None
    while (candidate := course.next()) is not None:
        turns += [_skipped(skip) for skip in course.passed]
        course.passed.clear()
        try:
            prepared, live = _attempt(stage, call, candidate)
        except GatewayError as failure:
            error = failure.error
            turns.append(Turn("failed", candidate, error.message, error))
            if not course.failed(error):
                return Rehearsal(call=call, turns=tuple(turns), error=error)
        else:
            turns.append(Turn("chosen", candidate))
            return Rehearsal(
                call=call, turns=tuple(turns), chosen=candidate, prepared=prepared, live=live
            )
    turns += [_skipped(skip) for skip in course.passed]
    return Rehearsal(call=call, turns=tuple(turns), error=error or nobody(route, found))


def _skipped(skip: Skip) -> Turn:
    return Turn("skipped", skip.candidate, skip.why)


def _attempt(
    stage: Stage, call: Call, candidate: Candidate
) -> tuple[Prepared, tuple[Unshown, ...]]:
    """What would be sent. Raises GatewayError for what can not be said, or is pretended."""
    live = lend(call, candidate.owner, candidate.target, Lent(fetches=stage.fetches))
    prepared = prepare(call, candidate.owner, candidate.target)
    pretended = stage.pretended.get(candidate.target.model.label)
    if pretended is not None:
        raise GatewayError(_pretended(candidate, pretended))
    return prepared, live


def _pretended(candidate: Candidate, failure: str) -> Error:
    status = FAILURES[failure]
    if status is None:
        return stopped("first_byte")
    if failure in _REFUSED:
        return Error(kind=failure, message=_REFUSED[failure], status=status)
    half = DIALECTS[candidate.target.model.provider.dialect].provider
    return half.parse_error(status, {}, b'{"error": {"message": "pretended"}}')
