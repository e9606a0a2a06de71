"""Cases x columns: which case failed somewhere, and where the answers differ."""

from __future__ import annotations

from typing import Any

import msgspec

from console.playground.columns import Plan
from console.playground.takes import Take, Takes
from console.playground.verdicts import arguments_of, same

Json = dict[str, Any]


def summary(plan: Plan, takes: Takes) -> Json:
    """Each case with the columns that failed it, and whether the columns differ."""
    rows = [_row(number, case.name, takes) for number, case in enumerate(plan.cases)]
    return {
        "cases": rows,
        "failures": sum(bool(row["failed"]) for row in rows),
        "differences": sum(row["different"] for row in rows),
    }


def _row(number: int, name: str, takes: Takes) -> Json:
    of_case = [take for take in takes.all.values() if take.case == number]
    by_column: dict[str, list[Take]] = {}
    for take in of_case:
        by_column.setdefault(take.col, []).append(take)
    failed = [col for col, found in by_column.items() if any(take.failed for take in found)]
    firsts = [found[0] for found in by_column.values()]
    return {"case": number, "name": name, "failed": failed, "different": different(firsts)}


def different(takes: list[Take]) -> bool:
    """Whether not all of them say the same: as JSON, as calls, or as words."""
    return any(not alike(takes[0], take) for take in takes[1:])


def alike(left: Take, right: Take) -> bool:
    """Whether two answers say the same; layout and the order of keys do not count."""
    if (left.end or {}).get("status") != (right.end or {}).get("status"):
        return False
    if len(left.calls) != len(right.calls):
        return False
    for one, other in zip(left.calls, right.calls, strict=True):
        if one.name != other.name or not same(arguments_of(one), arguments_of(other)):
            return False
    return same(_meaning(left.text), _meaning(right.text))


def _meaning(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return " ".join(text.split())
