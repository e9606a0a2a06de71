"""List prices of models: a snapshot that the project carries, read when first asked.

The data come from genai-prices (MIT, github.com/pydantic/genai-prices), compacted by
`manage.py buildprices`. The package itself is needed only for that: imported, it costs
0.45 s and 20 MB, and 10 MB more at its first price (measured 2026-11); this file costs
a few milliseconds and 1 MB.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import msgspec

from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Price

FILE = Path(__file__).parent / "data" / "prices.json"

_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A model of a price list.

    Attributes:
        match: clauses of which one must hold. A clause is a kind and a text: `=` equal,
            `^` starts with, `$` ends with, `~` contains, `/` regular expression; a list
            of them must hold together.
        usd: dollars per million tokens of input, output, cache read, cache write and
            one-hour cache write; None where unknown.
        window: the context window in tokens.
        note: what the base price leaves out (tiers, hours).
    """

    match: list[str | list[str]]
    usd: list[Decimal | None]
    window: int | None = None
    note: str = ""


class Book(msgspec.Struct, frozen=True):
    """The file: where it is from, and the lists by provider, each decoded when asked for."""

    source: str
    licence: str
    taken: str
    fallback: dict[str, list[str]]
    providers: dict[str, msgspec.Raw]


@lru_cache(maxsize=1)
def book() -> Book:
    """The price snapshot."""
    return msgspec.json.decode(FILE.read_bytes(), type=Book)


@lru_cache(maxsize=64)
def entries(name: str) -> list[Entry]:
    """A provider's price list; empty if there is none."""
    raw = book().providers.get(name)
    return msgspec.json.decode(raw, type=list[Entry]) if raw is not None else []


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

    Where a price has tiers or hours it is the base one, and `source` says so.
    """
    entry = _find(preset, model)
    if entry is None:
        return _FREE if _is_local(preset, model) else Price()
    base = book().source
    source = f"{base} ({entry.note})" if entry.note else base
    read, write, write_1h = entry.usd[2:5]
    return Price(
        input=entry.usd[0],
        output=entry.usd[1],
        cache_read=read,
        cache_write=write,
        cache_write_1h=write_1h,
        source=source,
    )


def _is_local(preset: str, model: str) -> bool:
    """Whether nobody sends a bill; Ollama's `:cloud` models run elsewhere."""
    row = PRESETS.get(preset)
    return row is not None and row.local and "cloud" not in model


@lru_cache(maxsize=4096)
def context_window(preset: str, model: str) -> int | None:
    """The tokens that fit into the model's context, as its price list says."""
    entry = _find(preset, model)
    return entry.window if entry is not None else None


def _find(preset: str, model: str) -> Entry | None:
    row = PRESETS.get(preset)
    if row is None or not row.prices or not model:
        return None
    name = model.lower()
    lists = (row.prices, *book().fallback.get(row.prices, ()))
    # As named; with the date as the lists write it; without the path of a deployment.
    for text in dict.fromkeys((name, _COMPACT_DATE.sub(r"-\1-\2-\3", name), _last(name))):
        for provider in lists:
            for entry in entries(provider):
                if any(_holds(clause, text) for clause in entry.match):
                    return entry
    return None


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _holds(clause: str | list[str], text: str) -> bool:
    if isinstance(clause, list):
        return all(_holds(part, text) for part in clause)
    kind, wanted = clause[0], clause[1:]
    match kind:
        case "=":
            return text == wanted
        case "^":
            return text.startswith(wanted)
        case "$":
            return text.endswith(wanted)
        case "~":
            return wanted in text
    return re.search(wanted, text) is not None
