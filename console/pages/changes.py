"""Changes: who changed what, before and after, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from console.access import admin
from console.forms.limits import BudgetFields
from console.forms.teams import RouteLimitsForm
from gateway.models import Change, Team

PAGE = "changes"
SIZE = 50
# Columns that say nothing to a person: the title of the change does.
_OWN = frozenset(
    {"source", "source_ref", "prefix", "previous_prefix", "digest"}
    | {"route_id", "model_id", "provider_id", "order", "position"}
)
_TEAMS = frozenset({"team_id", "parent_id"})
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


# What the forms call a column; others go by their own names.
_LABELS: dict[str, Any] = {
    **{name: field.label for name, field in BudgetFields.base_fields.items()},
    **{name: field.label for name, field in RouteLimitsForm.base_fields.items()},
    "base_url": _("Base URL"),
    "log_bodies": _("Store bodies"),
    "parent_id": _("Project of"),
    "team_id": _("Team"),
    "usd": _("Sum, in USD"),
    "retry_first": _("Retries before fallbacks"),
    "is_superuser": _("Admin"),
    "is_active": _("May sign in"),
}
# The end of a column's name says its unit.
_UNITS = (("_usd", _("in USD")), ("_s", _("in seconds")), ("_percent", _("in percent")))


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
    teams = dict(Team.objects.values_list("pk", "name"))
    entries = [_entry(row, teams) for row in found[:SIZE]]
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


def _entry(row: Change, teams: Mapping[int, str]) -> Entry:
    return Entry(
        row,
        KINDS.get(row.kind, row.kind),
        VIAS.get(row.via, row.via),
        _fields(row.before, row.after, teams),
    )


def _fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, teams: Mapping[int, str]
) -> list[Field]:
    """What differs; of a row that was made or deleted, what it said at all."""
    old, new = before or {}, after or {}
    whole = before is None or after is None
    found = []
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if whole and (name in _OWN or (_nothing(one) and _nothing(other))):
            continue
        if name in _TEAMS:
            one, other = (_team(value, teams) for value in (one, other))
        found.append(Field(_label(name), _text(one), _text(other)))
    return found


def _team(value: Any, teams: Mapping[int, str]) -> Any:
    """What a team is called, or its number where it has been deleted."""
    return teams.get(value, value) if isinstance(value, int) else value


def _label(name: str) -> str:
    if name in _LABELS:
        return str(_LABELS[name])
    for end, unit in _UNITS:
        if name.endswith(end):
            return f"{_words(name.removesuffix(end))}, {unit}"
    return _words(name)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _nothing(value: Any) -> bool:
    return value in (None, "", [], {}, False)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = ", ".join(value)
    elif isinstance(value, dict) and not any(isinstance(one, dict) for one in value.values()):
        text = "; ".join(f"{name}: {_text(one)}" for name, one in value.items())
    elif isinstance(value, float):
        text = f"{value:g}"
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _LONG:
        return text
    if isinstance(value, list):
        return ngettext("%(n)d entry", "%(n)d entries", len(value)) % {"n": len(value)}
    return f"{text[:_LONG]}…"
