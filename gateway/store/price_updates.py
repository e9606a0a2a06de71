"""Newer price lists: compared with the prices in effect, reviewed, and accepted as data.

read_book(bytes)            -> PriceBook     the format of the snapshot (`manage.py build_prices`)
compare_prices(book)        -> [Change]      differences from the prices in effect
propose(book, name)         -> PriceUpdate   stored for review
PriceUpdate.accept(...)                      a change of the registry: live within a second
apply_accepted_updates()                     called by every load of the snapshot
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from gateway.canon.response import Usage
from gateway.models import Model, PriceUpdate, UsageHour
from gateway.providers.prices import (
    PriceBook,
    PriceEntry,
    PriceEntryUpdate,
    apply_updates,
    entries,
    find_entry,
    matches_clause,
    price_book,
    price_of,
)
from gateway.providers.profile import RATES, Price
from gateway.routing.pricing import cost
from gateway.store.model_prices import price_value
from gateway.usage_querysets import Totals

# Maximum size of a list; the snapshot has 150 kB.
MAX_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 50_000
# The usage of this period estimates the effect of a price change.
EFFECT_DAYS = 30
_MAX_USD = Decimal(10) ** 8

ChangeKind = Literal["changed", "new", "gone"]


class Change(msgspec.Struct, kw_only=True):
    """A difference in one entry of one price list.

    `old` and `new` are entries of `gateway.providers.prices`; `before` is the key of the entry
    before which a new one is inserted. A `gone` entry is only reported: the list has no other
    price for it, so its price stays in effect.
    """

    list: str
    name: str
    kind: ChangeKind
    old: PriceEntry | None = None
    new: PriceEntry | None = None
    before: str = ""


class RateChange(msgspec.Struct, frozen=True):
    """One changed rate in US dollars per million tokens; `name` describes it."""

    name: str
    old: Decimal | None
    new: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """The increase in percent; None if either price is missing or the old one is 0."""
        if not self.old or self.new is None:
            return None
        return ((self.new - self.old) / self.old * 100).quantize(Decimal("0.1"))


class CostEffect(msgspec.Struct, frozen=True):
    """The effect of a change on a model in use: its cost over EFFECT_DAYS, before and after.

    A cost is None if nothing was used or a price is unknown. `has_row_prices`: the row
    overrides prices, and those stay.
    """

    model: str
    old: Decimal | None
    new: Decimal | None
    has_row_prices: bool = False


def read_book(data: bytes) -> PriceBook:
    """A parsed price list. Raises ValueError with a message for the operator."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES // 1024 // 1024} MB")
    try:
        price_book = msgspec.json.decode(data, type=PriceBook)
        lists = {
            name: msgspec.json.decode(raw, type=list[PriceEntry])
            for name, raw in price_book.providers.items()
        }
        dt.date.fromisoformat(price_book.fetched_on)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"this is not a price list: {error}") from None
    if sum(map(len, lists.values())) > MAX_ENTRIES:
        raise ValueError(f"the file has more than {MAX_ENTRIES} models")
    for name, rows in lists.items():
        for entry in rows:
            if problem := entry_problem(entry):
                label = f"{name}, {entry.key or 'a model without a clause'}"
                raise ValueError(f"{label}: {problem}")
    return price_book


def entry_problem(entry: PriceEntry) -> str:
    """Why an entry is unusable; empty if it is not."""
    if not entry.match or not all(_is_valid_clause(clause) for clause in entry.match):
        return "its clauses are not valid"
    prices = [*entry.usd, *(price for _, usd in entry.above for price in usd)]
    if any(p is not None and (not p.is_finite() or not 0 <= p < _MAX_USD) for p in prices):
        return "a price must be a number that is not negative"
    return ""


def _is_valid_clause(clause: str | list[str]) -> bool:
    """Whether a clause can be evaluated; one with an invalid regular expression cannot."""
    try:
        matches_clause(clause, "model")
    except Exception:
        return False
    return bool(clause)


# -- comparison -----------------------------------------------------------------------


def compare_prices(new: PriceBook) -> list[Change]:
    """What a price book would change of the prices in effect, by list and name.

    Lists that the gateway does not use are skipped; lists missing in it stay unchanged.
    """
    changes: list[Change] = []
    for name in sorted(set(new.providers) & set(price_book().providers)):
        rows = msgspec.json.decode(new.providers[name], type=list[PriceEntry])
        changes += _compare_list(name, rows, source=f"{new.source} of {new.fetched_on}")
    return changes


def _compare_list(name: str, rows: list[PriceEntry], *, source: str) -> list[Change]:
    current_entries = {entry.key: entry for entry in entries(name)}
    changes: list[Change] = []
    next_key = ""
    for entry in reversed(rows):
        old = current_entries.get(entry.key)
        if old is None or _compared_fields(old) != _compared_fields(entry):
            changes.append(
                Change(
                    list=name,
                    name=name_of(entry),
                    kind="new" if old is None else "changed",
                    old=old,
                    new=msgspec.structs.replace(entry, source=source),
                    before=next_key,
                )
            )
        next_key = entry.key
    changes.reverse()
    listed_keys = {entry.key for entry in rows}
    removed_entries = (entry for key, entry in current_entries.items() if key not in listed_keys)
    return changes + [
        Change(list=name, name=name_of(e), kind="gone", old=e) for e in removed_entries
    ]


