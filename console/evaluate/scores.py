"""Scores: checks -> grade of a response -> summary of a model; a run against another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median, quantiles

import msgspec

from console.evaluate.assertions import RUBRIC, Assertion, Check, check_response
from console.evaluate.responses import ModelResponse

CellKey = tuple[str, str]


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """The grade of one response: the weighted mean of its checks, from 0 to 1."""

    passed: bool
    score: float
    checks: tuple[Check, ...] = ()


def grade_response(
    response: ModelResponse,
    assertions: list[Assertion],
    judgments: Mapping[int, Check],
    threshold: float | None,
) -> Grade:
    """Grade a response; `judgments` has the checks of `llm-rubric` by their index.

    It passes if every assertion does, or with a threshold if its score reaches that. An
    response without assertions passes; a failed request never does.
    """
    if response.error:
        return Grade(passed=False, score=0.0)
    checks = tuple(
        judgments[index] if assertion.type == RUBRIC else check_response(assertion, response)
        for index, assertion in enumerate(assertions)
    )
    weight = sum(check.weight for check in checks)
    score = sum(check.score * check.weight for check in checks) / weight if weight else 1.0
    if threshold is not None:
        return Grade(passed=score >= threshold, score=score, checks=checks)
    return Grade(passed=all(check.passed for check in checks), score=score, checks=checks)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one response that summaries need.

    Attributes:
        case: the index of the case; `case_key` identifies it across runs.
        failed: whether the request failed, so that there was no response to check.
        judge_cost_usd: US dollars for its judgments; None if unknown, 0 without any.
    """

    case: int
    case_key: str
    model: str
    repetition: int
    passed: bool
    score: float
    failed: bool
    latency_ms: float
    cost_usd: float | None
    judge_cost_usd: float | None = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Median, and the values below which 25 % and 75 % of the values lie."""

    median: float
    p25: float
    p75: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the known values; None if there are none."""
    known_values = sorted(value for value in values if value is not None)
    if not known_values:
        return None
    if len(known_values) == 1:
        return Spread(median=known_values[0], p25=known_values[0], p75=known_values[0])
    quarters = quantiles(known_values, n=4, method="inclusive")
    return Spread(median=median(known_values), p25=quarters[0], p75=quarters[2])


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one model.

    Attributes:
        failed: requests that failed; they count as not passed.
        cost_usd: US dollars of all responses and judgments with a known cost; None if none
            is known.
        unpriced: responses whose cost is unknown.
    """

    model: str
    responses: int
    passed: int
    failed: int
    score: Spread | None
    latency_ms: Spread | None
    response_cost_usd: Spread | None
    cost_usd: float | None
    unpriced: int
    input_tokens: int
    output_tokens: int
    response_tokens: Spread | None

    @property
    def pass_rate(self) -> float | None:
        """Passed responses by all; None before the first."""
        return self.passed / self.responses if self.responses else None


def summarize(models: Iterable[str], outcomes: Iterable[Outcome]) -> list[ModelSummary]:
    """The summary of each model, in the order of `models`."""
    by_model: dict[str, list[Outcome]] = {model: [] for model in models}
    for outcome in outcomes:
        by_model.setdefault(outcome.model, []).append(outcome)
    return [_model_summary(model, rows) for model, rows in by_model.items()]


def _model_summary(model: str, rows: list[Outcome]) -> ModelSummary:
    answered_rows = [row for row in rows if not row.failed]
    costs = [
        cost for row in rows for cost in (row.cost_usd, row.judge_cost_usd) if cost is not None
    ]
    return ModelSummary(
        model=model,
        responses=len(rows),
        passed=sum(row.passed for row in rows),
        failed=len(rows) - len(answered_rows),
        score=spread(row.score for row in rows),
        latency_ms=spread(row.latency_ms for row in answered_rows),
        response_cost_usd=spread(row.cost_usd for row in answered_rows),
        cost_usd=sum(costs) if any(row.cost_usd is not None for row in rows) else None,
        unpriced=sum(row.cost_usd is None for row in answered_rows),
        input_tokens=sum(row.input_tokens or 0 for row in rows),
        output_tokens=sum(row.output_tokens or 0 for row in rows),
        response_tokens=spread(
            None if row.output_tokens is None else float(row.output_tokens) for row in answered_rows
        ),
    )


def passed_by_cell(outcomes: Iterable[Outcome]) -> dict[CellKey, bool]:
    """Whether all repetitions passed, by case and model."""
    cells: dict[CellKey, bool] = {}
    for outcome in outcomes:
        key = (outcome.case_key, outcome.model)
        cells[key] = cells.get(key, True) and outcome.passed
    return cells


def compare(
    baseline: Mapping[CellKey, bool], current: Mapping[CellKey, bool]
) -> dict[CellKey, str]:
    """`regression` or `improvement` for the cells that both runs have and that changed."""
    changes = {}
    for key, passed in current.items():
        before = baseline.get(key)
        if before is not None and before != passed:
            changes[key] = "improvement" if passed else "regression"
    return changes
