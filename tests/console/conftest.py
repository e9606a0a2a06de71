"""Fixtures of all console tests."""

from __future__ import annotations

import pytest

from console.pages.requests import histogram, log_search, sessions


@pytest.fixture(autouse=True)
def patient_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the time limit of searches for busy machines."""
    for module in (histogram, log_search, sessions):
        monkeypatch.setattr(module, "BUDGET_S", 30.0)
    monkeypatch.setattr(log_search, "SORT_BUDGET_S", 30.0)