def _compared_fields(entry: PriceEntry) -> Any:
    """The compared fields: all but the source."""
    usd = _pad_rates(entry.usd)
    above = [(tokens, _pad_rates(rates)) for tokens, rates in entry.above]
    return entry.match, usd, entry.window, entry.note, above


def _pad_rates(usd: list[Decimal | None]) -> list[Decimal | None]:
    return [*usd, *[None] * (len(RATES) - len(usd))]


def name_of(entry: PriceEntry) -> str:
    """The display name of an entry: its first clause without the operator."""
    return entry.key.split("&")[0][1:] if entry.key else ""


def rate_changes(change: Change) -> list[RateChange]:
    """The rates that differ, one item each."""
    if change.new is None:
        return []
    old = price_of(change.old) if change.old is not None else Price()
    return _rate_changes(old, price_of(change.new))


def _rate_changes(old: Price, new: Price, scope: str = "") -> list[RateChange]:
    lines = [
        RateChange(f"{rate}{scope}", getattr(old, rate), getattr(new, rate))
        for rate in RATES
        if getattr(old, rate) != getattr(new, rate)
    ]
    before, after = dict(old.above), dict(new.above)
    for tokens in sorted(before.keys() | after.keys()):
        suffix = f", prompts above {tokens}"
        lines += _rate_changes(before.get(tokens, Price()), after.get(tokens, Price()), suffix)
    return lines


# -- effects --------------------------------------------------------------------------


def effects(changes: list[Change], now: dt.datetime | None = None) -> dict[int, list[CostEffect]]:
    """The models in use whose price each change sets, by the index of the change."""
    since = (now or timezone.now()) - dt.timedelta(days=EFFECT_DAYS)
    totals_by_model = UsageHour.objects.in_range(since).totals_by("model")
    rows = list(Model.objects.live().select_related("provider"))
    effects_by_change: dict[int, list[CostEffect]] = {}
    by_key = {(c.list, c.old.key): n for n, c in enumerate(changes) if c.old and c.new}
    for row in rows:
        change_index = _change_index(row, by_key)
        if change_index is None:
            continue
        change = changes[change_index]
        assert change.old is not None
        assert change.new is not None
        totals = totals_by_model.get((row.provider.name, row.name), Totals())
        old, new = (price_value(price_of(e), row) for e in (change.old, change.new))
        effect = CostEffect(
            str(row),
            _usage_cost(totals, old),
            _usage_cost(totals, new),
            has_row_prices=any(getattr(row, f"price_{rate}") is not None for rate in RATES),
        )
        effects_by_change.setdefault(change_index, []).append(effect)
    return effects_by_change


def _change_index(row: Model, by_key: dict[tuple[str, str], int]) -> int | None:
    entry = find_entry(row.provider.preset, row.name)
    return None if entry is None else by_key.get((entry[0], entry[1].key))


def _usage_cost(totals: Totals, price: Price) -> Decimal | None:
    """The cost of the total usage, priced without the rates of long prompts."""
    if not totals.tokens:
        return None
    usage = Usage(
        input=totals.input_tokens,
        cache_read=totals.cache_read_tokens,
        cache_write=totals.cache_write_tokens,
        output=totals.output_tokens,
        reasoning=totals.reasoning_tokens,
    )
    return cost(usage, msgspec.structs.replace(price, above=()))


# -- stored, accepted, applied --------------------------------------------------------


def store_proposal(price_book: PriceBook, name: str) -> PriceUpdate:
    """Store a list's changes for review. Raises ValueError if it changes no price."""
    changes = compare_prices(price_book)
    if not any(change.new for change in changes):
        raise ValueError("all of its prices are already in use")
    row = PriceUpdate(
        name=name[:200] or price_book.source[:200],
        origin=price_book.source[:200],
        list_date=dt.date.fromisoformat(price_book.fetched_on),
        changes=msgspec.to_builtins(changes),
    )
    row.save()
    return row


def changes_of(row: PriceUpdate) -> list[Change]:
    """The changes of a row."""
    changes: list[Change] = msgspec.convert(row.changes, list[Change], strict=False)
    return changes


def accepted_updates(
    rows: QuerySet[PriceUpdate] | None = None,
) -> Iterator[tuple[str, PriceEntryUpdate]]:
    """The accepted changes with their lists, in order of precedence; of all rows, or of `rows`.

    Unreadable rows are skipped: the prices before them stay in effect.
    """
    updates = PriceUpdate.objects.all() if rows is None else rows
    for row in updates.exclude(accepted=[]).order_by("accepted_at", "pk"):
        try:
            changes = changes_of(row)
        except msgspec.ValidationError:
            continue
        for change_index in row.accepted:
            change = changes[change_index] if 0 <= change_index < len(changes) else None
            if change is not None and change.new is not None:
                yield change.list, PriceEntryUpdate(change.new, change.before)


def apply_accepted_updates() -> bool:
    """Apply the accepted changes in this process; whether anything changed."""
    updates_by_list: dict[str, list[PriceEntryUpdate]] = {}
    for name, update in accepted_updates():
        updates_by_list.setdefault(name, []).append(update)
    return apply_updates({name: tuple(updates) for name, updates in updates_by_list.items()})
