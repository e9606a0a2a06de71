"""The filters of the list of traces, as its address has them."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.list_filters import RANGE_SECONDS
from gateway.models.client_span import ClientTrace, ClientTraceQuerySet

STATUSES = (("error", _("With errors")), ("ok", _("Without errors")))
MAX_TEXT = 200
ANY_TIME = "all"


class TraceFilters(msgspec.Struct, frozen=True):
    """Filters of the trace list; empty values match any. `status` is one of STATUSES."""

    text: str = ""
    service: str = ""
    status: str = ""
    time_range: str = ANY_TIME

    def __bool__(self) -> bool:
        return self != TraceFilters()

    @property
    def address(self) -> str:
        """The query string of these filters."""
        values = {"q": self.text, "service": self.service, "status": self.status}
        values["range"] = "" if self.time_range == ANY_TIME else self.time_range
        return urlencode({name: value for name, value in values.items() if value})

    @property
    def since(self) -> datetime | None:
        """The beginning of the time range; None is unlimited."""
        seconds = RANGE_SECONDS.get(self.time_range)
        return None if seconds is None else timezone.now() - timedelta(seconds=seconds)

    def apply(self, rows: ClientTraceQuerySet[ClientTrace]) -> ClientTraceQuerySet[ClientTrace]:
        """The rows that these filters show."""
        return rows.matching(
            text=self.text,
            service=self.service or None,
            failed=None if not self.status else self.status == "error",
            since=self.since,
        )


def read_filters(query: QueryDict) -> TraceFilters:
    """The filters of an address; values that no menu has are any."""
    status, time_range = query.get("status", ""), query.get("range", "")
    return TraceFilters(
        text=query.get("q", "").replace("\0", "").strip()[:MAX_TEXT],
        service=query.get("service", "").replace("\0", ""),
        status=status if status in dict(STATUSES) else "",
        time_range=time_range if time_range in RANGE_SECONDS else ANY_TIME,
    )
