"""What every test of the console relies on."""

from __future__ import annotations

import pytest

from console.pages.requests import histogram, log_search, sessions


@pytest.fixture(autouse=True)
def patient_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of a few rows ends: on a busy machine it may take longer than a page would wait."""
    for module in (histogram, log_search, sessions):
        monkeypatch.setattr(module, "BUDGET_S", 30.0)
    monkeypatch.setattr(log_search, "SORT_BUDGET_S", 30.0)
