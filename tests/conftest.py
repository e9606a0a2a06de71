"""What all tests share: a data directory of their own, and honest skips.

A test that needs a part that is not there skips and says how to get it; under CI
nothing may be missing, so there the skip is a failure.
"""

from __future__ import annotations

import os
import tempfile

# Before anything reads the settings: tests never touch a developer's data.
_DATA = tempfile.mkdtemp(prefix="dragoman-tests-")
os.environ["DRAGOMAN_DATA_DIR"] = _DATA
for _name in [
    name for name in os.environ if name.startswith("DRAGOMAN_") and name != "DRAGOMAN_DATA_DIR"
]:
    del os.environ[_name]

from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"under CI nothing may be skipped: {reason}"
