"""Converts genai-prices' data to the price snapshot of `gateway.providers.unit_prices`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from gateway.management.price_table import clauses, prices_on
from gateway.providers.unit_prices import SOURCE_NAMES


def table(providers: Iterable[Any], names: Iterable[str], source: str, day: date) -> str:
    """Return the snapshot's JSON text, one model per line, with the prices valid on `day`."""
    provider_ids = set(names)
    lists = {p.id: _price_rows(p.models, day) for p in providers if p.id in provider_ids}
    head = {"source": source, "license": "MIT", "fetched_on": day.isoformat()}
    lines = [json.dumps(head)[:-1] + ', "providers": {']
    for name, rows in sorted(lists.items()):
        if rows:
            text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
            lines.append(f"{json.dumps(name)}: [\n{text}\n],")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "}}"]) + "\n"


def _price_rows(models: Iterable[Any], day: date) -> list[list[Any]]:
    rows = []
    for model in models:
        prices, _ = prices_on(model.prices, day)
        usd = {}
        for unit, source_unit in SOURCE_NAMES.items():
            amounts = (getattr(prices, name, None) for name in source_unit) if prices else ()
            price = next((value for value in amounts if value is not None), None)
            if price is not None and not hasattr(price, "tiers"):
                usd[unit] = format(price.normalize(), "f")
        if usd:
            rows.append([clauses(model.match), usd])
    return rows
