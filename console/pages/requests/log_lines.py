"""Rows of the log as the list displays them: two lines, a tone and a note."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.error_labels import error_label
from console.pages.requests.previews import Fragment, previews
from gateway.models import ApiKey, Provider, RequestLog, RequestScore

# HTTP status classes and statuses.
_SUCCESS, _REDIRECT, _SERVER = 200, 300, 500
_SOFT_STATUSES = {429, 499}


class Line(msgspec.Struct, frozen=True):
    """One row. `tone` colors the status, `note` is at most a few words.

    `preview` is the beginning of the prompt, or the text that a search matched; `scores` are in the
    order in which they were given.
    """

    row: RequestLog
    key_label: str
    preset: str
    tone: str
    note: str = ""
    note_tone: str = ""
    preview: list[Fragment] = []
    scores: list[RequestScore] = []

    @property
    def has_comment(self) -> bool:
        """Whether someone commented on the request."""
        return any(score.comment for score in self.scores)


def lines(
    rows: Iterable[RequestLog], *, with_previews: bool = False, query: str = ""
) -> list[Line]:
    """Return the rows with their keys' names and their providers' presets.

    `with_previews` adds text of their bodies, marked where it matches the text search `query`.
    """
    rows = list(rows)
    previews_by_row = previews(rows, query) if with_previews else {}
    keys = dict(ApiKey.objects.in_bulk({row.key_id for row in rows if row.key_id}))
    presets = dict(Provider.objects.values_list("name", "preset"))
    scores = RequestScore.objects.by_request(row.pk for row in rows)
    return [
        line(row, keys, presets, previews_by_row.get(row.pk, []), scores.get(row.pk, []))
        for row in rows
    ]


def line(
    row: RequestLog,
    keys: dict[Any, ApiKey],
    presets: dict[str, str],
    preview: list[Fragment],
    scores: list[RequestScore],
) -> Line:
    """Return one row of the list."""
    key = keys.get(row.key_id)
    outcome, note_text = outcome_tone(row), error_or_attempts(row)
    return Line(
        row=row,
        key_label=key.name if key else row.key_prefix or _("no key"),
        preset=presets.get(row.provider, row.provider),
        tone=outcome,
        note=note_text,
        note_tone="" if outcome == "ok" else outcome,
        preview=preview,
        scores=scores,
    )


def outcome_tone(row: RequestLog) -> str:
    """Return `ok`; `warn` for temporary or intended outcomes; `bad` for other failures."""
    if row.status in _SOFT_STATUSES or row.outcome == "client_closed":
        return "warn"
    succeeded = _SUCCESS <= row.status < _REDIRECT and row.outcome == "ok"
    return "ok" if succeeded else "bad"


def error_or_attempts(row: RequestLog) -> str:
    """Return the error label, or the number of attempts."""
    if row.outcome == "client_closed":
        return _("client disconnected")
    if row.outcome == "cut":
        return _("incomplete")
    if row.error_kind:
        return error_label(row.error_kind)
    attempts = sum(1 for attempt in row.attempts if not attempt.get("skipped"))
    return (
        ngettext("%(n)d attempt", "%(n)d attempts", attempts) % {"n": attempts}
        if attempts > 1
        else ""
    )
