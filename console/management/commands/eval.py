"""`manage.py eval`: run an evaluation file against a running gateway."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from console.evaluate import report as reports
from console.evaluate.definition import (
    DEFAULT_PROMPT,
    MAX_CONCURRENCY,
    MAX_MODELS,
    MAX_REPEATS,
    Definition,
    InvalidDefinition,
    check_runnable,
)
from console.evaluate.file_format import load_file
from console.evaluate.report import SUMMARY_COLUMNS, Report, percent
from console.evaluation_runs.remote import run_evaluation
from console.gateway_client import GatewayClient, GatewayError
from console.management.gateway_options import (
    BAD_INPUT,
    add_gateway_options,
    print_progress,
    read_gateway_options,
)
from gateway.terminal_text import printable_line

EXIT_FAILED = 1
RENDERERS = {
    "csv": reports.as_csv,
    "json": lambda report: reports.as_json(report).decode() + "\n",
    "md": reports.as_markdown,
}


class Command(BaseCommand):
    """Exit status: 0 if every model reaches the pass rate, 1 if not, 2 for bad input."""

    help = "Run the cases of an evaluation file on models of a gateway, and score the responses."
    # Needs neither the database nor the server's settings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `eval`."""
        parser.add_argument("file", type=Path, help="YAML, JSON, CSV, JSON lines or text")
        add_gateway_options(parser)
        parser.add_argument("--models", help="comma-separated models (default: the file's)")
        parser.add_argument("--prompt", help="prompt (default: the file's)")
        parser.add_argument("--judge", help="judge model for llm-rubric assertions")
        parser.add_argument("--repeat", type=int, help="responses per case and model")
        parser.add_argument("--concurrency", type=int, help="number of concurrent requests")
        parser.add_argument(
            "--pass-rate", type=float, help="required share of passed cases, 0 to 1 (default: 1)"
        )
        parser.add_argument("--output", choices=RENDERERS, help="print the results in this format")
        parser.add_argument("--quiet", action="store_true", help="print no progress")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the evaluation, print the results, and exit with the status."""
        try:
            definition = _with_options(_read_definition(options["file"]), options)
            check_runnable(definition)
        except InvalidDefinition as invalid:
            lines = "\n".join(f"- {error}" for error in invalid.errors)
            raise CommandError(f"{options['file']}:\n{lines}", returncode=BAD_INPUT) from None
        report = self._run_evaluation(definition, options)
        if options["output"]:
            self.stdout.write(RENDERERS[options["output"]](report), ending="")
        else:
            self.stdout.write(scores_table(report))
            self._print_failures(report)
        failed_results = [
            s for s in report.summaries if s.pass_rate is None or s.pass_rate < definition.pass_rate
        ]
        for summary in failed_results:
            rates = f"{percent(summary.pass_rate)} of {percent(definition.pass_rate)}"
            self.stderr.write(f"{summary.model}: pass rate {rates} required")
        if failed_results:
            sys.exit(EXIT_FAILED)

    def _run_evaluation(self, definition: Definition, options: dict[str, Any]) -> Report:
        gateway = GatewayClient(*read_gateway_options(options))
        try:
            return run_evaluation(
                gateway, definition, print_progress(self.stderr, quiet=options["quiet"])
            )
        except GatewayError as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from None
        except KeyboardInterrupt:
            raise CommandError("stopped", returncode=130) from None

    def _print_failures(self, report: Report) -> None:
        for result in report.results:
            if not result.outcome.passed:
                case = result.outcome.case
                title = reports.case_title(case, report.cases[case])
                reason = result.content.error or reports.failure_text(result.content)
                line = f"FAILED {title} · {result.outcome.model}: {reason}"
                self.stdout.write(printable_line(line))


def _read_definition(path: Path) -> Definition:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidDefinition("the file is not UTF-8 text") from None
    except OSError as error:
        raise InvalidDefinition(error.strerror or "the file cannot be read") from None
    return load_file(path.name, text)


def _with_options(definition: Definition, options: dict[str, Any]) -> Definition:
    """The definition with the options of the command line. Raises InvalidDefinition."""
    changes: dict[str, Any] = {}
    if options["models"]:
        names = dict.fromkeys(n.strip() for n in options["models"].split(",") if n.strip())
        if len(names) > MAX_MODELS:
            raise InvalidDefinition(f"at most {MAX_MODELS} models")
        changes["models"] = tuple(names)
    if options["prompt"] is not None:
        content = options["prompt"] or DEFAULT_PROMPT
        system = [m for m in definition.messages if m["role"] == "system"]
        changes["messages"] = (*system, {"role": "user", "content": content})
    if options["judge"]:
        changes["judge"] = options["judge"]
    for name, maximum in (("repeat", MAX_REPEATS), ("concurrency", MAX_CONCURRENCY)):
        if options[name] is not None:
            if not 1 <= options[name] <= maximum:
                raise InvalidDefinition(f"--{name} must be from 1 to {maximum}")
            changes[name] = options[name]
    if options["pass_rate"] is not None:
        if not 0 <= options["pass_rate"] <= 1:
            raise InvalidDefinition("--pass-rate must be from 0 to 1")
        changes["pass_rate"] = options["pass_rate"]
    return msgspec.structs.replace(definition, **changes)


def scores_table(report: Report) -> str:
    """The scores of the models as aligned columns."""
    rows = [[cell(summary) for cell in SUMMARY_COLUMNS.values()] for summary in report.summaries]
    lines = [[*SUMMARY_COLUMNS], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(SUMMARY_COLUMNS))]
    aligned_lines = (
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(line.rstrip() for line in aligned_lines)
