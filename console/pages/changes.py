"""Audit log: who changed what, before and after, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from console.access import admin
from console.htmx import render_page_or_part
from console.limit_fields import BudgetFields
from console.numbers import number_in
from console.pages.routes.labels import OPTION_LABELS
from console.pages.teams.forms import RouteLimitsForm
from console.templatetags.ui import timestamp
from gateway.models import Change, Team
from gateway.models.limits import BUDGETS, LIMITS

PAGE = "changes"
# Actors of the audit log that are credentials (`gateway.api.auth`).
_CREDENTIALS: dict[str, Promise] = {"master key": _("Master key"), "admin key": _("Admin key")}
PAGE_SIZE = 50
# Internal columns; the title of the change identifies the row.
_INTERNAL_COLUMNS = frozenset(
    {"source", "source_ref", "prefix", "previous_prefix", "digest"}
    | {"route_id", "model_id", "provider_id", "order", "position"}
)
_MAX_TEXT_LENGTH = 300
# Changed entries of one column, such as end users, that are listed.
_MAX_ENTRIES = 20
# Column with the id of another row -> the names of these rows by id.
NamesByColumn = Mapping[str, Mapping[Any, str]]

KIND_LABELS: dict[str, Promise] = {
    "provider": _("Provider"),
    "model": _("Model"),
    "route": _("Route"),
    "step": _("Step"),
    "target": _("Target"),
    "alias": _("Alias"),
    "apikey": _("API key"),
    "team": _("Team"),
    "guardrail": _("Guardrail"),
    "prompt": _("Prompt"),
    "setting": _("Setting"),
    "user": _("User"),
    "priceupdate": _("Price list"),
    "billline": _("Bill"),
    "alertchannel": _("Alert channel"),
    "alertsilence": _("Alert silence"),
}
CHANNELS: dict[str, Promise] = {
    "console": _("in the console"),
    "api": _("via the API"),
    "command": _("by a command"),
    "start": _("at startup"),
    "gateway": _("by the gateway"),
}


_LIMIT_LABELS: dict[str, Any] = {
    name: field.label
    for form in (BudgetFields, RouteLimitsForm)
    for name, field in form.base_fields.items()
}
# Labels of columns, as in the forms; others are derived from their names.
_LABELS: dict[str, Any] = {
    **_LIMIT_LABELS,
    # Within a document, such as that of an end user.
    **{name: _LIMIT_LABELS[column] for column, name in {**BUDGETS, **LIMITS}.items()},
    "base_url": _("Base URL"),
    "log_bodies": _("Store bodies"),
    "parent_id": _("Parent team"),
    "team_id": _("Team"),
    "usd": _("Amount (USD)"),
    "is_active": _("Active"),
    "kind": _("Type"),
    "everywhere": _("Apply to all requests"),
    "owner_id": _("User"),
}
# Suffix of a column's name -> unit.
_UNIT_BY_SUFFIX = (("_usd", _("USD")), ("_s", _("s")), ("_percent", "%"))


class Field(NamedTuple):
    """A changed column with both values as text; empty for an empty value."""

    name: str
    before: str
    after: str


class Entry(NamedTuple):
    """A change as the page displays it."""

    row: Change
    kind: Promise | str
    via: Promise | str
    actor: Promise | str
    fields: list[Field]


@require_safe
@admin
def changes(request: HttpRequest) -> HttpResponse:
    """A page of changes; with htmx only the rows and the link to more."""
    filters = {name: request.GET.get(name, "").strip()[:200] for name in ("kind", "name", "actor")}
    cursor = number_in(request.GET.get("before", ""))
    rows = list(
        Change.objects.matching(
            kind=filters["kind"], name=filters["name"], actor=filters["actor"]
        ).page(cursor, PAGE_SIZE + 1)
    )
    has_more = len(rows) > PAGE_SIZE
    teams = dict(Team.objects.values_list("pk", "name"))
    users = dict(get_user_model()._default_manager.values_list("pk", "username"))
    names_by_column = {"team_id": teams, "parent_id": teams, "owner_id": users}
    entries = [_change_entry(row, names_by_column) for row in rows[:PAGE_SIZE]]
    context = {
        "page": PAGE,
        "entries": entries,
        "earlier": urlencode({"before": str(rows[PAGE_SIZE - 1].pk), **filters})
        if has_more
        else "",
        "continues": cursor is not None,
        "filters": filters,
        "filtered": any(filters.values()),
        "kinds": KIND_LABELS,
        "actors": [(name, actor_label(name)) for name in Change.objects.actors() if name],
    }
    return render_page_or_part(
        request, "console/changes/page.html", "console/changes/_rows.html", context
    )


def actor_label(actor: str) -> str | Promise:
    """Display name of the person or credential that made a change."""
    return _CREDENTIALS.get(actor, actor)


def _change_entry(row: Change, names_by_column: NamesByColumn) -> Entry:
    return Entry(
        row,
        KIND_LABELS.get(row.kind, row.kind),
        CHANNELS.get(row.via, row.via),
        actor_label(row.actor),
        _changed_fields(row.before, row.after, names_by_column),
    )


def _changed_fields(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    names_by_column: NamesByColumn,
) -> list[Field]:
    """Changed columns; for a created or deleted row all columns with a value."""
    old, new = before or {}, after or {}
    created_or_deleted = before is None or after is None
    fields: list[Field] = []
    for name in dict.fromkeys((*old, *new)):
        old_value, new_value = old.get(name), new.get(name)
        if created_or_deleted and (
            name in _INTERNAL_COLUMNS or (_is_empty(old_value) and _is_empty(new_value))
        ):
            continue
        if names := names_by_column.get(name):
            # The id of a deleted row remains.
            old_value, new_value = (names.get(value, value) for value in (old_value, new_value))
        elif name.endswith("_at"):
            old_value, new_value = _time_text(old_value), _time_text(new_value)
        if _has_entries(old_value) or _has_entries(new_value):
            fields += _changed_entries(_column_label(name), old_value or {}, new_value or {})
        else:
            texts = _value_text(old_value), _value_text(new_value)
            fields.append(Field(_column_label(name), *texts))
    return fields


def _has_entries(value: Any) -> bool:
    """Whether a value consists of named documents, such as the end users of a setting."""
    return isinstance(value, dict) and any(isinstance(entry, dict) for entry in value.values())


def _changed_entries(label: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Field]:
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    for name in names[:_MAX_ENTRIES]:
        texts = _value_text(old.get(name)), _value_text(new.get(name))
        yield Field(f"{label}: {name}", *texts)
    if len(names) > _MAX_ENTRIES:
        yield Field(label, "", _("%(n)s more") % {"n": len(names) - _MAX_ENTRIES})


def _column_label(name: str) -> str:
    if name in _LABELS:
        return str(_LABELS[name])
    suffix, unit = next((pair for pair in _UNIT_BY_SUFFIX if name.endswith(pair[0])), ("", ""))
    label = str(OPTION_LABELS.get(name) or name.removesuffix(suffix).replace("_", " "))
    return f"{capfirst(label)} ({unit})" if unit else capfirst(label)


def _time_text(value: Any) -> Any:
    """A stored moment as on other pages; another value is unchanged."""
    moment = parse_datetime(value) if isinstance(value, str) else None
    return value if moment is None else timestamp(moment)


def _is_empty(value: Any) -> bool:
    return value in (None, "", [], {}, False)


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, list):
        text = ", ".join(_nested_text(element) for element in value)
    elif isinstance(value, dict):
        text = "; ".join(
            f"{_LABELS.get(name, name)}: {_nested_text(element)}" for name, element in value.items()
        )
    elif isinstance(value, (int, float)):
        text = f"{value:,.12g}"
    else:
        text = str(value)
    if len(text) <= _MAX_TEXT_LENGTH:
        return text
    if isinstance(value, list):
        return ngettext("%(n)d entry", "%(n)d entries", len(value)) % {"n": len(value)}
    return f"{text[:_MAX_TEXT_LENGTH]}…"


def _nested_text(value: Any) -> str:
    text = _value_text(value)
    return f"({text})" if isinstance(value, (dict, list)) else text
