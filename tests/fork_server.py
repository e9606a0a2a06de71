"""Starts gateways by forking a process that has already imported most of their modules.

A gateway that imports them by itself takes two to three times the processor time to start, and
the tests start hundreds. `tests/e2e/test_up.py` starts it as users do.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# They read no settings. `gateway.edge` is not here: each process has a prefix of request ids.
MODULES = ("gateway.relay.wiring", "uvicorn.main", "pydantic", "django.contrib.admin.options")


class ForkedProcess:
    """A process of the fork server, used like a `subprocess.Popen`."""

    def __init__(
        self, arguments: Sequence[str], *, environment: dict[str, str], output: Path
    ) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(_address()))
        request = {"arguments": arguments, "environment": environment, "output": str(output)}
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        # Its process id when it was forked, its exit status when it has ended.
        self._lines = self._connection.makefile("r", encoding="ascii")
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and return its exit status, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


@functools.cache
def _address() -> Path:
    """Return the socket of this process' fork server, which is started for it."""
    directory = Path(tempfile.mkdtemp(prefix="dragoman-fork-"))
    address = directory / "socket"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", str(address)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    assert server.stdin is not None
    assert server.stdout is not None
    # It ends with its input. Not `communicate`, which also waits for processes that are left.
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    with server.stdout:
        assert server.stdout.readline() == b"ready\n"
    return address


def _serve(address: str) -> dict[str, object]:
    """Fork for each connection until the end of stdin; return a request in its new process."""
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            connection, _peer = listener.accept()
            if ready and os.fork() == 0:
                break
            connection.close()
        else:
            sys.exit()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile("r", encoding="utf-8") as lines:
        request = json.loads(lines.readline())
        pid = os.fork()
        if pid:
            # Whoever reads the output of the tests does not wait for this process.
            for number in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            connection.sendall(b"%d\n" % pid)
            _pid, status = os.waitpid(pid, 0)
            # The test may have ended before its process.
            with contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
    return dict(request)


def _become_server(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Run `manage.py` with these arguments, in a process group of its own."""
    os.setsid()
    standard_output = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, standard_output)):
        os.dup2(source, number)
    os.dup2(1, 2)
    # A file is not a terminal: like PYTHONUNBUFFERED, each line is written at once.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    faulthandler.enable()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["manage.py", *arguments]

    from gateway.cli import main

    main()


if __name__ == "__main__":
    _become_server(**_serve(sys.argv[1]))  # type: ignore[arg-type]
