"""Changes: who changed what, before and after, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from console.access import admin
from gateway.models import Change

PAGE = "changes"
SIZE = 50
# Columns that say nothing to a person.
_OWN = frozenset({"source", "source_ref", "prefix", "previous_prefix", "digest"})
_LONG = 300

KINDS: dict[str, Promise] = {
    "provider": _("Provider"),
    "model": _("Model"),
    "route": _("Route"),
    "step": _("Step"),
    "target": _("Target"),
    "alias": _("Alias"),
    "apikey": _("API key"),
    "team": _("Team"),
    "setting": _("Setting"),
    "user": _("User"),
    "priceupdate": _("Price list"),
    "billline": _("Bill"),
}
VIAS: dict[str, Promise] = {
    "console": _("in the console"),
    "api": _("over the API"),
    "command": _("by a command"),
    "start": _("at the start"),
    "gateway": _("by the gateway itself"),
}


class Field(NamedTuple):
    """A column that differs, as text; empty for nothing."""

    name: str
    before: str
    after: str


class Entry(NamedTuple):
    """A change as the page shows it."""

    row: Change
    kind: Promise | str
    via: Promise | str
    fields: list[Field]


@require_safe
@admin
def changes(request: HttpRequest) -> HttpResponse:
    """A page of changes; with htmx only the rows and what leads to more."""
    wanted = {name: request.GET.get(name, "").strip()[:200] for name in ("kind", "name", "who")}
    before = request.GET.get("before", "")
    cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    found = list(
        Change.objects.matching(kind=wanted["kind"], name=wanted["name"], who=wanted["who"]).page(
            cursor, SIZE + 1
        )
    )
    entries = [_entry(row) for row in found[:SIZE]]
    context = {
        "page": PAGE,
        "entries": entries,
        "next": found[SIZE - 1].pk if len(found) > SIZE else None,
        "more": cursor is not None,
        "wanted": wanted,
        "filtered": any(wanted.values()),
        "kinds": KINDS,
        "people": [name for name in Change.objects.people() if name],
    }
    rows_only = request.htmx and not request.htmx.boosted  # type: ignore[attr-defined]
    name = "console/changes_rows.html" if rows_only else "console/changes.html"
    return render(request, name, context)


def _entry(row: Change) -> Entry:
    return Entry(
        row,
        KINDS.get(row.kind, row.kind),
        VIAS.get(row.via, row.via),
        _fields(row.before, row.after),
    )


def _fields(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Field]:
    """What differs; of a row that was made or deleted, what it said at all."""
    old, new = before or {}, after or {}
    whole = before is None or after is None
    found = []
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if whole and (name in _OWN or (_nothing(one) and _nothing(other))):
            continue
        found.append(Field(name, _text(one), _text(other)))
    return found


def _nothing(value: Any) -> bool:
    return value in (None, "", [], {}, False)


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
