"""What an operator's tools ask: health and metrics. No ORM, no key but for metrics."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from gateway.edge import keys
from gateway.edge.admit import is_admin
from gateway.relay.call import Client
from gateway.relay.runtime import Runtime
from gateway.routing.health import State, half_open, usable

_LOOPBACK = ("127.", "::1")


async def answer(runtime: Runtime, scope: dict[str, Any], client: Client) -> None:
    """Answer a request below /health or at /metrics."""
    path = scope["path"].rstrip("/")
    if path == "/metrics":
        await _metrics(runtime, scope, client)
        return
    status, content = _health(runtime, path)
    body = b"" if scope["method"] == "HEAD" else msgspec.json.encode(content)
    await client.reply(status, [(b"content-type", b"application/json")], body)


def _health(runtime: Runtime, path: str) -> tuple[int, Any]:
    match path:
        case "/health/live":
            return 200, {"status": "live"}
        case "/health/liveliness" | "/health/liveness":
            return 200, "I'm alive!"  # LiteLLM's paths, and its answer
        case "/health/ready":
            reasons = ["draining"] if runtime.draining else []
            status = 503 if reasons else 200
            return status, {"status": "unready" if reasons else "ready", "reasons": reasons}
        case "/health/readiness":
            # LiteLLM's path and answer. Without its database the gateway goes on answering.
            if runtime.draining:
                return 503, {"status": "shutting_down"}
            return 200, {
                "status": "healthy",
                "db": "disconnected" if runtime.database_away else "connected",
            }
        case "/health":
            return 200, _summary(runtime)
        case _:
            return 404, {"error": f"there is nothing at {path[:200]}"}


def _summary(runtime: Runtime) -> dict[str, Any]:
    snapshot, counters = runtime.snapshot, runtime.journal.counters
    return {
        "status": "draining" if runtime.draining else "ok",
        "version": runtime.config.version,
        "registry": snapshot.version,
        "routes": len(snapshot.routes),
        "left_out": len(snapshot.warnings),
        "journal": {"waiting": runtime.journal.depth, **msgspec.structs.asdict(counters)},
    }


async def _metrics(runtime: Runtime, scope: dict[str, Any], client: Client) -> None:
    peer = (scope.get("client") or ("",))[0]
    if not peer.startswith(_LOOPBACK):
        token = keys.token_from(scope["headers"], b"")
        if not token or not is_admin(runtime, keys.digest(token, runtime.config.pepper)):
            await client.reply(
                401, [(b"content-type", b"text/plain")], b"admin credential needed\n"
            )
            return
    now = time.monotonic()
    cooling = {label: _position(state, now) for label, state in runtime.health.items()}
    text = runtime.metrics.exposition(
        runtime.journal.counters, runtime.journal.depth, runtime.snapshot.version, cooling
    )
    kind = b"text/plain; version=0.0.4; charset=utf-8"
    await client.reply(200, [(b"content-type", kind)], text)


def _position(state: State, now: float) -> int:
    """As dragoman_deployment_state has it."""
    if half_open(state, now):
        return 1
    return 0 if usable(state, now) else 2
