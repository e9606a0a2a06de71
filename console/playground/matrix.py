"""Summary of a matrix (cases x columns): failed cases and differing answers."""

from __future__ import annotations

from typing import Any

import msgspec

from console.playground.plan import Plan
from console.playground.results import AnswerResult, RunResults
from console.playground.schemas import json_equal
from console.playground.verdicts import parse_call_arguments

Json = dict[str, Any]


def summary(plan: Plan, results: RunResults) -> Json:
    """Failed columns of each case, and whether the answers of the columns differ."""
    rows = [_case_row(number, case.name, results) for number, case in enumerate(plan.cases)]
    return {
        "cases": rows,
        "failures": sum(bool(row["failed"]) for row in rows),
        "differences": sum(row["different"] for row in rows),
    }


def _case_row(number: int, name: str, results: RunResults) -> Json:
    case_answers = [answer for answer in results.by_key.values() if answer.case == number]
    by_column: dict[str, list[AnswerResult]] = {}
    for answer in case_answers:
        by_column.setdefault(answer.col, []).append(answer)
    failed = [
        col
        for col, column_answers in by_column.items()
        if any(answer.failed for answer in column_answers)
    ]
    first_answers = [column_answers[0] for column_answers in by_column.values()]
    return {
        "case": number,
        "name": name,
        "failed": failed,
        "different": answers_differ(first_answers),
    }


def answers_differ(results: list[AnswerResult]) -> bool:
    """Whether the answers differ in JSON, tool calls or text."""
    return any(not is_equivalent(results[0], answer) for answer in results[1:])


def is_equivalent(left: AnswerResult, right: AnswerResult) -> bool:
    """Whether two answers are equivalent; whitespace and the order of keys are ignored."""
    if (left.end or {}).get("status") != (right.end or {}).get("status"):
        return False
    if len(left.calls) != len(right.calls):
        return False
    for left_call, right_call in zip(left.calls, right.calls, strict=True):
        if left_call.name != right_call.name or not json_equal(
            parse_call_arguments(left_call), parse_call_arguments(right_call)
        ):
            return False
    return json_equal(_normalize_text(left.text), _normalize_text(right.text))


def _normalize_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return " ".join(text.split())
