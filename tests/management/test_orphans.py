"""A worker polls for its supervisor's end where the kernel does not signal it."""

from __future__ import annotations

import os
import signal

import pytest

from gateway.management.start import orphans
from tests.waits import wait_until


@pytest.mark.parametrize("value", [True, False])
def test_a_process_without_its_parent_is_sent_a_signal(
    monkeypatch: pytest.MonkeyPatch, *, value: bool
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(orphans, "_signal_on_parent_death", lambda: value)
    monkeypatch.setattr(orphans, "_CHECK_INTERVAL_S", 0.001)
    monkeypatch.setattr(orphans.os, "kill", lambda *signal_: signals.append(signal_))
    parent = os.getppid()
    orphans.exit_with_parent(parent)
    assert not signals
    if value:
        orphans.exit_with_parent(parent + 1)
    else:
        monkeypatch.setattr(orphans.os, "getppid", lambda: parent + 1)
    wait_until(lambda: signals)
    assert signals[0] == (os.getpid(), signal.SIGINT)
