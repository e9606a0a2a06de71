"""A TCP proxy that can fall silent: it reads data and forwards nothing."""

from __future__ import annotations

import contextlib
import socket
import threading


class SilentProxy:
    """A proxy in front of a server, on its own port.

    Data read while it is silent is lost, and so are the connections of that time, like those to a
    failed host.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        # Connections made before this number forward no more.
        self._dead_before = 0
        self._made = 0
        self._silent = False
        self._sockets: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def fail_over(self) -> None:
        """Silence all present connections; new ones reach the server."""
        self._dead_before = self._made

    def go_silent(self) -> None:
        """Silence new connections as well."""
        self._silent = True
        self.fail_over()

    def forward_again(self) -> None:
        """Forward new connections again."""
        self.fail_over()
        self._silent = False

    def close(self) -> None:
        """Stop, and close all connections."""
        # Closing alone wakes no thread that waits in `accept` or `recv`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for listener in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self._made = self._made, self._made + 1
            self._sockets.append(client)
            if self._silent:
                self._dead_before = self._made
                continue
            server = socket.create_connection(self._target)
            self._sockets.append(server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(
                    target=self._forward, args=(number, source, sink), daemon=True
                ).start()

    def _forward(self, number: int, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if number >= self._dead_before:
                    sink.sendall(data)
            if number >= self._dead_before:
                sink.shutdown(socket.SHUT_WR)
