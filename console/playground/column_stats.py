"""Statistics of the responses of each column: medians and spread over repetitions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from console.playground.results import ColumnResponse, RunResults

Json = dict[str, Any]

# Measures of a response: name in the summary -> field of its `end` event.
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
    """Median, minimum, maximum and quartiles of the known values; None if there are none."""
    sorted_values = sorted(value for value in values if value is not None)
    if not sorted_values:
        return None
    quartiles = (
        statistics.quantiles(sorted_values, n=4, method="inclusive")
        if len(sorted_values) > 1
        else []
    )
    return {
        "median": statistics.median(sorted_values),
        "min": sorted_values[0],
        "max": sorted_values[-1],
        "q1": quartiles[0] if quartiles else sorted_values[0],
        "q3": quartiles[2] if quartiles else sorted_values[0],
        "count": len(sorted_values),
    }


def column(col: str, results: list[ColumnResponse]) -> Json:
    """Statistics of one column; times and tokens of successful responses only."""
    successful_ends = [
        response.end for response in results if response.end and response.end["status"] == "ok"
    ]
    statuses = [response.end["status"] if response.end else "stopped" for response in results]
    stats: Json = {
        "col": col,
        "model": results[0].model if results else "",
        "runs": len(results),
        "ok": len(successful_ends),
        "failed": sum(response.failed for response in results),
        "stopped": statuses.count("stopped"),
        "fallbacks": sum(bool(end.get("fallback")) for end in successful_ends),
        "schema_valid": share(response.verdict("schema") for response in results),
        "tools_correct": share(response.verdict("tools") for response in results),
    }
    for name, field in MEASURES.items():
        stats[name] = spread(end.get(field) for end in successful_ends)
    costs = [response.end.get("cost") for response in results if response.end]
    stats["cost_total"] = sum(cost for cost in costs if cost is not None) if any(costs) else None
    return stats


def share(outcomes: Iterable[bool | None]) -> Json | None:
    """Number of passed checks out of all checks; None if there was no check."""
    known_outcomes = [verdict for verdict in outcomes if verdict is not None]
    return {"ok": sum(known_outcomes), "of": len(known_outcomes)} if known_outcomes else None


def summary(cols: Iterable[str], results: RunResults) -> Json:
    """Summary of a run: each column, and which was fastest and cheapest."""
    columns = [column(col, results.of_column(col)) for col in cols]
    return {
        "columns": columns,
        "fastest": fastest_column(columns, "total_ms"),
        "first": fastest_column(columns, "ttft_ms"),
        "cheapest": fastest_column(columns, "cost"),
    }


def fastest_column(columns: list[Json], measure: str) -> str | None:
    """Column with the smallest median; None if fewer than two can be compared."""
    medians = [(c[measure]["median"], c["col"]) for c in columns if c[measure] is not None]
    if len(medians) < 2 or len({value for value, _ in medians}) < 2:
        return None
    return str(min(medians)[1])
