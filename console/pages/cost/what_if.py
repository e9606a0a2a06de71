"""Cost of other models: what the usage of the last days would have cost on them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console.access import viewer
from gateway.accounting.what_if import Candidate, find_candidate, what_if
from gateway.store import current_snapshot

PAGE = "cost"
# Number of fields for models.
MAX_MODELS = 3
MAX_LINES = 200
PERIODS = {
    "7": gettext_lazy("Last 7 days"),
    "30": gettext_lazy("Last 30 days"),
    "90": gettext_lazy("Last 90 days"),
}
_DEFAULT_PERIOD = "30"


@require_safe
@viewer
def compare_cost(request: HttpRequest) -> HttpResponse:
    """Actual and hypothetical cost by route and model; without models only the form."""
    days = request.GET.get("days", "")
    days = days if days in PERIODS else _DEFAULT_PERIOD
    names = [name.strip()[:300] for name in request.GET.getlist("model")[:MAX_MODELS]]
    snapshot = current_snapshot()
    candidates: list[Candidate] = []
    problems: list[str] = []
    for name in dict.fromkeys(filter(None, names)):
        model = find_candidate(name, snapshot)
        if model is None:
            problems.append(_("%(name)s is neither a model nor in a price list.") % {"name": name})
        else:
            candidates.append(model)
    context: dict[str, Any] = {
        "page": PAGE,
        "periods": PERIODS.items(),
        "days": days,
        "fields": (names + [""] * MAX_MODELS)[:MAX_MODELS],
        "problems": problems,
    }
    if candidates:
        hour = timezone.now().replace(minute=0, second=0, microsecond=0)
        until = hour + dt.timedelta(hours=1)
        comparison = what_if(until - dt.timedelta(days=int(days)), until, candidates)
        actual_cost = comparison.totals.cost
        context |= {
            "comparison": comparison,
            "lines": [
                (line, list(zip((each.name for each in candidates), line.estimates, strict=True)))
                for line in comparison.lines[:MAX_LINES]
            ],
            "hidden": max(0, len(comparison.lines) - MAX_LINES),
            "heads": [
                {
                    "candidate": each,
                    "usd": usd,
                    "difference": difference,
                    "ratio": float(difference / actual_cost)
                    if difference and actual_cost
                    else None,
                }
                for each, usd, difference in zip(
                    candidates, comparison.estimates, comparison.differences, strict=True
                )
            ],
        }
    return render(request, "console/cost/what_if.html", context, status=422 if problems else 200)
