"""The audit log: each change of the registry, its actor, and the values before and after.

An entry is written in the transaction of the change, whatever its origin (a page, the API, a
command, the start): each change has an entry, unless it is rolled back. Secrets are
never included, only that one was set or replaced.
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

from gateway.providers.auth import VARIABLE_PREFIX

Values = dict[str, Any]
# Columns that are not audited: timestamps and the id.
_IGNORED_COLUMNS = frozenset({"id", "created_at", "updated_at", "last_used_at"})
# Columns with a secret or a digest of one.
_SECRET = frozenset({"credential", "digest", "previous_digest", "password", "proxy", "client_key"})
# Columns with name-value pairs whose values may be secret.
_PAIRS = frozenset({"headers", "query"})

Via = Literal["console", "api", "command", "start", "gateway"]


class Actor(NamedTuple):
    """A user's name, `master key`, `admin key` or a command, and the interface used.

    `name` may be a function, which is called only when an entry is written.
    """

    name: str | Callable[[], str]
    via: Via


# The default: the gateway's own housekeeping.
_GATEWAY = Actor("", "gateway")
_current_actor: ContextVar[Actor] = ContextVar("actor", default=_GATEWAY)


def actor() -> tuple[str, Via]:
    """The current actor of this task or thread, and the interface used."""
    actor_name, via = _current_actor.get()
    return (actor_name if isinstance(actor_name, str) else actor_name())[:150], via


@contextmanager
def acting_as(actor_name: str | Callable[[], str], via: Via) -> Iterator[None]:
    """Attribute changes made in the block to `actor_name`, unless an outer block set an actor.

    A command that a user runs through the console is attributed to that user.
    """
    if _current_actor.get() is not _GATEWAY:
        yield
        return
    token = _current_actor.set(Actor(actor_name, via))
    try:
        yield
    finally:
        _current_actor.reset(token)


def read_rows(table: type[models.Model], keys: Iterable[Any]) -> dict[Any, Values]:
    """The stored values of rows, by primary key."""
    rows = table._base_manager.filter(pk__in=list(keys)).values()
    return {row[table._meta.pk.name]: row for row in rows}


def read_queryset(rows: models.QuerySet[Any]) -> dict[Any, Values]:
    """The stored values of a queryset's rows, by primary key."""
    keys = list(rows.order_by().values_list("pk", flat=True))
    return read_rows(rows.model, keys)


def record_changes(table: type[models.Model], before: Mapping[Any, Values]) -> None:
    """Record a bulk change, given the values before."""
    if not before:
        return
    after = read_rows(table, before)
    rows = table._base_manager.filter(pk__in=list(before))
    for row in rows:
        record_change(
            table._meta.model_name or "", row.pk, str(row), before[row.pk], after.get(row.pk)
        )


def row_values(row: models.Model) -> Values:
    """The in-memory values of a row."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def ignores_change(names: Iterable[str]) -> bool:
    """Whether a change of these columns is not audited."""
    return _IGNORED_COLUMNS.issuperset(names)


def record_change(
    kind: str,
    key: Any,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Record one change, if any value differs. None stands for a row that does not exist."""
    old, new = _public_values(before), _public_values(after)
    if old is not None and new is not None:
        changed_columns = {
            column for column in old.keys() | new.keys() if old.get(column) != new.get(column)
        }
        if not changed_columns:
            return
        old = {column: old.get(column) for column in sorted(changed_columns)}
        new = {column: new.get(column) for column in sorted(changed_columns)}
    action = "changed"
    if old is None or new is None:
        action = "created" if old is None else "deleted"
    actor_name, via = actor()
    apps.get_model("gateway", "Change").objects.create(
        actor=actor_name,
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
        name: _public_value(name, value)
        for name, value in values.items()
        if name not in _IGNORED_COLUMNS
    }


def _public_value(name: str, value: Any) -> Any:
    if name in _SECRET:
        return _secret_digest(value)
    if name in _PAIRS and isinstance(value, dict):
        return {key: _public_header(text) for key, text in value.items()}
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value


def _public_header(value: Any) -> Any:
    """A header's value: a reference to a variable is shown, anything else is digested."""
    names_variable = isinstance(value, str) and value.startswith(VARIABLE_PREFIX)
    return value if names_variable else _secret_digest(value)


def _secret_digest(value: Any) -> str:
    """A placeholder for a secret: empty if there is none, else with a short digest.

    The 16 bits show that a secret was replaced, and are too few to recover it.
    """
    if not value:
        return ""
    value_bytes = value.encode() if isinstance(value, str) else bytes(value)
    return f"(set, {hashlib.sha256(value_bytes).hexdigest()[:4]})"
