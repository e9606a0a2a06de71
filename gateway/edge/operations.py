"""Endpoints for operations: health and metrics. No ORM; only metrics need a credential."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError
from gateway.edge.admission import check_site, is_admin, key_digest, token_from
from gateway.framing.headers import JSON_HEADER
from gateway.relay.exchange.call import Client
from gateway.relay.journal.gauges import process_values
from gateway.relay.journal.metrics import NodeValues
from gateway.relay.limits.limiter import budget_rules, remaining_budgets
from gateway.relay.run.readiness import find_problems
from gateway.relay.runtime import Runtime
from gateway.routing.circuit_breaker import CircuitState, allows_call, is_half_open

_LOOPBACK = ("127.", "::1")


async def answer_operations(runtime: Runtime, scope: dict[str, Any], client: Client) -> None:
    """Serve a request below /health or at /metrics."""
    path = scope["path"].rstrip("/")
    if path == "/metrics":
        await _send_metrics(runtime, scope, client)
        return
    status, content = _health_response(runtime, path)
    body = b"" if scope["method"] == "HEAD" else msgspec.json.encode(content)
    await client.reply(status, [JSON_HEADER], body)


def _health_response(runtime: Runtime, path: str) -> tuple[int, Any]:
    match path:
        case "/health/live":
            return 200, {"status": "live"}
        case "/health/liveliness" | "/health/liveness":
            return 200, "I'm alive!"  # LiteLLM's paths and response
        case "/health/ready":
            return _readiness_response(runtime)
        case "/health/readiness":
            # LiteLLM's path and response. Without its database the gateway continues to serve.
            if runtime.draining or runtime.drain_announced:
                return 503, {"status": "shutting_down"}
            return 200, {
                "status": "healthy",
                "db": "disconnected" if runtime.registry.unavailable else "connected",
            }
        case "/health":
            return 200, _health_summary(runtime)
        case _:
            return 404, {"error": f"there is no endpoint {path[:200]}"}


def _readiness_response(runtime: Runtime) -> tuple[int, Any]:
    open_problems = find_problems(runtime)
    reasons = [problem.code for problem in open_problems]
    if any(problem.blocking for problem in open_problems):
        return 503, {"status": "unready", "reasons": reasons}
    return 200, {"status": "degraded" if open_problems else "ready", "reasons": reasons}


def _health_summary(runtime: Runtime) -> dict[str, Any]:
    snapshot, counters = runtime.snapshot, runtime.journal.counters
    problem_codes = [problem.code for problem in find_problems(runtime)]
    return {
        "status": "draining"
        if runtime.draining or runtime.drain_announced
        else "degraded"
        if problem_codes
        else "ok",
        "reasons": problem_codes,
        "version": runtime.config.version,
        "registry": snapshot.version,
        "routes": len(snapshot.routes),
        "left_out": len(snapshot.warnings),
        # Its error may contain hosts and paths: it is shown only in the log and the console.
        "journal": {
            **msgspec.structs.asdict(msgspec.structs.replace(runtime.journal.status, error="")),
            **msgspec.structs.asdict(counters),
        },
    }


async def _send_metrics(runtime: Runtime, scope: dict[str, Any], client: Client) -> None:
    peer = (scope.get("client") or ("",))[0]
    if not peer.startswith(_LOOPBACK):
        token = token_from(scope["headers"], b"")
        if not token or not is_admin(runtime, key_digest(token, runtime.config.pepper)):
            await client.reply(
                401, [(b"content-type", b"text/plain")], b"admin credential needed\n"
            )
            return
    else:
        try:
            check_site(runtime.config, scope["headers"])
        except GatewayError as failure:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await client.reply(403, headers, f"{failure.error.message}\n".encode())
            return
    now = time.monotonic()
    runtime.breaker.refresh()
    targets = {label: _state_code(state, now) for label, state in runtime.health.items()}
    node = await _node_values(runtime, targets)
    process = process_values(runtime.journal, runtime.monitor, runtime.config.max_requests)
    text = await asyncio.to_thread(runtime.metrics.exposition, node, process)
    content_type = b"text/plain; version=0.0.4; charset=utf-8"
    await client.reply(200, [(b"content-type", content_type)], text)


async def _node_values(runtime: Runtime, targets: dict[str, int]) -> NodeValues:
    """Metrics that are the same in all workers of this node, with the targets' states."""
    rules = await asyncio.to_thread(budget_rules, runtime.snapshot)
    limiter, redis_limiter = runtime.limiter, runtime.redis_limiter
    return NodeValues(
        version=runtime.snapshot.version,
        targets=targets,
        database_up=not runtime.registry.unavailable,
        redis_up=None if redis_limiter is None else redis_limiter.is_up,
        budgets=remaining_budgets(limiter.counters, rules, limiter.now()),
    )


def _state_code(state: CircuitState, now: float) -> int:
    """The value of the metric dragoman_deployment_state: 0 closed, 1 half-open, 2 open."""
    if is_half_open(state, now):
        return 1
    return 0 if allows_call(state, now) else 2
