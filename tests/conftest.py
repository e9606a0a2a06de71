"""What all tests share: under CI nothing may be missing, so there a skip is a failure.

A test that needs a part which is not on this machine skips and says how to get it.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings

from tests.waits import PATIENCE_S

# How fast examples come says how busy the machine is, not whether the code is right.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# By itself a client gives up after 5 s.
for name in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, name, PATIENCE_S)

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    """The present, which stands: no hour, day or month begins amid the test."""
    now = timezone.now().replace(hour=12, minute=30, second=15)
    now -= dt.timedelta(days=1 if now > timezone.now() else 0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """A test that skips itself."""
    return _strict((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    """A module that skips itself as a whole."""
    return _strict((yield))


def _strict(report: Any) -> Any:
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"under CI nothing may be missing: {reason}"
    return report
