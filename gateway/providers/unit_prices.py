"""List prices of what is not plain text: pictures, sound, characters.

A snapshot that the project carries, from genai-prices (MIT), made by `manage.py
build_prices`. What stands in no list here is unknown: it is never taken for free.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import msgspec

from gateway.providers.catalog import PRESETS
from gateway.providers.prices import matches_clause, price_book

FILE = Path(__file__).parent / "data" / "units.json"

# Our name of a price -> genai-prices' names of it, the first that is known.
UNITS: dict[str, tuple[str, ...]] = {
    "input_image": ("input_image_mtok",),
    "cached_image": ("cache_image_read_mtok",),
    "output_image": ("output_image_mtok",),
    "input_audio": ("input_audio_mtok",),
    "output_audio": ("output_audio_mtok",),
    "characters": ("input_mchars",),
    "audio_hour": ("audio_hours", "input_audio_hours"),
}


class UnitPrice(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars; None where unknown.

    `input_image` to `output_audio` are for a million tokens of that kind, `characters` for
    a million of them, `audio_hour` for an hour of sound. `source` says who said so.
    """

    input_image: Decimal | None = None
    cached_image: Decimal | None = None
    output_image: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    characters: Decimal | None = None
    audio_hour: Decimal | None = None
    source: str = ""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    match: list[str | list[str]]
    usd: dict[str, Decimal]


class _Book(msgspec.Struct, frozen=True):
    source: str
    licence: str
    fetched_on: str
    providers: dict[str, list[_Row]]


@lru_cache(maxsize=1)
def _book() -> _Book:
    return msgspec.json.decode(FILE.read_bytes(), type=_Book)


@lru_cache(maxsize=1024)
def unit_price_for(preset: str, model: str) -> UnitPrice:
    """The list prices of a model; all None where nobody knows them."""
    row = PRESETS.get(preset)
    if row is None or not row.prices or not model:
        return UnitPrice()
    name = model.lower()
    for text in dict.fromkeys((name, name.rpartition("/")[2])):
        for provider in (row.prices, *price_book().fallback.get(row.prices, ())):
            for entry in _book().providers.get(provider, ()):
                if any(matches_clause(clause, text) for clause in entry.match):
                    return UnitPrice(**entry.usd, source=_book().source)
    return UnitPrice()
