"""Names and sentences of the detail: dialects, why something is not stored, sizes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.dialects import title
from gateway.models import RequestLog
from gateway.relay.entry import LOST

_WHY: dict[str, Promise] = {
    "off": gettext_lazy(
        "Not stored: keeping bodies is off for this key, this route or the whole gateway."
    ),
    "pressure": gettext_lazy(
        "Not stored: the log's queue was full at that moment, and bodies are given up before rows."
    ),
    "size": gettext_lazy(
        "Not stored: the process ended before they were written, and they were too large for "
        "the journal's file."
    ),
}
_KILO = 1000
# What stands for a path in rows that no client's call made.
_NO_PATH: dict[str, Promise] = {
    "check": gettext_lazy("Check of a target"),
    "shadow": gettext_lazy("Shadow request"),
    "console": gettext_lazy("Console"),
    "cache": gettext_lazy("Look for a kept answer"),
}
# Where the batch was made whose answers a row sums up.
_BATCHES = {"openai_chat": "/v1/batches", "anthropic_messages": "/v1/messages/batches"}


def dialect_name(name: str) -> str:
    """What people call a dialect."""
    return title(name) if name else "—"


def asked_at(row: RequestLog) -> tuple[str, str]:
    """Method and path of the client's call; without a method, what it was instead."""
    method, _space, path = row.endpoint.rpartition(" ")
    if row.endpoint == "batch":
        path = _BATCHES.get(row.client_dialect, path)
    if not path.startswith("/"):
        return "", str(_NO_PATH.get(path, path))
    return method or "POST", path.replace("{id}", row.requested_model or "{id}")


def not_stored(row: RequestLog, *, allowed: bool) -> str:
    """Why there are no bodies, in the one sentence that is true of this row."""
    if not allowed:
        return _("You may see that this request was made, but not what was said in it.")
    why = _WHY.get(row.no_bodies)
    if why is not None:
        return str(why)
    days = settings.LOG_RETENTION_DAYS
    ends = row.started_at + dt.timedelta(days=days)
    if ends < timezone.now():
        day = date_format(timezone.localtime(ends), "DATE_FORMAT")
        return _("Expired on %(day)s: bodies are kept for %(days)d days.") % {
            "day": day,
            "days": days,
        }
    return _("Not stored: nothing was recorded, or it has been deleted since.")


def missing(side: str, row: RequestLog) -> str:
    """Why one of the four bodies is empty although others are stored."""
    if side == "upstream_request":
        if not any(not attempt.get("skipped") for attempt in row.attempts):
            return _("No upstream was called, so nothing was sent on.")
        return _("It was refused before it could be put into the upstream's words.")
    if side == "upstream_response":
        return _("The upstream never answered.")
    if side == "client_response" and row.outcome == "client_closed":
        return _("The client left before the first byte.")
    return _("Nothing was sent.")


def size(data: bytes | None) -> str:
    """A number of bytes, with a unit."""
    if data is None:
        return "—"
    if len(data) < _KILO:
        return f"{len(data)} B"
    if len(data) < _KILO * _KILO:
        return f"{_rounded(len(data) / _KILO, 1)} kB"
    return f"{_rounded(len(data) / _KILO / _KILO, 1)} MB"


def _rounded(value: float, digits: int) -> str:
    """Django's formatter cuts digits off instead."""
    return number_format(round(value, digits), digits)


def speed(row: RequestLog) -> float | None:
    """Tokens a second after the first; None if that can not be said."""
    if row.output_tokens is None or row.first_token_ms is None:
        return None
    writing = row.duration_ms - row.first_token_ms
    return row.output_tokens / writing * 1000 if writing > 1 and row.output_tokens else None


def tries(row: RequestLog) -> list[dict[str, Any]]:
    """The attempts as bars: shares of the whole time, a tone, and words."""
    whole = max(row.duration_ms, 1.0)
    found = []
    for attempt in row.attempts:
        start = float(attempt.get("started_ms") or 0)
        skipped = attempt.get("skipped")
        end = start if skipped else float(attempt.get("ended_ms") or whole)
        first = attempt.get("first_byte_ms")
        failed = bool(attempt.get("error_kind"))
        wait_end = end if failed or first is None else min(float(first), end)
        found.append(
            {
                "provider": attempt.get("provider", ""),
                "model": attempt.get("model", ""),
                "skipped": skipped,
                "failed": failed,
                "lost": attempt.get("error_kind") == LOST,
                "words": _tried(attempt, end - start),
                "x": _share(start, whole),
                "wait": _share(wait_end - start, whole),
                "write_x": _share(wait_end, whole),
                "write": _share(end - wait_end, whole),
                "ms": end - start,
                "error": attempt.get("error") or "",
                "cost_usd": attempt.get("cost_usd"),
                "tokens": attempt.get("input_tokens"),
                "status": attempt.get("status"),
            }
        )
    return found


def _tried(attempt: dict[str, Any], took_ms: float) -> str:
    if attempt.get("skipped"):
        return _("not called: %(why)s") % {"why": attempt["skipped"]}
    if not attempt.get("error_kind"):
        return ""
    if attempt["error_kind"] == LOST:
        return _("given up after %(took)s s") % {"took": _rounded(took_ms / 1000, 2)}
    kind = str(attempt["error_kind"]).replace("_", " ")
    status = f"{attempt['status']} " if attempt.get("status") else ""
    return f"{status}{kind}, {_rounded(took_ms / 1000, 2)} s"


def _share(part: float, whole: float) -> float:
    """A percentage within the picture."""
    return round(max(0.0, min(100.0, part / whole * 100)), 2)
