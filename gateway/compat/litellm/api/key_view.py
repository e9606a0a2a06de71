"""Renders a key as LiteLLM does: `LiteLLM_VerificationToken` of litellm/models (1.106.2).

`token` is the public prefix of the secret, where LiteLLM has a hash of the whole key: it
identifies the key wherever LiteLLM accepts a hash.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.utils import timezone

from gateway.compat.litellm.api import team_rows
from gateway.compat.litellm.api.fields import BUDGET_DURATIONS, LIMITS, SPANS
from gateway.models import ApiKey, UsageHour
from gateway.routing.limits import calendar_window, window_start
from gateway.store.documents import KINDS

_KEYS = KINDS["keys"]


class Spending:
    """Spend of the keys per budget window; each window is queried once."""

    def __init__(self) -> None:
        self._now = timezone.now().timestamp()
        self._sums: dict[str, dict[int, Decimal]] = {}

    def usd_of(self, row: ApiKey, span: str) -> float:
        """Return the known spend of a key in a window, in US dollars."""
        if span not in self._sums:
            since = window_start(self._now, span) if span != "total" else None
            self._sums[span] = UsageHour.objects.in_range(since).spend_by_key()
        return float(self._sums[span].get(row.pk, Decimal(0)))

    def resets_at(self, span: str) -> dt.datetime | None:
        """Return when a budget window ends; None for `total`."""
        window_end = calendar_window(self._now, span)[1]
        return dt.datetime.fromtimestamp(window_end, dt.UTC) if window_end is not None else None


def settings_of(row: ApiKey) -> dict[str, Any]:
    """Return the settable fields by their LiteLLM names; the inverse of `to_document`."""
    document = _KEYS.read(row)
    return {
        "key_alias": None if row.name == row.prefix else row.name,
        "models": document["routes"],
        "tags": document["tags"],
        "guardrails": document["guardrails"],
        "team_id": team_rows.id_of(row.team) if row.team is not None else None,
        "user_id": document["user"] or None,
        **amounts_of(document),
    }


def amounts_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the limits and the budget of a document by their LiteLLM names."""
    limits, budget = document["limits"], document["budget"]
    windows = [(span, float(usd)) for span in SPANS if (usd := budget[f"{span}_usd"]) is not None]
    top = windows[0] if windows else None
    percent = budget["soft_percent"]
    return {
        **{field: limits[name] for field, name in LIMITS.items()},
        "max_budget": top[1] if top else None,
        "budget_duration": BUDGET_DURATIONS.get(top[0]) if top else None,
        "budget_limits": [
            {"budget_duration": BUDGET_DURATIONS[span], "max_budget": usd}
            for span, usd in windows[1:]
        ]
        or None,
        "soft_budget": top[1] * percent / 100 if top and percent is not None else None,
    }


def span_of(settings: dict[str, Any]) -> str:
    """Return the window of `max_budget`."""
    duration = settings["budget_duration"]
    return next((span for span, label in BUDGET_DURATIONS.items() if label == duration), "total")


def key_info(row: ApiKey, spending: Spending) -> dict[str, Any]:
    """Return the full object of a key, as in `/key/info`."""
    settings = settings_of(row)
    span = span_of(settings)
    for item in settings["budget_limits"] or ():
        window = next(
            s for s, label in BUDGET_DURATIONS.items() if label == item["budget_duration"]
        )
        item["reset_at"] = spending.resets_at(window)
    return {
        "token": row.prefix,
        "token_id": row.prefix,
        "key_name": f"{row.prefix}...",
        **settings,
        "spend": spending.usd_of(row, span),
        "total_spend": spending.usd_of(row, "total"),
        "budget_reset_at": spending.resets_at(span),
        "expires": row.expires_at,
        "blocked": row.revoked_at is not None,
        "status": status_of(row),
        "metadata": {"tags": settings["tags"]} if settings["tags"] else {},
        "aliases": {},
        "config": {},
        "permissions": {},
        "model_max_budget": {},
        "model_spend": {},
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "last_active": row.last_used_at,
    }


def status_of(row: ApiKey) -> str:
    """Return `active`, `expired` or `revoked`: each key has exactly one state, as in LiteLLM."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.is_expired else "active"
