"""A Redis server for tests: started on a free port, stopped and deleted at the end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import accepts_connections, free_port
from tests.waits import WAIT_TIMEOUT_S, wait_until


class RedisServer:
    """A running redis-server."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL; its timeouts are long, because a busy machine responds slowly."""
        waits = f"socket_timeout={WAIT_TIMEOUT_S}&socket_connect_timeout={WAIT_TIMEOUT_S}"
        return f"redis://127.0.0.1:{self.port}/0?{waits}"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: accepts_connections(self.port))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextmanager
def running_server(directory: Path) -> Iterator[RedisServer]:
    """Run a Redis until the block ends. Skip the test if it is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed; `apt-get install redis-server`")
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
