"""Scores, summaries, comparisons and reports of evaluations."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from console.evaluate import report, scores
from console.evaluate.assertions import parse_assertion
from console.evaluate.definition import Case
from console.evaluate.responses import ModelResponse
from console.evaluate.scores import Outcome, compare, grade_response, passed_by_cell, summarize


def outcome(case: int, model: str, *, passed: bool = True, **more: Any) -> Outcome:
    figures = {
        "repetition": 0,
        "score": float(passed),
        "failed": False,
        "latency_ms": 100.0,
        "cost_usd": 0.5,
    }
    return Outcome(case=case, case_key=f"key{case}", model=model, passed=passed, **figures | more)


def test_a_grade_is_the_weighted_mean_of_the_checks() -> None:
    assertions = [
        parse_assertion({"type": "contains", "value": "a", "weight": 3}),
        parse_assertion({"type": "contains", "value": "z"}),
    ]
    strict = grade_response(ModelResponse(text="abc"), assertions, {}, None)
    assert (strict.passed, strict.score) == (False, 0.75)
    assert grade_response(ModelResponse(text="abc"), assertions, {}, 0.75).passed
    failed_grade = grade_response(ModelResponse(error="HTTP 500"), assertions, {}, 0.0)
    assert (failed_grade.passed, failed_grade.score, failed_grade.checks) == (False, 0.0, ())
    assert grade_response(ModelResponse(text=""), [], {}, None).passed


def test_a_summary_has_medians_spread_and_failures() -> None:
    rows = [outcome(n, "a", passed=n > 0, latency_ms=100.0 * (n + 1)) for n in range(4)]
    rows.append(outcome(4, "a", passed=False, failed=True, latency_ms=9999.0, cost_usd=None))
    first, empty = summarize(["a", "b"], rows)
    assert (first.responses, first.passed, first.failed, first.pass_rate) == (5, 3, 1, 0.6)
    assert first.latency_ms == scores.Spread(median=250.0, p25=175.0, p75=325.0)
    assert first.cost_usd == pytest.approx(2.0)
    assert first.unpriced == 0
    assert (empty.responses, empty.pass_rate, empty.score, empty.cost_usd) == (0, None, None, None)


def test_a_run_is_compared_case_by_case_and_by_all_repetitions() -> None:
    before = passed_by_cell([outcome(0, "a"), outcome(1, "a", passed=False), outcome(2, "a")])
    now = passed_by_cell(
        [
            outcome(0, "a"),
            outcome(0, "a", passed=False, repetition=1),
            outcome(1, "a"),
            outcome(2, "a"),
            outcome(3, "a", passed=False),
            outcome(0, "b", passed=False),
        ]
    )
    assert compare(before, now) == {("key0", "a"): "regression", ("key1", "a"): "improvement"}


def make_report() -> report.Report:
    case = Case(name="one | two", variables={"q": "=1+1"})
    response = ModelResponse(
        text="+49 <b> ![z](//host.test)", latency_ms=12.34, cost_usd=0.001, request_id="req_1"
    )
    assertions = [parse_assertion({"type": "contains", "value": "x"})]
    result = report.result_of(
        0, case, "a", 0, response, grade_response(response, assertions, {}, None)
    )
    return report.Report(
        name="Run",
        cases=(case,),
        summaries=summarize(["a"], [result.outcome]),
        results=[result],
    )


def test_csv_has_a_line_for_each_response_without_formulas() -> None:
    header, row = csv.reader(io.StringIO(report.as_csv(make_report())))
    cells = dict(zip(header, row, strict=True))
    assert cells["q"] == "'=1+1" and cells["response"].startswith("'+49 <b>")
    assert cells["failed_checks"] == "contains: does not contain x"
    assert (cells["case"], cells["repetition"], cells["passed"]) == ("1", "1", "false")


def test_names_of_variables_are_no_formulas_in_csv() -> None:
    case = Case(variables={"=1+1": "x"})
    text = report.as_csv(report.Report(name="Run", cases=(case,), summaries=[], results=[]))
    header = next(csv.reader(io.StringIO(text)))
    assert "'=1+1" in header and "=1+1" not in header


def test_json_has_summaries_and_checks() -> None:
    document = json.loads(report.as_json(make_report()))
    assert document["models"][0]["pass_rate"] == 0.0
    (row,) = document["results"]
    assert row["vars"] == {"q": "=1+1"} and row["checks"][0]["passed"] is False


def test_markdown_has_scores_and_failures() -> None:
    text = report.as_markdown(make_report())
    assert "| a | 0.0 % | 0 of 1 |" in text
    assert "1. one \\| two" in text and "&lt;b>" in text


def test_a_response_is_no_image_in_markdown() -> None:
    """Whoever reads the report would fetch it."""
    text = report.as_markdown(make_report())
    assert "!\\[z\\](//host.test)" in text
