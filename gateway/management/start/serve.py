"""Serving with uvicorn: one process, or several workers behind one socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import CommandError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from gateway.management.start import orphans, restarts
from gateway.management.start.protocol import Protocol
from gateway.management.start.websocket_protocol import SocketProtocol
from gateway.relay.run import readiness

log = logging.getLogger(__name__)

APPLICATION = "gateway.config.asgi:application"


# Ticks of uvicorn's main loop, ten a second, between two looks at the files of the certificate.
_CERTIFICATE_TICKS = 20
# A worker that does not answer for this long is replaced. On a busy machine, the import of the
# program, before which it cannot answer, takes longer than uvicorn's limit of 5 seconds.
_WORKER_TIMEOUT_S = 30


class Certificate:
    """The certificate to serve HTTPS with: PEM files, read again when they change."""

    def __init__(self, certfile: str, keyfile: str | None) -> None:
        self.certfile, self.keyfile = certfile, keyfile
        self._version = self._read_version()

    def load(self, context: ssl.SSLContext) -> None:
        """Load it for new connections. Raises OSError or ssl.SSLError."""
        # Without a password, OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(self.certfile, self.keyfile, password="")

    def reload_if_changed(self, context: ssl.SSLContext) -> None:
        """Load a renewed certificate; an unusable one is logged, and the old one stays in use."""
        version = self._read_version()
        if version == self._version:
            return
        self._version = version
        try:
            self.load(context)
        except (OSError, ssl.SSLError) as error:
            log.error(
                "a renewed TLS certificate is unusable", extra={"reason": self.describe(error)}
            )
        else:
            log.info("the renewed TLS certificate is in use")

    def describe(self, error: OSError | ssl.SSLError) -> str:
        """Why it cannot be loaded, naming the files."""
        files = self.certfile if self.keyfile is None else f"{self.certfile} and {self.keyfile}"
        if not isinstance(error, ssl.SSLError):
            reason = error.strerror or str(error)
        elif error.reason == "KEY_VALUES_MISMATCH":
            reason = "the key is not that of the certificate"
        else:
            reason = "no certificate with its unencrypted key in PEM format"
        return f"the TLS certificate cannot be used ({files}): {reason}"

    def _read_version(self) -> tuple[int, ...]:
        """Modification times of its files in nanoseconds; 0 for one that is missing."""
        times = []
        for path in filter(None, (self.certfile, self.keyfile)):
            try:
                times.append(Path(path).stat().st_mtime_ns)
            except OSError:
                times.append(0)
        return tuple(times)


def config(
    host: str, port: int, workers: int, drain_s: float, certificate: Certificate | None = None
) -> uvicorn.Config:
    """Return the configuration of both modes. Timeouts in seconds."""
    return uvicorn.Config(
        ssl_certfile=certificate.certfile if certificate is not None else None,
        ssl_keyfile=certificate.keyfile if certificate is not None else None,
        app=APPLICATION,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop" if _has_uvloop() else "asyncio",
        # httptools rejects a body with two lengths; h11 accepts it.
        http=Protocol,
        ws=SocketProtocol,
        ws_max_size=settings.MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(settings.TRUSTED_PROXIES),
        forwarded_allow_ips=settings.TRUSTED_PROXIES,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        timeout_worker_healthcheck=_WORKER_TIMEOUT_S,
    )


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401 - not on Windows
    except ImportError:
        return False
    return True


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, which refuses connections until a server listens on it.

    Connections that wait while a node starts would be lost time for their clients: refused, a
    proxy sends the request to another node.

    Raises:
        CommandError: with a remedy, e.g. if the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise CommandError(f"cannot listen on {host}:{port}: {_bind_error_reason(error)}") from None
    listener.set_inheritable(True)
    return listener


def _bind_error_reason(error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "the port must be a number from 0 to 65535"
    if error.errno == errno.EADDRINUSE:
        return "another program uses this port; stop it, or choose another --port"
    if error.errno == errno.EACCES:
        return "ports below 1024 are reserved for the system; choose another --port"
    return error.strerror or str(error)


class Server(uvicorn.Server):
    """uvicorn's server, which at shutdown still serves connections waiting to be accepted.

    A renewed certificate is used for new connections, within seconds.
    """

    certificate: Certificate | None = None
    # Called once the server accepts connections.
    announce: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        try:
            await super().startup(sockets)
        except OSError as error:  # another program has started to listen on the port meanwhile
            log.error("cannot listen", extra={"reason": _bind_error_reason(error)})
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        if self.announce is not None:
            self.announce()

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn's main loop."""
        context = self.config.ssl if self.config.is_ssl else None
        if context is not None and counter % _CERTIFICATE_TICKS == 0:
            self.certificate = self.certificate or Certificate(
                str(self.config.ssl_certfile),
                str(self.config.ssl_keyfile) if self.config.ssl_keyfile else None,
            )
            self.certificate.reload_if_changed(context)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, then let running requests finish."""
        loop = asyncio.get_running_loop()
        pending_connections = _accept_all(sockets or [])
        for server in self.servers:
            server.close()
        for connection in pending_connections:
            await loop.connect_accepted_socket(
                self._create_protocol,
                connection,
                ssl=self.config.ssl if self.config.is_ssl else None,
            )
        await super().shutdown(sockets)

    def _create_protocol(self) -> Protocol:
        return Protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _accept_all(listeners: list[socket.socket]) -> list[socket.socket]:
    """Accept the pending connections, which would be reset when their listener closes."""
    connections = []
    for listener in listeners:
        listener.settimeout(0)
        with contextlib.suppress(OSError):  # no more pending connections
            while True:
                connections.append(listener.accept()[0])
    return connections


def _is_listening(listener: socket.socket) -> bool:
    """Whether a process that shares this socket accepts connections on it."""
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class Worker(multiprocess.Process):
    """A serving process, which ends when its supervisor is gone."""

    # Counter that the supervisor shares with its workers.
    missing_workers: Any = None

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._supervisor = os.getpid()
        self._missing_workers = self.missing_workers
        self.started_at = 0.0

    @property
    def server(self) -> uvicorn.Server:
        """The server of this worker."""
        if self._server is None:
            self._server = Server(config=self.config)
        return self._server

    def start(self) -> None:
        """Start the process."""
        self.started_at = time.monotonic()
        super().start()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        gc.set_threshold(500_000)  # as in cli.py
        orphans.exit_with_parent(self._supervisor)
        # Of a closed terminal; the supervisor, which gets it too, replaces one after the other.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        readiness.use_missing_workers(self._missing_workers)
        super().target(sockets)


class Supervisor(Multiprocess):
    """uvicorn's supervisor of workers, with a limit on restarts.

    Attributes:
        failure: why it gave up, in a sentence; empty if it did not.
    """

    processes: list[Worker]  # type: ignore[assignment]

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        *,
        announce: Callable[[], None],
    ) -> None:
        super().__init__(config, sockets)
        self.failure = ""
        self._announce: Callable[[], None] | None = announce
        self._policy = restarts.RestartPolicy()
        # Slots of dead workers that are not replaced yet -> the time of their replacement.
        self._restart_at_by_worker: dict[Worker, float] = {}
        Worker.missing_workers = RawValue("i", 0)

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers: immediately, or after a delay if they die repeatedly."""
        if self._announce is not None and _is_listening(self.sockets[0]):
            self._announce()
            self._announce = None
        for slot, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if worker not in self._restart_at_by_worker:
                if worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                    continue
                self._record_worker_death(slot, worker)
            if (
                time.monotonic() >= self._restart_at_by_worker[worker]
                and not self.should_exit.is_set()
            ):
                del self._restart_at_by_worker[worker]
                self.processes[slot] = Worker(self.config, self.sockets)
                self.processes[slot].start()
        running = set(self.processes)
        self._restart_at_by_worker = {
            worker: restart_at
            for worker, restart_at in self._restart_at_by_worker.items()
            if worker in running
        }
        Worker.missing_workers.value = len(self._restart_at_by_worker)

    def _record_worker_death(self, slot: int, worker: Worker) -> None:
        """Record the death of a worker and when to replace it; or give up."""
        worker.kill()  # it may hang instead of being dead
        worker.join()
        now = time.monotonic()
        delay_s = self._policy.record_death(slot, now, now - worker.started_at)
        self._restart_at_by_worker[worker] = now + delay_s
        extra = {"pid": worker.pid, "exit_code": worker.exitcode, "restart_in_s": delay_s}
        log.error("a worker process died", extra=extra)
        start_times = [
            sibling.started_at
            for sibling in self.processes
            if sibling not in self._restart_at_by_worker
        ]
        if worker.exitcode == STARTUP_FAILURE:
            self._give_up("the gateway did not start; see the messages above")
        elif self._policy.gives_up(now, now - min(start_times, default=now)):
            self._give_up(
                f"the gateway stops: {restarts.MAX_DEATHS} workers died within "
                f"{restarts.WINDOW_S / 60:g} minutes, and none ran for a minute; see the "
                "messages above for their exit codes (-9: killed, for example for lack of "
                "memory)"
            )

    def _give_up(self, failure: str) -> None:
        self.failure = failure
        self.should_exit.set()

    def terminate_all(self) -> None:
        """Send SIGTERM to the workers, and close the listener.

        The workers have the listener too: once the last of them closes it, connections are refused
        instead of waiting in the backlog of a process that does not accept.
        """
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        """Wait for the workers; a second signal is passed on, and shortens their drain."""
        while any(worker.process.is_alive() for worker in self.processes):
            if self.signal_queue:
                self.signal_queue.clear()
                super().terminate_all()
            time.sleep(0.1)
        super().join_all()


# uvicorn's supervisor has no other hook for its worker class.
multiprocess.Process = Worker  # type: ignore[misc]


def serve(
    listener: socket.socket,
    *,
    workers: int,
    drain_s: float,
    announce: Callable[[], None],
    certificate: Certificate | None = None,
) -> None:
    """Serve until a signal; return, or exit with 0, after the drain.

    `announce` is called once connections are accepted.
    """
    host, port = listener.getsockname()[:2]
    server_config = config(host, port, workers, drain_s, certificate)
    if workers == 1:
        # After the shutdown, uvicorn raises the signal again for the previous handler.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _exit_on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else `nohup` has ignored it
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        server = Server(server_config)
        server.announce = announce
        server.run(sockets=[listener])
        if not server.started:
            raise CommandError("the gateway did not start; see the messages above", returncode=3)
        return
    with tempfile.TemporaryDirectory(prefix="dragoman-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        supervisor = Supervisor(server_config, sockets=[listener], announce=announce)
        supervisor.run()
    if supervisor.failure:
        raise CommandError(supervisor.failure, returncode=3)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
