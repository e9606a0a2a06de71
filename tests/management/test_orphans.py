"""Where the kernel does not tell a worker that its supervisor is gone, it looks for itself."""

from __future__ import annotations

import os
import signal

import pytest

from gateway.management.start import orphans
from tests.waits import until


@pytest.mark.parametrize("told", [True, False])
def test_a_process_whose_parent_is_gone_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(orphans, "_signal_on_parent_death", lambda: told)
    monkeypatch.setattr(orphans, "_LOOK_S", 0.001)
    monkeypatch.setattr(orphans.os, "kill", lambda *signal_: sent.append(signal_))
    parent = os.getppid()
    orphans.end_with(parent)
    assert not sent
    if told:
        orphans.end_with(parent + 1)
    else:
        monkeypatch.setattr(orphans.os, "getppid", lambda: parent + 1)
    until(lambda: sent)
    assert sent[0] == (os.getpid(), signal.SIGINT)
