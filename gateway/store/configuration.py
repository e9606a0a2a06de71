"""Configuration as code: exports the registry as one document, and applies such a document.

    export()                      -> {"dragoman": 1, "providers": [...], ...}, without secrets
    apply(document, file, ...)    -> Outcome: the changes made, and the keys created

A row that `apply` writes belongs to its file (`Source.CODE`): the console and the API do not
change it. The file in turn does not change rows of other owners, unless `take` is set. Rows that
the file created earlier and no longer contains are deleted. All of it is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from django.db import transaction
from django.db.models import ProtectedError

from gateway.models import ApiKey, RowSource, Setting
from gateway.routing.route_spec import StepSpec, TargetSpec
from gateway.store.documents import KINDS, Kind, Owner, Refused, as_json, assign_owner
from gateway.store.documents.schemas import convert_document
from gateway.store.keys import new_key_row
from gateway.store.options import OPTIONS, load_options
from gateway.store.price_documents import read_prices, write_prices

VERSION = 1
_YAML_HEAD = """\
# Dragoman's configuration. `manage.py apply FILE --dry-run` prints what it would change.
# Stored credentials are shown as *** and stay unchanged; for another database, use os.environ/NAME.
"""
Document = dict[str, Any]
# The position in the file of a document path such as `providers[0].base_url`.
SourceRefOf = Callable[[str], str]


class ChangeLine(NamedTuple):
    """One change: `+`, `-` or `~` for a row; for `~` also the field, its old and its new value."""

    action: str
    kind: str
    name: str
    field: str = ""
    before: Any = None
    after: Any = None


class AppliedChanges(NamedTuple):
    """The changes made, and name and secret of each created key. Secrets are not stored."""

    lines: list[ChangeLine]
    keys: list[tuple[str, str]]


class _Rollback(Exception):
    """Rolls back the transaction of a dry run."""


class InvalidDocument(ValueError):
    """The document is invalid; `path` locates the error, as in `routes[2].name`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def export() -> Document:
    """The whole registry, without default values and without secrets.

    Stored credentials are exported as `***`. Applied to the same database they stay unchanged;
    for another database they must be filled in (preferably as `os.environ/NAME`).
    """
    document: Document = {"dragoman": VERSION}
    for kind in KINDS.values():
        rows: Iterable[Any] = kind.rows().order_by(*_export_order(kind))
        if kind.name == "teams":  # a project refers to its team
            rows = sorted(rows, key=lambda row: row.parent_id is not None)
        defaults = _default_document(kind)
        documents = [
            _without_defaults(kind.read(row), defaults) for row in rows if _is_exported(row)
        ]
        if documents:
            document[kind.name] = documents
    if prices := list(read_prices().values()):
        document["prices"] = prices
    options = load_options().values
    settings = {name: as_json(o.value) for name, o in options.items() if o.origin in {"database"}}
    return {**document, "settings": settings} if settings else document


def export_yaml() -> str:
    """`export` as YAML that `manage.py apply` and `up --config` read."""
    return _YAML_HEAD + yaml.safe_dump(export(), sort_keys=False, allow_unicode=True, width=100)


def _is_exported(row: Any) -> bool:
    """False for rows that every start recreates, and for revoked keys."""
    if row.source == RowSource.BUILTIN:
        return False
    return not (isinstance(row, ApiKey) and row.revoked_at is not None)


def _export_order(kind: Kind) -> tuple[str, ...]:
    return ("provider__name", "name") if kind.name == "models" else ("name", "pk")


def _default_document(kind: Kind) -> Document:
    """A document of this kind in which every field has its default."""
    defaults: Document = as_json(kind.schema(name=""))
    return defaults


def _without_defaults(document: Document, defaults: Mapping[str, Any]) -> Document:
    """The document without fields that have their default value, nested ones included."""
    remaining_fields: Document = {}
    for name, value in document.items():
        default = defaults.get(name)
        if value == default and name != "name":
            continue
        is_nested = isinstance(value, Mapping) and isinstance(default, Mapping) and default
        remaining_fields[name] = _without_defaults(dict(value), default) if is_nested else value  # type: ignore[arg-type]
    if "steps" in remaining_fields:
        remaining_fields["steps"] = [
            _step_without_defaults(step) for step in remaining_fields["steps"]
        ]
    return remaining_fields


def _step_without_defaults(step: Document) -> Document:
    fields = _without_defaults(
        {k: v for k, v in step.items() if k != "targets"}, as_json(StepSpec())
    )
    target_defaults = as_json(TargetSpec(model=""))
    targets = [_without_defaults(target, target_defaults) for target in step.get("targets", ())]
    return {**fields, "targets": targets}


def apply(
    document: Mapping[str, Any],
    file: str,
    source_ref_of: SourceRefOf,
    *,
    take: bool = False,
    dry_run: bool = False,
) -> AppliedChanges:
    """Apply the document of `file`; with `dry_run`, only compute the changes.

    `source_ref_of` maps a document path to its position in the file, such as `gateway.yaml:12`. A
    dry run writes everything and rolls it back, so that it finds the errors of a real run.

    Raises InvalidDocument; nothing is written then.
    """
    application = _Application(document, file, source_ref_of, take=take)
    try:
        with transaction.atomic():
            outcome = application.run()
            if dry_run:
                raise _Rollback
    except _Rollback:
        return AppliedChanges(outcome.lines, [])
    return outcome


