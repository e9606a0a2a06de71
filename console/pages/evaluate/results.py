"""Results of a run for its page: scores of the models, and rows of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.evaluate.definition import Definition, InvalidDefinition, parse_definition
from console.evaluate.report import Content, case_title, failure_text
from console.evaluate.scores import (
    CellKey,
    ModelSummary,
    Outcome,
    compare,
    passed_by_cell,
    spread,
    summarize,
)
from console.evaluate.steps import Item
from console.evaluation_runs import store
from console.models import EvaluationRun
from console.numbers import number_in
from console.pages.evaluate.labels import CHECK_LABELS

PAGE_CASES = 50
FILTERS: dict[str, Promise] = {
    "all": gettext_lazy("All"),
    "failures": gettext_lazy("Failures"),
    "regressions": gettext_lazy("Regressions"),
    "improvements": gettext_lazy("Improvements"),
    "differences": gettext_lazy("Differences"),
}
SORTS: dict[str, Promise] = {
    "case": gettext_lazy("Case"),
    "score": gettext_lazy("Lowest score"),
    "latency": gettext_lazy("Highest latency"),
    "cost": gettext_lazy("Highest cost"),
}
Cells = dict[tuple[int, str], list[Outcome]]


class View(NamedTuple):
    """Display options of a run: filter, order, page, and the run to compare with."""

    filter: str = "all"
    sort: str = "case"
    page: int = 1
    baseline: str = ""

    def query(self, **changes: Any) -> str:
        """The query string with changes; defaults are omitted."""
        values = self._replace(**changes)._asdict()
        defaults = View()._asdict()
        return urlencode({k: v for k, v in values.items() if v != defaults[k]})


def view_of(query: QueryDict) -> View:
    """The view that a URL requests; unknown values are the defaults."""
    filter_, sort = query.get("filter", ""), query.get("sort", "")
    page = number_in(query.get("page", ""), 5)
    return View(
        filter=filter_ if filter_ in FILTERS else "all",
        sort=sort if sort in SORTS else "case",
        page=max(page or 1, 1),
        baseline=query.get("baseline", ""),
    )


class Figures(NamedTuple):
    """The figures of a run, and how they compare with those of another run."""

    definition: Definition
    outcomes: list[Outcome]
    summaries: list[ModelSummary]
    changes: dict[CellKey, str]


def load_figures(run: EvaluationRun, baseline: EvaluationRun | None) -> Figures:
    """Query the figures of a run, and of the run it is compared with."""
    definition = parse_definition(run.document)
    outcomes = store.outcomes(run, definition)
    changes: dict[CellKey, str] = {}
    if baseline is not None:
        try:
            before = store.outcomes(baseline, parse_definition(baseline.document))
        except InvalidDefinition:
            before = []
        changes = compare(passed_by_cell(before), passed_by_cell(outcomes))
    return Figures(definition, outcomes, summarize(definition.models, outcomes), changes)


def score_rows(figures: Figures) -> list[dict[str, Any]]:
    """One row per model: its summary, and how many cells changed for the worse and the better."""
    rates = [s.pass_rate for s in figures.summaries if s.pass_rate is not None]
    rows = []
    for summary in figures.summaries:
        changes = [c for (_key, model), c in figures.changes.items() if model == summary.model]
        rows.append(
            {
                "summary": summary,
                "percent": round((summary.pass_rate or 0) * 100, 1),
                "best": len(rates) > 1 and summary.pass_rate == max(rates) > min(rates),
                "regressions": changes.count("regression"),
                "improvements": changes.count("improvement"),
            }
        )
    return rows


def case_table(run: EvaluationRun, figures: Figures, view: View) -> dict[str, Any]:
    """The rows of the displayed page, the number of cases by filter, and the pages."""
    definition = figures.definition
    cells: Cells = {}
    for outcome in figures.outcomes:
        cells.setdefault((outcome.case, outcome.model), []).append(outcome)
    matching_cases = _matching_cases(run, figures, cells)
    numbers = _sort_cases(matching_cases[view.filter], figures, view.sort)
    pages = max(-(-len(numbers) // PAGE_CASES), 1)
    page = min(view.page, pages)
    page_numbers = numbers[(page - 1) * PAGE_CASES : page * PAGE_CASES]
    texts = store.contents(run, page_numbers)
    return {
        "rows": [
            _result_row(number, definition, cells, texts, figures.changes)
            for number in page_numbers
        ],
        "filters": [
            {
                "name": name,
                "label": label,
                "count": len(matching_cases[name]),
                "query": view.query(filter=name, page=1),
            }
            for name, label in FILTERS.items()
            if name in {"all", "failures"} or matching_cases[name] or view.filter == name
        ],
        "sorts": [(name, label, view.query(sort=name, page=1)) for name, label in SORTS.items()],
        "page": page,
        "pages": pages,
        "previous": view.query(page=page - 1) if page > 1 else None,
        "next": view.query(page=page + 1) if page < pages else None,
        "models": definition.models,
        "columns": len(definition.models) + 1,
        "view": view,
    }


def _matching_cases(run: EvaluationRun, figures: Figures, cells: Cells) -> dict[str, list[int]]:
    """The numbers of the cases that each filter shows."""
    cases = figures.definition.cases
    failures = {outcome.case for outcome in figures.outcomes if not outcome.passed}
    by_change: dict[str, set[str]] = {"regression": set(), "improvement": set()}
    for (key, _model), change in figures.changes.items():
        by_change[change].add(key)
    different = _cases_that_differ(run) if len(figures.definition.models) > 1 else set()
    return {
        "all": [*range(len(cases))],
        "failures": sorted(failures),
        "regressions": [n for n, c in enumerate(cases) if c.key in by_change["regression"]],
        "improvements": [n for n, c in enumerate(cases) if c.key in by_change["improvement"]],
        "differences": sorted(different),
    }


def _cases_that_differ(run: EvaluationRun) -> set[int]:
    """The cases whose models gave different first responses, apart from whitespace."""
    responses: dict[int, set[str]] = {}
    for case, text in store.first_texts(run):
        responses.setdefault(case, set()).add(" ".join(text.split()))
    return {case for case, texts in responses.items() if len(texts) > 1}


def _sort_cases(numbers: list[int], figures: Figures, sort: str) -> list[int]:
    if sort == "case":
        return numbers
    by_case: dict[int, list[Outcome]] = {}
    for outcome in figures.outcomes:
        by_case.setdefault(outcome.case, []).append(outcome)
    key: Callable[[Outcome], float] = {
        "score": lambda o: o.score,
        "latency": lambda o: -o.latency_ms,
        "cost": lambda o: -(o.cost_usd or 0.0),
    }[sort]
    # Cases without a response come last.
    return sorted(numbers, key=lambda n: min(map(key, by_case.get(n, [])), default=float("inf")))


def _result_row(
    number: int,
    definition: Definition,
    cells: Cells,
    texts: Mapping[Item, Content],
    changes: Mapping[CellKey, str],
) -> dict[str, Any]:
    case = definition.cases[number]
    row_cells = [
        {
            "model": model,
            **_result_cell(
                cells.get((number, model), []),
                texts.get(Item(number, index, 0)),
                changes.get((case.key, model), ""),
                definition.repeat,
            ),
        }
        for index, model in enumerate(definition.models)
    ]
    return {"number": number, "title": case_title(number, case), "cells": row_cells}


def _result_cell(
    outcomes: list[Outcome], content: Content | None, change: str, repeat: int
) -> dict[str, Any]:
    """A cell: state with its label, the beginning of the first response, and its figures."""
    if not outcomes:
        return {"state": "", "label": _("Pending")}
    passed_count = sum(outcome.passed for outcome in outcomes)
    if passed_count == len(outcomes):
        state, label = "ok", _("Passed")
    elif all(outcome.failed for outcome in outcomes):
        state, label = "bad", _("Error")
    else:
        state, label = ("warn", _("Partly")) if passed_count else ("bad", _("Failed"))
    if repeat > 1:
        label = _("%(passed)d of %(all)d") % {"passed": passed_count, "all": len(outcomes)}
    latency = spread(outcome.latency_ms for outcome in outcomes if not outcome.failed)
    reason = text = ""
    if content is not None:
        reason = content.error or failure_text(content, CHECK_LABELS)
        text = content.text or ", ".join(f"{call.name}()" for call in content.calls)
    return {
        "state": state,
        "label": label,
        "change": change,
        "text": text[:160],
        "reason": reason[:160],
        "score": outcomes[0].score if len(outcomes) == 1 else None,
        "latency_ms": None if latency is None else latency.median,
    }


def case_responses(run: EvaluationRun, definition: Definition, number: int) -> list[dict[str, Any]]:
    """All responses to a case, by model, for its details."""
    contents = store.contents(run, [number])
    figures = {(o.model, o.repetition): o for o in store.outcomes(run, definition, case=number)}
    return [
        {
            "model": model,
            "responses": [
                {"outcome": figures[model, n], "content": contents[Item(number, index, n)]}
                for n in range(definition.repeat)
                if (model, n) in figures and Item(number, index, n) in contents
            ],
        }
        for index, model in enumerate(definition.models)
    ]
