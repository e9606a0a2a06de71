"""Several answers of a column -> medians and their spread, so that "fastest" is honest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from console.playground.takes import Take, Takes

Json = dict[str, Any]

# What is counted of an answer: the name in the summary, and that in its `end`.
MEASURES = {
    "ttft_ms": "ttft_ms",
    "total_ms": "total_ms",
    "tok_s": "tok_s",
    "input": "input",
    "tokens": "output",
    "cost": "cost",
    "chars": "chars",
}


def spread(values: Iterable[float | None]) -> Json | None:
    """Median, least, most and quartiles of what is known; None if nothing is."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    quartiles = statistics.quantiles(known, n=4, method="inclusive") if len(known) > 1 else []
    return {
        "median": statistics.median(known),
        "min": known[0],
        "max": known[-1],
        "q1": quartiles[0] if quartiles else known[0],
        "q3": quartiles[2] if quartiles else known[0],
        "count": len(known),
    }


def column(col: str, takes: list[Take]) -> Json:
    """All answers of one column; times and tokens of those that ended well."""
    good = [take.end for take in takes if take.end and take.end["status"] == "ok"]
    statuses = [take.end["status"] if take.end else "stopped" for take in takes]
    told: Json = {
        "col": col,
        "model": takes[0].model if takes else "",
        "runs": len(takes),
        "ok": len(good),
        "failed": sum(take.failed for take in takes),
        "stopped": statuses.count("stopped"),
        "fallbacks": sum(bool(end.get("fallback")) for end in good),
        "schema_valid": share(take.verdict("schema") for take in takes),
        "tools_correct": share(take.verdict("tools") for take in takes),
    }
    for name, field in MEASURES.items():
        told[name] = spread(end.get(field) for end in good)
    costs = [take.end.get("cost") for take in takes if take.end]
    told["cost_total"] = sum(cost for cost in costs if cost is not None) if any(costs) else None
    return told


def share(verdicts: Iterable[bool | None]) -> Json | None:
    """How many of those that were judged are right; None if none was judged."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    return {"ok": sum(judged), "of": len(judged)} if judged else None


def summary(cols: Iterable[str], takes: Takes) -> Json:
    """The whole run: each column, and which was fastest and cheapest."""
    columns = [column(col, takes.of(col)) for col in cols]
    return {
        "columns": columns,
        "fastest": least(columns, "total_ms"),
        "first": least(columns, "ttft_ms"),
        "cheapest": least(columns, "cost"),
    }


def least(columns: list[Json], measure: str) -> str | None:
    """The column with the smallest median; None where fewer than two can be compared."""
    known = [(c[measure]["median"], c["col"]) for c in columns if c[measure] is not None]
    if len(known) < 2 or len({value for value, _ in known}) < 2:
        return None
    return str(min(known)[1])
