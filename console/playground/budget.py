"""Daily budget of a user for playground runs, evaluations and replays of logged requests.

Spend is summed from the request log, which also has the cost of stopped responses.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway.models import RequestLog
from gateway.store.hedge_losers import hedge_losers_of

# `key_prefix` of these calls in the request log.
PLAYGROUND_KEY_PREFIX = "playground"
REPLAY_KEY_PREFIX = "replay"
EVALUATION_KEY_PREFIX = "evaluation"


def session_prefix(owner: int) -> str:
    """Prefix of the log's `session` for the calls of a user."""
    return f"{PLAYGROUND_KEY_PREFIX}-{owner}-"


def limit_usd() -> Decimal:
    """US dollars per user and day; 0 allows free models only."""
    return Decimal(str(settings.PLAYGROUND_USD_PER_DAY))


def spent_usd(owner: int) -> Decimal:
    """Known cost of a user's runs, evaluations and replays since midnight UTC."""
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = RequestLog.objects.filter(
        key_prefix__in=(PLAYGROUND_KEY_PREFIX, REPLAY_KEY_PREFIX, EVALUATION_KEY_PREFIX),
        started_at__gte=midnight,
        session__startswith=session_prefix(owner),
    )
    hedge_loser_usd = sum(
        (attempt.cost_usd or Decimal(0) for attempt in hedge_losers_of(rows)), Decimal(0)
    )
    return hedge_loser_usd + (rows.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0))


def remaining_usd(owner: int) -> Decimal:
    """Remaining budget for today; never negative."""
    return max(limit_usd() - spent_usd(owner), Decimal(0))


def budget_exceeded_message() -> str:
    """Error message for a user whose budget for today is spent."""
    message = _("The daily playground budget of $%s is used up. It resets at midnight UTC.")
    return message % f"{limit_usd():g}"
