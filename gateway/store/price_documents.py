"""Accepted price overrides as a part of the configuration document: its `prices` section.

    read_prices()                      the overrides in effect on top of the bundled price lists
    write_prices(documents, owner)     replaces the overrides of one file

Each file has one row, whose overrides apply after those that were accepted before it. An entry
that was accepted with another price is only replaced if `owner.take` is set.
Bills are not configuration: they stay unchanged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from gateway.models import PriceUpdate, RowSource
from gateway.providers.prices import PriceEntry, PriceEntryUpdate, price_book, snapshot_entries
from gateway.providers.profile import RATES
from gateway.store.documents.schemas import (
    OwnedElsewhere,
    Owner,
    Refused,
    as_json,
    convert_document,
)
from gateway.store.price_updates import Change, accepted_updates, entry_problem, name_of

Document = dict[str, Any]
# (name of the list, key of the entry in it).
Key = tuple[str, str]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None is unknown."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None


class PricesAbove(Rates, frozen=True, kw_only=True):
    """The prices of prompts with more than `tokens` tokens."""

    tokens: int


class PriceDoc(Rates, frozen=True, kw_only=True):
    """An entry of a price list that overrides the bundled one.

    Attributes:
        list_name: name of the price list, such as `openai`.
        match: the model names it applies to; clauses as in `gateway.providers.prices.PriceEntry`.
        before: the first clause of the entry before which a new one is inserted.
        window: the context window in tokens.
        note: what the price does not include.
        above: prices of longer prompts, shortest first.
        origin: source of the price.
    """

    list_name: str = msgspec.field(name="list")
    match: list[str | list[str]]
    before: str = ""
    window: int | None = None
    note: str = ""
    above: list[PricesAbove] = []
    origin: str = ""


class PriceChange(NamedTuple):
    """A change of an override: `+`, `-` or `~`, its name, and its old and new document."""

    action: str
    name: str
    before: Document | None
    after: Document | None


def read_prices(rows: QuerySet[PriceUpdate] | None = None) -> dict[Key, Document]:
    """The overrides in effect, by list and entry; of all rows, or of `rows`."""
    return {
        (name, update.entry.key): _price_document(name, update)
        for name, update in accepted_updates(rows)
    }


def write_prices(documents: list[Any], owner: Owner) -> Iterator[PriceChange]:
    """Replace the file's overrides and yield the differences. Raises Refused.

    The field of a Refused error is a path such as `prices[2].list`.
    """
    file_rows = [r for r in PriceUpdate.objects.filter(source=RowSource.CODE) if owner.manages(r)]
    pks = [row.pk for row in file_rows]
    before = read_prices(PriceUpdate.objects.filter(pk__in=pks))
    other_prices = read_prices(PriceUpdate.objects.exclude(pk__in=pks))
    updates: dict[Key, tuple[str, PriceEntryUpdate]] = {}
    for number, document in enumerate(documents):
        path = f"prices[{number}]"
        name, update = _parse_update(document, path)
        key = (name, update.entry.key)
        if key in updates:
            raise Refused(f"{path}.match", f"{name}/{name_of(update.entry)} is listed twice")
        if (
            key in other_prices
            and other_prices[key] != _price_document(name, update)
            and not owner.take
            and key not in before
        ):
            reason = f"{name}/{name_of(update.entry)} was accepted here with another price"
            raise OwnedElsewhere(path, f"{reason}; `--take` transfers it to this file")
        updates[key] = name, update
    after = {key: _price_document(*pair) for key, pair in updates.items()}
    if after != before:
        _save(list(updates.values()), file_rows, owner)
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key, other_prices.get(key)), after.get(key)
        if old != new and (key in before or new is not None):
            action = "+" if old is None else "~" if new is not None else "-"
            yield PriceChange(action, f"{key[0]}/{key[1].split('&')[0][1:]}", old, new)


def _save(
    pairs: list[tuple[str, PriceEntryUpdate]], file_rows: list[PriceUpdate], owner: Owner
) -> None:
    row, *duplicates = file_rows or [PriceUpdate(list_date=timezone.now().date())]
    for duplicate in duplicates:
        duplicate.delete()
    if not pairs:
        if row.pk:
            row.delete()
        return
    row.name = row.origin = owner.file[:200]
    row.source, row.source_ref = RowSource.CODE, owner.ref[:300]
    row.changes = msgspec.to_builtins([_build_change(*pair) for pair in pairs])
    row.accept(list(range(len(pairs))), owner.file[:150], dt.datetime.now(dt.UTC))


def _build_change(name: str, update: PriceEntryUpdate) -> Change:
    entry = update.entry
    old = next(
        (listed_entry for listed_entry in snapshot_entries(name) if listed_entry.key == entry.key),
        None,
    )
    return Change(
        list=name,
        name=name_of(entry),
        kind="new" if old is None else "changed",
        old=old,
        new=entry,
        before=update.before,
    )


# --- one override ---------------------------------------------------------------------------


def _price_document(name: str, update: PriceEntryUpdate) -> Document:
    """An override's document, without empty fields."""
    entry = update.entry
    values = PriceDoc(
        list_name=name,
        match=entry.match,
        before=update.before,
        window=entry.window,
        note=entry.note,
        above=[PricesAbove(tokens=tokens, **_usd_by_rate(usd)) for tokens, usd in entry.above],
        origin=entry.source,
        **_usd_by_rate(entry.usd),
    )
    document: Document = _without_empty(as_json(values))
    return document


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v not in (None, "", [])}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _usd_by_rate(usd: list[Decimal | None]) -> dict[str, Any]:
    return dict(zip(RATES, usd, strict=False))


def _parse_update(document: Any, path: str) -> tuple[str, PriceEntryUpdate]:
    if not isinstance(document, dict):
        raise Refused(path, "must be a mapping with a list, names to match and prices")
    try:
        values = convert_document(document, PriceDoc)
    except Refused as refused:
        raise Refused(f"{path}.{refused.field}".rstrip("."), refused.reason) from None
    if values.list_name not in price_book().providers:
        list_names = ", ".join(sorted(price_book().providers))
        raise Refused(f"{path}.list", f"there is no such list; there are {list_names}")
    entry = PriceEntry(
        match=values.match,
        usd=_usd_list(values),
        window=values.window,
        note=values.note,
        above=[(above.tokens, _usd_list(above)) for above in values.above],
        source=values.origin,
    )
    if problem := entry_problem(entry):
        raise Refused(path, problem)
    return values.list_name, PriceEntryUpdate(entry, values.before)


def _usd_list(rates: Rates) -> list[Decimal | None]:
    return [getattr(rates, rate) for rate in RATES]
