"""List prices of models: a bundled snapshot, read on first use.

The data come from genai-prices (MIT, github.com/pydantic/genai-prices), compacted by
`manage.py build_prices`. The package itself is needed only for that: importing it costs
0.45 s and 20 MB, and 10 MB more at the first price (measured 2026-11); this file costs
a few milliseconds and 1 MB.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from gateway.providers.catalog import PRESETS
from gateway.providers.profile import RATES, Price

FILE = Path(__file__).parent / "data" / "prices.json"

_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$")


class PriceEntry(msgspec.Struct, frozen=True, array_like=True):
    """A model of a price list.

    Attributes:
        match: clauses of which one must match. A clause is a kind and a text: `=` equal,
            `^` starts with, `$` ends with, `~` contains, `/` regular expression; the clauses
            of a nested list must all match.
        usd: US dollars per million tokens in the order of `profile.RATES`; None, or missing
            at the end, if unknown.
        window: the context window in tokens.
        note: what the price does not reflect (times of day).
        above: prices of longer prompts: a threshold in tokens, and dollars as in `usd`.
        source: origin of the price; empty for the bundled snapshot.
    """

    match: list[str | list[str]]
    usd: list[Decimal | None]
    window: int | None = None
    note: str = ""
    above: list[tuple[int, list[Decimal | None]]] = []
    source: str = ""

    @property
    def key(self) -> str:
        """The entry's key in its list: its first clause."""
        first_pattern = self.match[0] if self.match else ""
        return first_pattern if isinstance(first_pattern, str) else "&".join(first_pattern)


class PriceBook(msgspec.Struct, frozen=True):
    """The file: its source, and the lists by provider, each decoded on first use."""

    source: str
    license: str
    fetched_on: str
    fallback: dict[str, list[str]]
    providers: dict[str, msgspec.Raw]


@lru_cache(maxsize=1)
def price_book() -> PriceBook:
    """Return the price snapshot."""
    return msgspec.json.decode(FILE.read_bytes(), type=PriceBook)


class PriceEntryUpdate(msgspec.Struct, frozen=True):
    """An entry newer than the snapshot's.

    It replaces the entry with the same key, or is inserted before the one with the key
    `before`: the first entry that matches a name counts.
    """

    entry: PriceEntry
    before: str = ""


# By list; replaced as a whole when they are read from the database (`apply_updates`).
_updates: dict[str, tuple[PriceEntryUpdate, ...]] = {}


def apply_updates(updates: dict[str, tuple[PriceEntryUpdate, ...]]) -> bool:
    """Override the snapshot with these entries, in this process; returns whether they changed."""
    global _updates
    if updates == _updates:
        return False
    _updates = updates
    for cached in (entries, price_for, context_window):
        cached.cache_clear()
    return True


@lru_cache(maxsize=64)
def entries(name: str) -> list[PriceEntry]:
    """Return a provider's current price list; empty if there is none."""
    return merge_entries(snapshot_entries(name), _updates.get(name, ()))


def snapshot_entries(name: str) -> list[PriceEntry]:
    """Return a provider's price list from the snapshot."""
    raw = price_book().providers.get(name)
    return msgspec.json.decode(raw, type=list[PriceEntry]) if raw is not None else []


def merge_entries(
    old_entries: list[PriceEntry], updates: tuple[PriceEntryUpdate, ...]
) -> list[PriceEntry]:
    """Return a list with newer entries merged in."""
    entries = list(old_entries)
    for update in updates:
        keys = [entry.key for entry in entries]
        if update.entry.key in keys:
            entries[keys.index(update.entry.key)] = update.entry
        else:
            index = keys.index(update.before) if update.before in keys else len(entries)
            entries.insert(index, update.entry)
    return entries


_ZERO = Decimal(0)
_FREE_PRICE = Price(
    input=_ZERO,
    output=_ZERO,
    cache_read=_ZERO,
    cache_write=_ZERO,
    cache_write_1h=_ZERO,
    source="runs locally",
)


@lru_cache(maxsize=4096)
def price_for(preset: str, model: str) -> Price:
    """Return the list price of a model; all None if unknown.

    A price that changes by the hour is the base price, and `source` says so.
    """
    entry = _entry_for(preset, model)
    if entry is None:
        return _FREE_PRICE if _is_local(preset, model) else Price()
    return price_of(entry)


def price_of(entry: PriceEntry) -> Price:
    """Return the price of an entry."""
    base = entry.source or price_book().source
    source = f"{base} ({entry.note})" if entry.note else base
    above = ((tokens, _price_of_usd(usd, source=source)) for tokens, usd in entry.above)
    return _price_of_usd(entry.usd, source=source, above=tuple(above))


def _price_of_usd(usd: list[Decimal | None], **fields: Any) -> Price:
    rates: dict[str, Any] = dict(zip(RATES, usd, strict=False))
    return Price(**rates, **fields)


def _is_local(preset: str, model: str) -> bool:
    """Whether the model runs at no charge; Ollama's `:cloud` models run elsewhere."""
    row = PRESETS.get(preset)
    return row is not None and row.local and "cloud" not in model


@lru_cache(maxsize=4096)
def context_window(preset: str, model: str) -> int | None:
    """Return the model's context window in tokens, from its price list."""
    entry = _entry_for(preset, model)
    return entry.window if entry is not None else None


def _entry_for(preset: str, model: str) -> PriceEntry | None:
    match = find_entry(preset, model)
    return None if match is None else match[1]


def find_entry(preset: str, model: str) -> tuple[str, PriceEntry] | None:
    """Return the list and the entry with a model's price; None if no list has it."""
    row = PRESETS.get(preset)
    if row is None or not row.prices or not model:
        return None
    name = model.lower()
    lists = (row.prices, *price_book().fallback.get(row.prices, ()))
    # The name itself; with the date in the lists' format; without the path of a deployment.
    dated_name = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    for text in dict.fromkeys((name, dated_name, name.rpartition("/")[2])):
        for provider in lists:
            for entry in entries(provider):
                if any(matches_clause(clause, text) for clause in entry.match):
                    return provider, entry
    return None


def lists_model(preset: str, model: str) -> bool:
    """Whether a preset's own price list has a model of exactly this name."""
    row = PRESETS.get(preset)
    if row is None or not row.prices:
        return False
    name = model.lower()
    return any(
        matches_clause(clause, name) for entry in entries(row.prices) for clause in entry.match
    )


def matches_clause(clause: str | list[str], text: str) -> bool:
    """Whether a clause of a price list (`PriceEntry.match`) matches this name."""
    if isinstance(clause, list):
        return all(matches_clause(part, text) for part in clause)
    kind, operand = clause[0], clause[1:]
    match kind:
        case "=":
            return text == operand
        case "^":
            return text.startswith(operand)
        case "$":
            return text.endswith(operand)
        case "~":
            return operand in text
    return re.search(operand, text) is not None
