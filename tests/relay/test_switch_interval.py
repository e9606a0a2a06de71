"""The GIL switch interval: a computing thread does not block the event loop."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.relay.runtime import reduce_loop_delays

CALLS = 20


@pytest.fixture
def _restore_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def system_calls_s() -> list[float]:
    """Return the seconds of short system calls while a thread computes, of five runs.

    On a busy machine the thread does not run all the time, and a run is then shorter than usual.
    """
    ended = threading.Event()
    thread = threading.Thread(target=lambda: [None for _ in iter(ended.is_set, True)])
    thread.start()
    durations_s = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(CALLS):
            time.sleep(0.0001)
        durations_s.append(time.perf_counter() - started)
    ended.set()
    thread.join()
    return durations_s


@pytest.mark.usefixtures("_restore_switch_interval")
def test_system_calls_return_quickly_beside_a_busy_thread() -> None:
    sys.setswitchinterval(0.005)
    usual_s = max(system_calls_s())
    reduce_loop_delays()
    assert min(system_calls_s()) < usual_s / 4
