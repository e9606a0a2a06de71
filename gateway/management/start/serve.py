"""Serving with uvicorn: one process, or one per worker behind one socket."""

from __future__ import annotations

import os
import socket
import tempfile

import uvicorn
from uvicorn.supervisors import Multiprocess

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
        http="httptools",
        ws="none",
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
    """A listening socket. Raises OSError, for instance when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def serve(listener: socket.socket, *, workers: int, drain_s: float) -> None:
    """Serve until a signal; returns after the drain."""
    host, port = listener.getsockname()[:2]
    settings = config(host, port, workers, drain_s)
    if workers == 1:
        uvicorn.Server(settings).run(sockets=[listener])
        return
    with tempfile.TemporaryDirectory(prefix="dragoman-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        Multiprocess(settings, sockets=[listener]).run()
