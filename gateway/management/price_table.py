"""Converts genai-prices' data to the compact price snapshot of `gateway.providers.prices`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

# In the order of `profile.RATES`.
PRICES = (
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "output_reasoning_mtok",
    "input_audio_mtok",
    "output_audio_mtok",
)
# The first five are always written, the others up to the last known one.
_ALWAYS = 5
_CLAUSES = {
    "ClauseEquals": ("=", "equals"),
    "ClauseStartsWith": ("^", "starts_with"),
    "ClauseEndsWith": ("$", "ends_with"),
    "ClauseContains": ("~", "contains"),
    "ClauseRegex": ("/", "regex"),
}


def table(providers: Iterable[Any], names: Iterable[str], source: str, day: date) -> str:
    """Return the snapshot's JSON text, one model per line, with the prices valid on `day`.

    `names` are the lists to include; their fallback lists are included too.
    """
    providers_by_id = {provider.id: provider for provider in providers}
    provider_ids = set(names) & set(providers_by_id)
    fallback = {
        name: list(providers_by_id[name].fallback_model_providers or ())
        for name in sorted(provider_ids)
    }
    fallback = {name: others for name, others in fallback.items() if others}
    provider_ids.update(fallback_id for others in fallback.values() for fallback_id in others)
    head = {"source": source, "license": "MIT", "fetched_on": day.isoformat(), "fallback": fallback}
    lines = [json.dumps(head)[:-1] + ', "providers": {']
    for name in sorted(provider_ids):
        rows = [row for model in providers_by_id[name].models if (row := _price_entry(model, day))]
        text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        lines.append(f"{json.dumps(name)}: [\n{text}\n],")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "}}"]) + "\n"


def _price_entry(model: Any, day: date) -> list[Any] | None:
    """Return the entry of a model; None if it is not priced by tokens."""
    prices, note = prices_on(model.prices, day)
    prices_by_rate = [getattr(prices, name, None) if prices else None for name in PRICES]
    usd = _prices_above(prices_by_rate)
    if usd[0] is None and usd[1] is None:
        return None
    starts = sorted(
        {tier.start for price in prices_by_rate for tier in getattr(price, "tiers", ())}
    )
    row = [clauses(model.match), usd, model.context_window, note]
    return (
        [*row, [[start, _prices_above(prices_by_rate, start)] for start in starts]]
        if starts
        else row
    )


def _prices_above(amounts: list[Any], start: int | None = None) -> list[str | None]:
    """Return the prices of prompts longer than `start` tokens, or by default of short ones."""
    texts = [None if price is None else _price_amount(price, start) for price in amounts]
    while len(texts) > _ALWAYS and texts[-1] is None:
        texts.pop()
    return texts


def _price_amount(price: Any, start: int | None) -> str:
    tiers = getattr(price, "tiers", None)
    if tiers is not None:
        applicable_prices = [
            tier.price for tier in tiers if start is not None and tier.start <= start
        ]
        price = applicable_prices[-1] if applicable_prices else price.base
    return format(price.normalize(), "f")


def prices_on(prices: Any, day: date) -> tuple[Any, str]:
    """Return the prices of a day, and a note if they also change by the hour.

    Time-of-day prices are ignored: the last price without them counts.
    """
    if not isinstance(prices, list):
        return prices, ""
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    rates, note = prices[0].prices, ""
    for item in prices:
        if hasattr(item.constraint, "start_time"):
            note = "base price; differs at some hours"
        elif item.constraint is None or item.constraint.active(noon):
            rates = item.prices
    return rates, note


def clauses(match: Any) -> list[Any]:
    """Return the alternatives of a match, of which one must match."""
    kind = type(match).__name__
    if kind == "ClauseOr":
        return [clause for part in match.or_ for clause in clauses(part)]
    if kind == "ClauseAnd":
        parts = [clauses(part) for part in match.and_]
        return [_all_of(parts)]
    sign, field = _CLAUSES[kind]
    text = getattr(match, field)
    return [sign + (text if sign == "/" else text.lower())]


def _all_of(parts: list[list[Any]]) -> list[str]:
    """Return clauses that must all match. Raises ValueError if one has alternatives."""
    if any(len(part) != 1 for part in parts):
        raise ValueError("the snapshot does not support a choice inside a conjunction")
    return [part[0] for part in parts]
