"""Filters that several lists have: time ranges, and the values of an indexed column."""

from __future__ import annotations

from django.db import connection
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from gateway.models import RequestLog

# Values of the time range menu, in seconds; `all` is unlimited.
RANGE_SECONDS = {
    "15m": 900,
    "1h": 3600,
    "6h": 21_600,
    "24h": 86_400,
    "7d": 604_800,
    "30d": 2_592_000,
}
DEFAULT_RANGE = "24h"
TIME_RANGES = (
    ("15m", _("Last 15 minutes")),
    ("1h", _("Last 60 minutes")),
    ("6h", _("Last 6 hours")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
    ("30d", _("Last 30 days")),
    ("all", _("All time")),
)
# Values that a menu of `distinct_values` has.
MAX_CHOICES = 40


def distinct_values(column: str, model: type[Model] = RequestLog) -> list[str]:
    """Return the values of an indexed column, with one index lookup per value."""
    table = connection.ops.quote_name(model._meta.db_table)
    name = connection.ops.quote_name(column)
    sql = (
        f"WITH RECURSIVE known(value) AS (SELECT min({name}) FROM {table} WHERE {name} > '' "  # noqa: S608
        f"UNION ALL SELECT (SELECT min({name}) FROM {table} WHERE {name} > known.value) "
        f"FROM known WHERE known.value IS NOT NULL) "
        f"SELECT value FROM known WHERE value IS NOT NULL LIMIT {MAX_CHOICES}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [value for (value,) in cursor.fetchall()]
