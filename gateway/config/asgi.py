"""The ASGI application: edge for model clients, Django for people, one lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from functools import partial
from types import FrameType
from typing import Any
from urllib.parse import ParseResult

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# From here on Django is set up, so models may be imported.
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.signals import request_finished
from django.db import DatabaseError, connections
from django.urls import re_path

from console.evaluation_runs import runner as evaluation_runner
from gateway import database, store
from gateway.alerts import monitor as alerts
from gateway.api.runtime import SCOPE_KEY
from gateway.config import capacity
from gateway.config.bodies import BodyLimits
from gateway.config.telemetry import start_telemetry
from gateway.database.deadline import deadline, set_default_deadline
from gateway.edge.admission import key_digest
from gateway.edge.app import ModelApi
from gateway.edge.endpoints import is_edge_path
from gateway.edge.responses_websocket import serve_websocket
from gateway.log_export import exporter as log_export
from gateway.providers.profile import Secret
from gateway.relay.cache.backend import CacheTable
from gateway.relay.exchange.stored_response import ResponseBackend
from gateway.relay.exchange.trace import Telemetry
from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.run.health_checks import start_health_checks
from gateway.relay.runtime import Config, LazyRuntime, Runtime
from gateway.relay.state.batch_guardrails import BatchGuardrailTable
from gateway.relay.state.reasoning import ReasoningTable
from gateway.relay.state.resource_owners import OwnerTable
from gateway.relay.upstream.web_search import SearchEndpoint
from gateway.relay.wiring import BatchLedger, Wiring
from gateway.store.thread import close_connection

log = logging.getLogger(__name__)


def _runtime_config() -> Config:
    pepper = store.pepper()
    admin = [value for value in (settings.MASTER_KEY, settings.ADMIN_KEY) if value]
    return Config(
        data_dir=settings.DATA_DIR,
        pepper=pepper,
        admin_digests=tuple(key_digest(value, pepper) for value in admin),
        max_body_bytes=settings.MAX_BODY_BYTES,
        max_request_items=settings.MAX_REQUEST_ITEMS,
        max_upload_bytes=settings.MAX_UPLOAD_BYTES,
        body_timeout_s=settings.BODY_TIMEOUT_S,
        allowed_hosts=tuple(settings.ALLOWED_HOSTS),
        trusted_origins=tuple(settings.CSRF_TRUSTED_ORIGINS),
        max_requests=settings.MAX_REQUESTS or capacity.requests(),
        max_large_body_bytes=capacity.large_body_bytes(settings.MAX_BODY_BYTES),
        drain_s=settings.DRAIN_S,
        log_body_bytes=settings.LOG_BODY_BYTES,
        journal_items=settings.JOURNAL_ITEMS,
        journal_bytes=settings.JOURNAL_BYTES,
        journal_disk_bytes=settings.JOURNAL_DISK_BYTES,
        journal_reserve_bytes=settings.JOURNAL_RESERVE_BYTES,
        redis_url=settings.REDIS_URL,
        cache_bytes=settings.CACHE_BYTES,
        fetch_media=settings.FETCH_MEDIA,
        web_search=_search_endpoint(),
        max_choices=settings.MAX_CHOICES,
        realtime_session_s=settings.REALTIME_SESSION_S,
        realtime_idle_s=settings.REALTIME_IDLE_S,
        model_echo=settings.MODEL_ECHO,
        trace_headers=settings.TRACE_HEADERS,
        default_provider=settings.DEFAULT_PROVIDER,
        version=settings.PROGRAM_VERSION,
    )


def _search_endpoint() -> SearchEndpoint | None:
    """The endpoint of web searches that the gateway runs; None without one."""
    if not settings.WEB_SEARCH_URL:
        return None
    return SearchEndpoint(
        url=settings.WEB_SEARCH_URL,
        format="tavily" if settings.WEB_SEARCH_FORMAT == "tavily" else "searxng",
        key=Secret(settings.WEB_SEARCH_KEY),
        timeout_s=settings.WEB_SEARCH_TIMEOUT_S,
        max_uses=settings.WEB_SEARCH_MAX_USES,
    )


def _start_telemetry() -> Telemetry | None:
    return start_telemetry(settings.OTEL, settings.PROGRAM_VERSION, access_log=settings.ACCESS_LOG)


def _drain_on_signals(runtime: Runtime, state: dict[str, Any]) -> None:
    """Announce a drain to the relay on SIGTERM and SIGINT, then call the server's handler.

    After a SIGTERM the listener stays open for DRAIN_WAIT_S: load balancers see that the node is
    not ready, and every response has `Connection: close` (through `state`). A second signal ends
    the wait. This is done here rather than in a server subclass, since every worker of a supervisor
    runs it.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        server = signal.getsignal(number)

        def end(signal_number: int, frame: FrameType | None, server: Any = server) -> None:
            runtime.begin_drain()
            if callable(server):
                server(signal_number, frame)

        def leave(signal_number: int, frame: FrameType | None, end: Any = end) -> None:
            drain_wait_s = (
                settings.DRAIN_WAIT_S
                if signal_number == signal.SIGTERM and not runtime.drain_announced
                else 0
            )
            runtime.drain_announced = state["draining"] = True
            loop.call_later(drain_wait_s, end, signal_number, frame)

        def drain(signal_number: int, frame: FrameType | None, leave: Any = leave) -> None:
            loop.call_soon_threadsafe(leave, signal_number, frame)

        if callable(server) and threading.current_thread() is threading.main_thread():
            signal.signal(number, drain)


