"""Results of a run as CSV, JSON and Markdown; the same for the page and `dragoman eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from console.evaluate.assertions import Check
from console.evaluate.definition import Case
from console.evaluate.responses import Call, ModelResponse
from console.evaluate.scores import Grade, ModelSummary, Outcome, Spread
from gateway.csv_cells import csv_line
from gateway.prompts.variables import variable_text

Json = dict[str, Any]

MARKDOWN_TEXT_CHARS = 200
# Markdown tables of more rows are not displayed by common viewers; only failures are listed.
MARKDOWN_ROWS = 500


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Text of a response and the reason for its failure, for display."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    checks: tuple[Check, ...] = ()
    error: str = ""
    request_id: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One response of a run."""

    outcome: Outcome
    content: Content


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a run."""

    name: str
    cases: tuple[Case, ...]
    summaries: list[ModelSummary]
    results: list[Result]


def result_of(
    case_index: int,
    case: Case,
    model: str,
    repetition: int,
    response: ModelResponse,
    grade: Grade,
    judge_cost_usd: float | None = 0.0,
) -> Result:
    """The result for a graded response."""
    return Result(
        outcome=Outcome(
            case=case_index,
            case_key=case.key,
            model=model,
            repetition=repetition,
            passed=grade.passed,
            score=grade.score,
            failed=bool(response.error),
            latency_ms=response.latency_ms,
            cost_usd=response.cost_usd,
            judge_cost_usd=judge_cost_usd,
            input_tokens=response.input_tokens,
            output_tokens=response.output_tokens,
        ),
        content=Content(
            text=response.text,
            calls=response.calls,
            checks=grade.checks,
            error=response.error,
            request_id=response.request_id,
        ),
    )


def as_csv(report: Report) -> str:
    """One line for each response."""
    names = list(dict.fromkeys(name for case in report.cases for name in case.variables))
    lines = [csv_line([
        "case", "name", *names, "model", "repetition", "passed", "score", "latency_ms", "cost_usd",
        "judge_cost_usd", "input_tokens", "output_tokens", "response", "tool_calls",
        "failed_checks", "error", "request_id",
    ])]  # fmt: skip
    for result in report.results:
        outcome, content = result.outcome, result.content
        case = report.cases[outcome.case]
        row = [
            outcome.case + 1,
            case.name,
            *(_cell_text(case.variables.get(name)) for name in names),
            outcome.model,
            outcome.repetition + 1,
            outcome.passed,
            round(outcome.score, 4),
            round(outcome.latency_ms, 1),
            outcome.cost_usd,
            outcome.judge_cost_usd,
            outcome.input_tokens,
            outcome.output_tokens,
            content.text,
            msgspec.json.encode(content.calls).decode() if content.calls else "",
            failure_text(content),
            content.error,
            content.request_id,
        ]
        lines.append(csv_line(row))
    return "".join(lines)


def _cell_text(value: Any) -> str:
    return "" if value is None else variable_text(value)


def failure_text(content: Content, labels: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The failed checks with their messages, by the label of their type if there is one."""
    failed_checks = [
        f"{labels.get(check.type, check.type)}: {check.message}"
        for check in content.checks
        if not check.passed
    ]
    return "; ".join(failed_checks)


def as_json(report: Report) -> bytes:
    """Name, summaries of the models, and all responses with their checks."""
    document = {
        "name": report.name,
        "models": [summary_json(summary) for summary in report.summaries],
        "results": [_result_json(report, result) for result in report.results],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def summary_json(summary: ModelSummary) -> Json:
    """A summary as JSON, with its pass rate."""
    return {**msgspec.to_builtins(summary), "pass_rate": summary.pass_rate}


def _result_json(report: Report, result: Result) -> Json:
    case = report.cases[result.outcome.case]
    outcome = msgspec.to_builtins(result.outcome)
    labels = {"case": outcome.pop("case") + 1, "name": case.name, "vars": case.variables}
    outcome["repetition"] += 1
    return {**labels, **outcome, **msgspec.to_builtins(result.content)}


def as_markdown(report: Report) -> str:
    """The scores of the models as a table, and the failed responses as another."""
    lines = [f"# {_escape_markdown(report.name) or 'Evaluation'}", ""]
    lines += [*_markdown_table(SUMMARY_COLUMNS, report.summaries), ""]
    failed_results = [result for result in report.results if not result.outcome.passed]
    if failed_results:
        lines += [f"## Failures: {len(failed_results)} of {len(report.results)} responses", ""]
        columns: dict[str, Callable[[Result], str]] = {
            "case": lambda r: case_title(r.outcome.case, report.cases[r.outcome.case]),
            "model": lambda r: r.outcome.model,
            "score": lambda r: f"{r.outcome.score:.2f}",
            "reason": lambda r: r.content.error or failure_text(r.content),
            "response": lambda r: r.content.text,
        }
        lines += _markdown_table(columns, failed_results[:MARKDOWN_ROWS])
        if len(failed_results) > MARKDOWN_ROWS:
            lines += ["", f"{len(failed_results) - MARKDOWN_ROWS} more failures are not listed."]
    return "\n".join(lines) + "\n"


def case_title(number: int, case: Case) -> str:
    """The case in tables: its name, or else its first variable or message, with its number."""
    if case.name:
        return f"{number + 1}. {case.name}"
    texts = [*case.variables.values(), *(message.get("content") for message in case.messages)]
    first = next((text for text in map(_cell_text, texts) if text.strip()), "")
    return f"{number + 1}. {' '.join(first.split())[:MARKDOWN_TEXT_CHARS]}"


def _markdown_table(columns: dict[str, Callable[[Any], str]], rows: list[Any]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    cells = ((_escape_markdown(cell(row)) for cell in columns.values()) for row in rows)
    return [*lines, *(f"| {' | '.join(row)} |" for row in cells)]


def _escape_markdown(text: str) -> str:
    line = " ".join(text.split())
    if len(line) > MARKDOWN_TEXT_CHARS:
        line = line[: MARKDOWN_TEXT_CHARS - 1] + "…"
    for sign in "\\|[]":  # a cell ends at a bar, links and images have brackets
        line = line.replace(sign, "\\" + sign)
    return line.replace("<", "&lt;")


def percent(share: float | None) -> str:
    """A share as a percentage; a dash if it is None."""
    return "—" if share is None else f"{share * 100:.1f} %"


def _format_spread(value: Spread | None, form: str) -> str:
    if value is None:
        return "—"
    return f"{value.median:{form}} ({value.p25:{form}}–{value.p75:{form}})"


# Columns of the table of scores: median (p25-p75) where there is a spread.
SUMMARY_COLUMNS: dict[str, Callable[[ModelSummary], str]] = {
    "model": lambda s: s.model,
    "pass rate": lambda s: percent(s.pass_rate),
    "passed": lambda s: f"{s.passed} of {s.responses}",
    "errors": lambda s: str(s.failed),
    "score": lambda s: _format_spread(s.score, ".2f"),
    "latency ms": lambda s: _format_spread(s.latency_ms, ".0f"),
    "cost USD": lambda s: "—" if s.cost_usd is None else f"{s.cost_usd:.6f}",
    "tokens in": lambda s: str(s.input_tokens),
    "tokens out": lambda s: str(s.output_tokens),
}