class _Application:
    """One run of `apply`: the rows, changes and keys written so far."""

    def __init__(
        self, document: Mapping[str, Any], file: str, source_ref_of: SourceRefOf, *, take: bool
    ) -> None:
        self._document = document
        self._file, self._source_ref_of, self._take = file, source_ref_of, take
        self._lines: list[ChangeLine] = []
        self._keys: list[tuple[str, str]] = []
        self._written_pks: dict[str, set[int]] = {name: set() for name in KINDS}

    def run(self) -> AppliedChanges:
        self._check_sections()
        for kind in KINDS.values():
            self._write_section(kind)
        self._write_settings()
        self._write_prices()
        for kind in reversed(list(KINDS.values())):
            self._remove_unlisted_rows(kind)
        return AppliedChanges(self._lines, self._keys)

    def _check_sections(self) -> None:
        if self._document.get("dragoman") != VERSION:
            raise InvalidDocument("dragoman", f"must be {VERSION}: the version of this format")
        for name, value in self._document.items():
            if name == "settings":
                if not isinstance(value, Mapping):
                    raise InvalidDocument(name, "must be a mapping")
            elif name in KINDS or name == "prices":
                if not isinstance(value, list):
                    raise InvalidDocument(name, "must be a list")
            elif name != "dragoman":
                sections = ", ".join((*KINDS, "prices", "settings"))
                raise InvalidDocument(
                    name, f"there is no such section; the sections are {sections}"
                )

    def _write_section(self, kind: Kind) -> None:
        seen_names: set[str] = set()
        for number, document in enumerate(self._document.get(kind.name) or ()):
            path = f"{kind.name}[{number}]"
            if not isinstance(document, dict) or not isinstance(document.get("name"), str):
                raise InvalidDocument(path, "must be a mapping with a name")
            name = str(document.get("prefix") or document["name"])
            if name in seen_names:
                raise InvalidDocument(f"{path}.name", f"{document['name']} is listed twice")
            seen_names.add(name)
            owner = Owner(self._file, self._source_ref_of(path), self._take)
            try:
                with assign_owner(owner):
                    self._write_entry(kind, document)
            except Refused as refused:
                raise InvalidDocument(
                    f"{path}.{refused.field}".rstrip("."), refused.reason
                ) from None

    def _write_entry(self, kind: Kind, document: Document) -> None:
        row = kind.find(str(document.get("prefix", ""))) or kind.find(document["name"])
        before = kind.read(row) if row is not None else None
        full_document = {**_default_document(kind), **document}
        if before is not None and kind.name == "providers" and "credential" not in document:
            full_document["credential"] = before["credential"]
        if row is None and kind.name == "keys":
            row, secret = new_key_row()
            self._keys.append((document["name"], secret))
        if (
            row is not None
            and row.pk
            and before == as_json(convert_document(full_document, kind.schema))
        ):
            owner = Owner(self._file)
            if owner.manages(row):  # each write bumps the version: every process reloads
                self._written_pks[kind.name].add(row.pk)
                return
        written_row = kind.write(full_document, row)
        self._written_pks[kind.name].add(written_row.pk)
        self._add_change_lines(kind, document["name"], before, kind.read(written_row))

    def _add_change_lines(
        self, kind: Kind, name: str, before: Document | None, after: Document
    ) -> None:
        if before is None:
            self._lines.append(ChangeLine("+", kind.label, name))
            return
        for field, old, new in _field_differences(before, after):
            self._lines.append(ChangeLine("~", kind.label, name, field, old, new))

    def _write_settings(self) -> None:
        options = load_options().values
        for name, value in (self._document.get("settings") or {}).items():
            option = OPTIONS.get(name)
            path = f"settings.{name}"
            if option is None:
                raise InvalidDocument(
                    path, f"there is no such setting; the settings are {', '.join(OPTIONS)}"
                )
            try:
                checked_value = as_json(option.check(value))
            except ValueError as error:
                raise InvalidDocument(path, str(error)) from None
            if options[name].origin == "environment":
                raise InvalidDocument(path, f"it is set by the environment ({options[name].ref})")
            old = as_json(options[name].value)
            row = Setting.objects.filter(name=name).first()
            if row is not None and old == checked_value:
                continue
            source = {"source": RowSource.CODE, "source_ref": self._source_ref_of(path)}
            Setting.objects.update_or_create(name=name, defaults={"value": checked_value, **source})
            if old != checked_value:
                self._lines.append(ChangeLine("~", "setting", name, "value", old, checked_value))

    def _write_prices(self) -> None:
        owner = Owner(self._file, self._source_ref_of("prices"), self._take)
        try:
            written_prices = list(write_prices(self._document.get("prices") or [], owner))
        except Refused as refused:
            raise InvalidDocument(refused.field, refused.reason) from None
        for action, name, before, after in written_prices:
            if action == "~":
                for field, old, new in _field_differences(before or {}, after or {}):
                    self._lines.append(ChangeLine(action, "price", name, field, old, new))
            else:
                self._lines.append(ChangeLine(action, "price", name))

    def _remove_unlisted_rows(self, kind: Kind) -> None:
        """Delete the rows that this file created earlier and no longer contains."""
        rows = (
            kind.rows().filter(source=RowSource.CODE).exclude(pk__in=self._written_pks[kind.name])
        )
        # Delete dependents first: projects before their teams.
        for row in sorted(rows, key=lambda row: getattr(row, "parent_id", None) is None):
            if not Owner(self._file).manages(row):
                continue
            self._lines.append(ChangeLine("-", kind.label, kind.read(row)["name"]))
            try:
                row.delete()
            except ProtectedError:
                raise InvalidDocument(
                    kind.name, f"{row} was removed from the file, but is still in use"
                ) from None


def _field_differences(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        field = f"{path}.{name}" if path else name
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _field_differences(old, new, field)
        elif old != new:
            yield field, old, new