def _check_database() -> None:
    """Raise NewerDatabase or WrongSecrets; an unreachable database is ignored."""
    try:
        with contextlib.suppress(DatabaseError):
            store.check_program()
            store.check_secrets()
    finally:
        connections.close_all()


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Build the relay before the first request, and flush its journal at shutdown."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await asyncio.to_thread(_check_database)
                runtime = await lazy_runtime.get()
            except Exception as error:
                log.debug("the start failed", exc_info=True)
                reason = f"the gateway cannot start: {type(error).__name__}: {error}"
                await send({"type": "lifespan.startup.failed", "message": reason})
                return
            _drain_on_signals(runtime, scope.get("state", {}))
            await send({"type": "lifespan.startup.complete"})
        else:
            if lazy_runtime.current is not None:
                await lazy_runtime.current.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _prune_expired_rows() -> None:
    with deadline(PRUNE_S):
        store.prune()


def _start_services(runtime: Runtime) -> None:
    start_health_checks(runtime)
    evaluation_runner.start_runner(runtime)
    alerts.start_monitor(runtime, settings.ALERT_INTERVAL_S)
    log_export.start_log_export(
        runtime,
        settings.LOG_EXPORT_URL,
        settings.LOG_EXPORT_INTERVAL_S,
        bodies=settings.LOG_EXPORT_BODIES,
    )


# Many old rows may be due, and few statements delete them.
PRUNE_S = 600.0
set_default_deadline(settings.DATABASE_TIMEOUT_S)
lazy_runtime = LazyRuntime(
    _runtime_config,
    Wiring(
        registry=RegistryStore(
            load_snapshot=store.load_snapshot,
            current_version=store.current_version,
            recorded_spend=store.recorded_spend,
            abandon_idle_connections=database.mark_connections_suspect,
            store_snapshot=store.store_snapshot,
            read_stored_snapshot=store.load_stored_snapshot,
        ),
        log=LogStore(
            write=store.write,
            checkpoint=store.checkpoint_when_due,
            index_pending=store.index_pending,
            prune=_prune_expired_rows,
        ),
        responses=ResponseBackend(
            load=store.load_response,
            save=store.save_response,
            cancel=store.cancel_response,
            heartbeat=store.refresh_heartbeats,
            close=connections.close_all,
        ),
        cache=CacheTable(
            store.read_cached_response, store.write_cached_responses, store.new_cache_keys
        ),
        reasoning=ReasoningTable(store.find_reasoning, store.store_reasoning),
        owners=OwnerTable(store.remember_owner, store.owned_ids),
        write_spans=store.write_spans,
        batch_guardrails=BatchGuardrailTable(store.record_guardrails, store.guardrails_of),
        batch_ledger=BatchLedger(store.record_results_file, store.batch_of, store.settle_batch),
        close=connections.close_all,
        on_started=_start_services,
        start_telemetry=_start_telemetry,
    ),
)


def _close_connection(**kwargs: Any) -> None:
    """Close the database connection of the request that has ended.

    Django serves each request in a thread of its own, so no other request could reuse it; without
    this it stays open until Python's garbage collection.
    """
    close_connection()


request_finished.connect(_close_connection)
model_api = ModelApi(lazy_runtime)
pages = BodyLimits(django_application)


def http(scope: dict[str, Any], receive: Any, send: Any) -> Any:
    """Dispatch a request to the edge or to Django.

    One check of the path: Channels' URLRouter would try its patterns at each request.
    """
    if is_edge_path(scope["path"]):
        return model_api(scope, receive, send)
    return pages({**scope, SCOPE_KEY: lazy_runtime}, receive, send)


class AllowedOrigins(OriginValidator):  # type: ignore[misc]
    """Allows programs, which send no origin, and pages of this site; rejects other sites."""

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Whether connections from this origin are allowed."""
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


# `serve_websocket` selects the endpoint, and rejects paths without a WebSocket in the dialect.
sockets = URLRouter([re_path("", partial(serve_websocket, lazy_runtime))])  # type: ignore[arg-type]
websocket = AllowedOrigins(sockets, [*settings.ALLOWED_HOSTS, *settings.CSRF_TRUSTED_ORIGINS])
application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
