"""The audit log: each change of the registry, who made it, before and after.

It is written in the transaction of the change itself, by whatever way that came about
(a page, the API, a command, the start): a change that is undone leaves no row, and none
is made without one. Secrets are never part of it; that one was set or replaced is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from django.apps import apps
from django.db import models

Values = dict[str, Any]
# Columns that are no news: clocks, and what identifies a row anyway.
_IGNORED_COLUMNS = frozenset({"id", "created_at", "updated_at", "last_used_at"})
# Columns that hold a secret, or what could be checked against one.
_SECRET = frozenset({"credential", "digest", "previous_digest", "password"})
# Columns whose values may be secrets, by name.
_PAIRS = frozenset({"headers", "query"})
_REFERENCE = "os.environ/"

Via = Literal["console", "api", "command", "start", "gateway"]


class Actor(NamedTuple):
    """A user's name, `master key`, or a command; and the way it came by.

    A function is asked for the name when there is something to write.
    """

    who: str | Callable[[], str]
    via: Via


# What nobody asked for: the gateway's own housekeeping.
_GATEWAY = Actor("", "gateway")
_current: ContextVar[Actor] = ContextVar("actor", default=_GATEWAY)


def actor() -> tuple[str, Via]:
    """Who acts in this task or thread, and how."""
    who, via = _current.get()
    return (who if isinstance(who, str) else who())[:150], via


@contextmanager
def acting(who: str | Callable[[], str], via: Via) -> Iterator[None]:
    """Put `who` down for the changes made within; an outer one that is named stays.

    A command that a person runs through the console is that person's doing.
    """
    if _current.get() is not _GATEWAY:
        yield
        return
    token = _current.set(Actor(who, via))
    try:
        yield
    finally:
        _current.reset(token)


def read_rows(table: type[models.Model], keys: Iterable[Any]) -> dict[Any, Values]:
    """What rows say now, by primary key."""
    rows = table._base_manager.filter(pk__in=list(keys)).values()
    return {row[table._meta.pk.name]: row for row in rows}


def read_queryset(rows: models.QuerySet[Any]) -> dict[Any, Values]:
    """What the rows of a query say now, by primary key."""
    keys = list(rows.order_by().values_list("pk", flat=True))
    return read_rows(rows.model, keys)


def record_changes(table: type[models.Model], before: Mapping[Any, Values]) -> None:
    """Write down what became of rows that were changed at once."""
    if not before:
        return
    after = read_rows(table, before)
    rows = table._base_manager.filter(pk__in=list(before))
    for row in rows:
        record_change(
            table._meta.model_name or "", row.pk, str(row), before[row.pk], after.get(row.pk)
        )


def row_values(row: models.Model) -> Values:
    """What a row in hand says."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def ignores_change(names: Iterable[str]) -> bool:
    """Whether a change of these columns is no news."""
    return _IGNORED_COLUMNS.issuperset(names)


def record_change(
    kind: str,
    key: Any,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write one change down, if it is one. None stands for a row that is not there."""
    old, new = _public_values(before), _public_values(after)
    if old is not None and new is not None:
        differ = {
            column for column in old.keys() | new.keys() if old.get(column) != new.get(column)
        }
        if not differ:
            return
        old = {column: old.get(column) for column in sorted(differ)}
        new = {column: new.get(column) for column in sorted(differ)}
    action = "changed"
    if old is None or new is None:
        action = "created" if old is None else "deleted"
    who, via = actor()
    apps.get_model("gateway", "Change").objects.create(
        actor=who,
        via=via,
        action=action,
        kind=kind,
        row_id=key or 0,
        name=name[:300],
        before=old,
        after=new,
    )


def _public_values(values: Mapping[str, Any] | None) -> Values | None:
    if values is None:
        return None
    return {
        name: _value(name, value) for name, value in values.items() if name not in _IGNORED_COLUMNS
    }


def _value(name: str, value: Any) -> Any:
    if name in _SECRET:
        return _secret_digest(value)
    if name in _PAIRS and isinstance(value, dict):
        return {key: _pair(text) for key, text in value.items()}
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value


def _pair(value: Any) -> Any:
    """A header's value: a variable's name may be seen, anything else may be a secret."""
    return (
        value if isinstance(value, str) and value.startswith(_REFERENCE) else _secret_digest(value)
    )


def _secret_digest(value: Any) -> str:
    """Stands for a secret: empty if there is none, another for each other one.

    The few bits tell that it was replaced, and are too few to find it by.
    """
    if not value:
        return ""
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return f"(set, {hashlib.sha256(raw).hexdigest()[:4]})"
