"""Dry run of a route: which targets would be tried, and what would be sent.

Uses the functions of live traffic, from selecting the route to the bytes for the upstream;
only the calls themselves are simulated. Nothing is sent, and a simulated failure is parsed by
the target's dialect, like a real one.
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
from gateway.relay.exchange.call import Call, Exchange, stop_error
from gateway.relay.exchange.request_features import routing_features
from gateway.relay.run import litellm_fields
from gateway.relay.run.pipeline import no_candidate_error
from gateway.relay.translate.choices import split_choices
from gateway.relay.translate.prepare import PreparedRequest, prepare
from gateway.routing.candidates import (
    Candidate,
    Skip,
    retry_plan_for,
    select_candidates,
    with_fallbacks,
)
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.latency import LatencyByTarget
from gateway.routing.snapshot import ApiKey, Route, Snapshot
from gateway.routing.strategies import Draw
from gateway.simulate.inputs import (
    RuntimeInput,
    SimulationInputs,
    apply_inputs,
    multiple_calls_note,
)

# Simulated failures of a target: the status of its response, or None for no response.
SIMULATED_FAILURES: dict[str, int | None] = {
    "404": 404,
    "429": 429,
    "500": 500,
    "529": 529,
    "timeout": None,
    "context_length": 400,
    "content_policy": 400,
}
# Messages of the simulated failures that the request itself causes.
_REFUSAL_MESSAGES = {
    "context_length": "the request is longer than the model's context window",
    "content_policy": "the request was rejected by a content filter",
}


class TargetOutcome(msgspec.Struct, frozen=True):
    """The outcome of one target; `error` is set if the simulated call failed."""

    outcome: Literal["skipped", "failed", "chosen"]
    candidate: Candidate
    reason: str = ""
    error: Error | None = None


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `chosen` and `prepared_request` are None if the client gets `error`.

    `runtime_inputs` are the inputs that live traffic would add to `prepared_request`.
    """

    call: Call
    targets: tuple[TargetOutcome, ...]
    chosen: Candidate | None = None
    prepared_request: PreparedRequest | None = None
    error: Error | None = None
    runtime_inputs: tuple[RuntimeInput, ...] = ()

    @property
    def report(self) -> tuple[Adaptation, ...]:
        """The adaptations: what translation could not render exactly."""
        return self.prepared_request.report if self.prepared_request is not None else ()


class RoutingState(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of routing in addition to the request: the registry and the state of targets.

    `simulated_failures` are keys of SIMULATED_FAILURES by `provider/model`; `key` is the key
    of the request. `busy` counts running requests by target; `time_of_day` is unix seconds, None
    means now. `fetch_media`: whether live traffic fetches URLs. `gateway_searches`: whether it
    runs web searches for targets that have none.
    """

    snapshot: Snapshot
    health: Mapping[str, CircuitState]
    latency_by_target: LatencyByTarget
    now: float
    draw: Draw
    simulated_failures: Mapping[str, str] = {}
    key: ApiKey | None = None
    busy: Mapping[str, int] = {}
    time_of_day: float | None = None
    fetch_media: bool = False
    gateway_searches: bool = False


def build_call(
    snapshot: Snapshot,
    dialect: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Call:
    """Build a call as the edge does. Raises GatewayError for an invalid body.

    `model` and `stream` are in `body`, even for dialects that have them in the path.
    """
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    exchange = Exchange(
        request_id="req_rehearsal",
        endpoint="rehearsal",
        verb="generate",
        dialect=DIALECTS[dialect],
        snapshot=snapshot,
        headers=dict(headers or {}),
        started=time.perf_counter(),
    )
    exchange.model = body["model"]
    stream_field = body.get("stream")
    exchange.stream = stream_field is True or (
        stream_field is None and exchange.dialect.streams_by_default
    )
    if exchange.dialect.model_in_path:
        body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    exchange.body = json.dumps(body).encode()
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    return Call(exchange)


def dry_run(state: RoutingState, call: Call, route: Route) -> DryRun:
    """Simulate a call through its route. Never raises for a refusal."""
    call.exchange.key, call.exchange.route = state.key, route
    if state.time_of_day is not None:
        call.exchange.started_at = state.time_of_day
    targets: list[TargetOutcome] = []
    try:
        litellm_fields.apply(call.exchange)
        route = call.exchange.route or route
        call.exchange.dialect.check_passthrough(call.exchange.body)
        routes = with_fallbacks(call.exchange.snapshot, route)
        features = None
        if any(route.depends_on_caller for route in routes):
            features = routing_features(
                call.exchange, routes, gateway_searches=state.gateway_searches
            )
        decision = select_candidates(
            routes,
            features,
            state.health,
            state.latency_by_target,
            state.now,
            state.draw,
            state.busy,
        )
    except GatewayError as refusal:
        return DryRun(call=call, targets=(), error=refusal.error)
    targets += [_skipped_outcome(skip) for skip in decision.skipped]
    retry_plan = retry_plan_for(decision, route)
    error: Error | None = None
    while (candidate := retry_plan.next_candidate()) is not None:
        targets += [_skipped_outcome(skip) for skip in retry_plan.bypassed_candidates]
        retry_plan.bypassed_candidates.clear()
        try:
            prepared_request, runtime_inputs = _prepare_attempt(state, call, candidate)
        except GatewayError as failure:
            error = failure.error
            targets.append(TargetOutcome("failed", candidate, error.message, error))
            if not retry_plan.record_failure(error):
                return DryRun(call=call, targets=tuple(targets), error=error)
        else:
            targets.append(TargetOutcome("chosen", candidate))
            return DryRun(
                call=call,
                targets=tuple(targets),
                chosen=candidate,
                prepared_request=prepared_request,
                runtime_inputs=runtime_inputs,
            )
    targets += [_skipped_outcome(skip) for skip in retry_plan.bypassed_candidates]
    return DryRun(
        call=call, targets=tuple(targets), error=error or no_candidate_error(route, decision)
    )


def _skipped_outcome(skip: Skip) -> TargetOutcome:
    return TargetOutcome("skipped", skip.candidate, skip.reason)


def _prepare_attempt(
    state: RoutingState, call: Call, candidate: Candidate
) -> tuple[PreparedRequest, tuple[RuntimeInput, ...]]:
    """Return the request to send. Raises GatewayError if translation or the simulation fails."""
    runtime_inputs = apply_inputs(
        call, candidate.route, candidate.target, SimulationInputs(fetch_media=state.fetch_media)
    )
    choices = split_choices(call, candidate.target)
    runtime_inputs = (*runtime_inputs, *multiple_calls_note(call, choices))
    changed_request = choices[0] if choices else None
    prepared_request = prepare(call, candidate.route, candidate.target, changed_request)
    failure = state.simulated_failures.get(candidate.target.model.label)
    if failure is not None:
        raise GatewayError(_simulated_error(candidate, failure))
    return prepared_request, runtime_inputs


def _simulated_error(candidate: Candidate, failure: str) -> Error:
    status = SIMULATED_FAILURES[failure]
    if status is None:
        return stop_error("first_byte")
    if failure in _REFUSAL_MESSAGES:
        return Error(kind=failure, message=_REFUSAL_MESSAGES[failure], status=status)
    provider_format = DIALECTS[candidate.target.model.provider.dialect].provider
    return provider_format.parse_error(status, {}, b'{"error": {"message": "pretended"}}')
