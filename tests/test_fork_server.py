"""The process that the tests fork gateways from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fork_server import ROOT, ForkedProcess

SLEEP = ["shell", "--no-imports", "-v", "0", "-c", "import time; print('asleep'); time.sleep(100)"]
# Starts a process, and ends without stopping it.
LEAVES_A_PROCESS = f"""
import os
from pathlib import Path
from tests.fork_server import ForkedProcess
print(ForkedProcess({SLEEP!r}, environment=dict(os.environ), output=Path("/dev/null")).pid)
"""


def test_a_process_has_its_output_and_exit_status(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(tmp_path)}
    process = ForkedProcess(["version"], environment=environment, output=output)
    assert process.wait(60) == process.poll() == 0
    assert output.read_text().startswith("dragoman ")
    assert ForkedProcess(["no-command"], environment=environment, output=output).wait(60) == 1
    assert "Unknown command" in output.read_text()


def test_a_killed_process_has_the_signal_as_its_status(tmp_path: Path) -> None:
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(tmp_path)}
    process = ForkedProcess(SLEEP, environment=environment, output=tmp_path / "output.txt")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def test_a_process_that_is_left_running_does_not_hold_the_tests(tmp_path: Path) -> None:
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LEAVES_A_PROCESS]
    completed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, timeout=30, check=True
    )
    os.kill(int(completed.stdout), signal.SIGKILL)
