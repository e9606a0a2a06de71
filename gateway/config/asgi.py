"""The ASGI application: edge for model clients, Django for people, one lifespan."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any
from urllib.parse import ParseResult

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# After Django is set up: models may be imported from here on.
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.db import connections

from gateway import store
from gateway.edge import keys
from gateway.edge.app import app as edge
from gateway.edge.endpoints import is_edge
from gateway.edge.responses_socket import socket
from gateway.relay import checks, runtime
from gateway.relay.kept import Shelf
from gateway.relay.ledger import Ledger
from gateway.relay.runtime import Config, Wiring


def _version() -> str:
    try:
        return version("dragoman")
    except PackageNotFoundError:
        return "0.1.0"


def _config() -> Config:
    pepper = store.pepper()
    admin = [value for value in (settings.MASTER_KEY, settings.ADMIN_KEY) if value]
    return Config(
        data_dir=settings.DATA_DIR,
        pepper=pepper,
        admin_digests=tuple(keys.digest(value, pepper) for value in admin),
        max_body_bytes=settings.MAX_BODY_BYTES,
        max_upload_bytes=settings.MAX_UPLOAD_BYTES,
        body_timeout_s=settings.BODY_TIMEOUT_S,
        drain_s=settings.DRAIN_S,
        log_body_bytes=settings.LOG_BODY_BYTES,
        journal_items=settings.JOURNAL_ITEMS,
        journal_bytes=settings.JOURNAL_BYTES,
        redis_url=settings.REDIS_URL,
        cache_bytes=settings.CACHE_BYTES,
        fetch_media=settings.FETCH_MEDIA,
        version=_version(),
    )


def _drain_at_signals(live: runtime.Runtime) -> None:
    """At SIGTERM and SIGINT tell the relay first, then do what the server set up.

    Here and not in a server's subclass: each worker of a supervisor comes past here.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        server = signal.getsignal(number)

        def drain(caught: int, frame: FrameType | None, server: Any = server) -> None:
            loop.call_soon_threadsafe(live.begin_drain)
            if callable(server):
                server(caught, frame)

        if callable(server) and threading.current_thread() is threading.main_thread():
            signal.signal(number, drain)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Build the relay before the first request, and let it write its journal at the end."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _drain_at_signals(await runtime.ensure())
            await send({"type": "lifespan.startup.complete"})
        else:
            current = runtime.current()
            if current is not None:
                await current.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


runtime.install(
    _config,
    Wiring(
        load_snapshot=store.load_snapshot,
        current_version=store.current_version,
        write=store.write,
        idle=store.index_pending,
        close=connections.close_all,
        spent=store.spent,
        responses=Shelf(
            load=store.load_response,
            save=store.save_response,
            cancel=store.cancel_response,
            beat=store.beat_responses,
            close=connections.close_all,
        ),
        keep=store.keep,
        kept=store.kept,
        batches=Ledger(store.has_results, store.batch_of, store.settle_batch),
        find_reasoning=store.find_reasoning,
        keep_reasoning=store.keep_reasoning,
        upkeep=store.prune,
        started=checks.begin,
        read_answer=store.read_answer,
        write_answers=store.write_answers,
        new_answers=store.new_answers,
    ),
)


def http(scope: dict[str, Any], receive: Any, send: Any) -> Any:
    """The edge's or Django's answer; a URLRouter would ask its patterns at each request."""
    application: Any = edge if is_edge(scope["path"]) else django_application
    return application(scope, receive, send)


class Origins(OriginValidator):  # type: ignore[misc]
    """Lets programs in, which name no origin, and pages of this site; other sites' are refused."""

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Whether a connection may come from there."""
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


websocket = Origins(socket, [*settings.ALLOWED_HOSTS, *settings.CSRF_TRUSTED_ORIGINS])
application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
