"""What a person may spend in the playground a day. It never touches the rest of the console.

Counted from the request log, where stopped answers stand too: a run that is stopped at
its last word has cost what it has cost.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway.models import RequestLog

# What stands for the key in the log.
WHO = "playground"


def session_prefix(owner: int) -> str:
    """What the log's session of a person's calls begins with."""
    return f"{WHO}-{owner}-"


def limit_usd() -> Decimal:
    """US dollars a person and day; 0 means that only what is free may be used."""
    return Decimal(str(settings.PLAYGROUND_USD_PER_DAY))


def spent_usd(owner: int) -> Decimal:
    """What a person's runs have cost since midnight UTC, as far as the prices are known."""
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = RequestLog.objects.filter(
        key_prefix=WHO, started_at__gte=midnight, session__startswith=session_prefix(owner)
    )
    return rows.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0)


def left_usd(owner: int) -> Decimal:
    """What is left for today; never negative."""
    return max(limit_usd() - spent_usd(owner), Decimal(0))


def spent_words() -> str:
    """What somebody is told whose money for today is spent."""
    words = _("Today's budget of the playground, $%s, is spent. It starts anew at midnight UTC.")
    return words % f"{limit_usd():g}"
