"""Serving with uvicorn: one process, or one per worker behind one socket."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
from types import FrameType

import uvicorn
from django.conf import settings
from django.core.management.base import CommandError
from uvicorn.supervisors import Multiprocess

from gateway.management.start.protocol import Protocol, SocketProtocol

APPLICATION = "gateway.config.asgi:application"


def config(host: str, port: int, workers: int, drain_s: float) -> uvicorn.Config:
    """What both forms of serving share. Timeouts in seconds."""
    return uvicorn.Config(
        APPLICATION,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop" if _has_uvloop() else "asyncio",
        # httptools refuses a body with two lengths; h11 carries it out.
        http=Protocol,
        ws=SocketProtocol,
        ws_max_size=settings.MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401 - not on Windows
    except ImportError:
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CommandError with what to do, as when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise CommandError(f"cannot listen on {host}:{port}: {_why(error)}") from None
    listener.set_inheritable(True)
    return listener


def _why(error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "a port is a number from 0 to 65535"
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it, or choose another --port"
    if error.errno == errno.EACCES:
        return "ports below 1024 are for the system; choose another --port"
    return error.strerror or str(error)


def serve(listener: socket.socket, *, workers: int, drain_s: float) -> None:
    """Serve until a signal; returns, or exits with 0, after the drain."""
    host, port = listener.getsockname()[:2]
    served = config(host, port, workers, drain_s)
    if workers == 1:
        # uvicorn raises the signal again when it is done, for whoever ran before it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        uvicorn.Server(served).run(sockets=[listener])
        return
    with tempfile.TemporaryDirectory(prefix="dragoman-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        Multiprocess(served, sockets=[listener]).run()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
