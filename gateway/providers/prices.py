"""List prices of models: a snapshot that the project carries, read when first asked.

The data come from genai-prices (MIT, github.com/pydantic/genai-prices), compacted by
`manage.py build_prices`. The package itself is needed only for that: imported, it costs
0.45 s and 20 MB, and 10 MB more at its first price (measured 2026-11); this file costs
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


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A model of a price list.

    Attributes:
        match: clauses of which one must hold. A clause is a kind and a text: `=` equal,
            `^` starts with, `$` ends with, `~` contains, `/` regular expression; a list
            of them must hold together.
        usd: dollars per million tokens in the order of `profile.RATES`; None, or not
            there at the end, where unknown.
        window: the context window in tokens.
        note: what the price leaves out (hours).
        above: prices of longer prompts: more than so many tokens, and dollars as in `usd`.
        source: who said so; empty is the snapshot that the project carries.
    """

    match: list[str | list[str]]
    usd: list[Decimal | None]
    window: int | None = None
    note: str = ""
    above: list[tuple[int, list[Decimal | None]]] = []
    source: str = ""

    @property
    def key(self) -> str:
        """What tells it from the others of its list: its first clause."""
        first = self.match[0] if self.match else ""
        return first if isinstance(first, str) else "&".join(first)


class PriceBook(msgspec.Struct, frozen=True):
    """The file: where it is from, and the lists by provider, each decoded when asked for."""

    source: str
    licence: str
    fetched_on: str
    fallback: dict[str, list[str]]
    providers: dict[str, msgspec.Raw]


@lru_cache(maxsize=1)
def price_book() -> PriceBook:
    """The price snapshot."""
    return msgspec.json.decode(FILE.read_bytes(), type=PriceBook)


class Update(msgspec.Struct, frozen=True):
    """An entry that is newer than the snapshot's.

    It takes the place of the one with its key, or else stands in front of the one with
    the key `before`: of the entries that mean a name, the first counts.
    """

    entry: Entry
    before: str = ""


# By list. Set as a whole by whoever reads them from the database (`use`).
_updates: dict[str, tuple[Update, ...]] = {}


def apply_updates(updates: dict[str, tuple[Update, ...]]) -> bool:
    """Let these entries hold before the snapshot's, in this process; whether that is news."""
    global _updates
    if updates == _updates:
        return False
    _updates = updates
    for cached in (entries, price_for, context_window):
        cached.cache_clear()
    return True


@lru_cache(maxsize=64)
def entries(name: str) -> list[Entry]:
    """A provider's price list as it holds now; empty if there is none."""
    return merge_entries(snapshot_entries(name), _updates.get(name, ()))


def snapshot_entries(name: str) -> list[Entry]:
    """A provider's price list as the snapshot has it."""
    raw = price_book().providers.get(name)
    return msgspec.json.decode(raw, type=list[Entry]) if raw is not None else []


def merge_entries(old: list[Entry], updates: tuple[Update, ...]) -> list[Entry]:
    """A list with newer entries in their places."""
    entries = list(old)
    for update in updates:
        keys = [entry.key for entry in entries]
        if update.entry.key in keys:
            entries[keys.index(update.entry.key)] = update.entry
        else:
            index = keys.index(update.before) if update.before in keys else len(entries)
            entries.insert(index, update.entry)
    return entries


_NOTHING = Decimal(0)
_FREE = Price(
    input=_NOTHING,
    output=_NOTHING,
    cache_read=_NOTHING,
    cache_write=_NOTHING,
    cache_write_1h=_NOTHING,
    source="runs on your own machine",
)


@lru_cache(maxsize=4096)
def price_for(preset: str, model: str) -> Price:
    """The list price of a model; all None where nobody knows it.

    Where a price changes by the hour it is the base one, and `source` says so.
    """
    entry = _entry_for(preset, model)
    if entry is None:
        return _FREE if _is_local(preset, model) else Price()
    return price_of(entry)


def price_of(entry: Entry) -> Price:
    """The price that an entry tells."""
    base = entry.source or price_book().source
    source = f"{base} ({entry.note})" if entry.note else base
    above = ((tokens, _price(usd, source=source)) for tokens, usd in entry.above)
    return _price(entry.usd, source=source, above=tuple(above))


def _price(usd: list[Decimal | None], **fields: Any) -> Price:
    rates: dict[str, Any] = dict(zip(RATES, usd, strict=False))
    return Price(**rates, **fields)


def _is_local(preset: str, model: str) -> bool:
    """Whether nobody sends a bill; Ollama's `:cloud` models run elsewhere."""
    row = PRESETS.get(preset)
    return row is not None and row.local and "cloud" not in model


@lru_cache(maxsize=4096)
def context_window(preset: str, model: str) -> int | None:
    """The tokens that fit into the model's context, as its price list says."""
    entry = _entry_for(preset, model)
    return entry.window if entry is not None else None


def _entry_for(preset: str, model: str) -> Entry | None:
    match = find_entry(preset, model)
    return None if match is None else match[1]


def find_entry(preset: str, model: str) -> tuple[str, Entry] | None:
    """The list that a model's price stands in, and its entry; None if none has it."""
    row = PRESETS.get(preset)
    if row is None or not row.prices or not model:
        return None
    name = model.lower()
    lists = (row.prices, *price_book().fallback.get(row.prices, ()))
    # As named; with the date as the lists write it; without the path of a deployment.
    for text in dict.fromkeys((name, _COMPACT_DATE.sub(r"-\1-\2-\3", name), _last(name))):
        for provider in lists:
            for entry in entries(provider):
                if any(matches_clause(clause, text) for clause in entry.match):
                    return provider, entry
    return None


def lists_model(preset: str, model: str) -> bool:
    """Whether a preset's own price list has a model under just this name."""
    row = PRESETS.get(preset)
    if row is None or not row.prices:
        return False
    name = model.lower()
    return any(
        matches_clause(clause, name) for entry in entries(row.prices) for clause in entry.match
    )


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def matches_clause(clause: str | list[str], text: str) -> bool:
    """Whether a clause of a price list (`Entry.match`) means this name."""
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
