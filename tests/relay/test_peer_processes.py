"""Processes of a data directory notify each other of changes and wait for replies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.relay.peer_processes import PeerProcesses
from tests.waits import WAIT_TIMEOUT_S


@contextmanager
def listening_process(directory: Path, *, answers: bool = True) -> Iterator[list[bool]]:
    """Run another process; yield the messages it received."""
    messages: list[bool] = []
    finished = threading.Event()
    siblings = PeerProcesses(directory)

    def listen() -> None:
        while not finished.is_set():
            if siblings.wait_change(WAIT_TIMEOUT_S) and not finished.is_set():
                messages.append(True)
                if answers:
                    siblings.acknowledge()

    thread = threading.Thread(target=listen)
    thread.start()
    yield messages
    finished.set()
    siblings.wake()
    thread.join()
    siblings.close()


def test_notify_change_waits_for_all_processes(tmp_path: Path) -> None:
    local = PeerProcesses(tmp_path)
    with listening_process(tmp_path) as first, listening_process(tmp_path) as other:
        assert local.notify_change(WAIT_TIMEOUT_S) == 0
        assert (first, other) == ([True], [True])
    local.close()
    assert list(tmp_path.iterdir()) == []


def test_the_wait_for_an_unresponsive_process_times_out(tmp_path: Path) -> None:
    local = PeerProcesses(tmp_path)
    with listening_process(tmp_path, answers=False):
        start = time.monotonic()
        assert local.notify_change(0.05) == 1
        assert time.monotonic() - start < WAIT_TIMEOUT_S
    local.close()


def test_notify_change_does_not_wait_for_a_dead_process(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from gateway.relay.peer_processes import PeerProcesses
        held = PeerProcesses(Path(sys.argv[1]))
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as dead:
        assert dead.stdout is not None
        dead.stdout.readline()
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
    local = PeerProcesses(tmp_path)
    assert local.notify_change(WAIT_TIMEOUT_S) == 0
    local.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_socket_path_works(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    local = PeerProcesses(deep)
    with listening_process(deep) as listener_messages:
        assert local.notify_change(WAIT_TIMEOUT_S) == 0
        assert listener_messages == [True]
    local.close()


def test_a_process_without_a_socket_continues(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    local = PeerProcesses(tmp_path / "file")
    assert not local.wait_change(0.01)
    assert local.notify_change(0.01) == 0
    local.close()
