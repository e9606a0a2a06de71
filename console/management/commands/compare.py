"""`manage.py compare`: one prompt to several models, as a table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from console.evaluate.definition import (
    Definition,
    InvalidDefinition,
    check_runnable,
    parse_definition,
)
from console.evaluate.report import Result
from console.evaluation_runs.remote import run_evaluation
from console.gateway_client import GatewayClient, GatewayError
from console.management.commands.eval import RENDERERS
from console.management.gateway_options import (
    BAD_INPUT,
    add_gateway_options,
    print_progress,
    read_gateway_options,
)
from console.templatetags.ui import ms, tokens, usd
from gateway.terminal_text import printable_line

RESPONSE_CHARS = 72


class Command(BaseCommand):
    """Exit status: 0 if every model answered as required, 1 if not, 2 for bad input."""

    help = "Send a prompt to several models of a gateway, and compare the responses."
    # Needs neither the database nor the server's settings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `compare`."""
        parser.add_argument("prompt", help="the prompt; - reads standard input")
        parser.add_argument("--models", required=True, help="comma-separated models or routes")
        parser.add_argument("--system", help="system prompt")
        parser.add_argument("--schema", type=Path, help="JSON Schema file: the response must match")
        parser.add_argument(
            "--tools", type=Path, help="file with tools, as a JSON list of OpenAI's"
        )
        parser.add_argument("--expect-tool", help="name of the tool that must be called")
        parser.add_argument("--repeat", type=int, default=1, help="responses per model")
        add_gateway_options(parser)
        parser.add_argument("--output", choices=RENDERERS, help="print the results in this format")
        parser.add_argument("--quiet", action="store_true", help="print no progress")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask the models, print the table, and exit with the status."""
        definition = _read_definition(options)
        gateway = GatewayClient(*read_gateway_options(options))
        progress = print_progress(self.stderr, quiet=options["quiet"])
        try:
            report = run_evaluation(gateway, definition, progress)
        except GatewayError as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from None
        except KeyboardInterrupt:
            raise CommandError("stopped", returncode=130) from None
        if options["output"]:
            self.stdout.write(RENDERERS[options["output"]](report), ending="")
        else:
            self.stdout.write(
                _responses_table(report.results, with_checks=bool(definition.assertions))
            )
        if any(not result.outcome.passed for result in report.results):
            sys.exit(1)


def _read_definition(options: dict[str, Any]) -> Definition:
    prompt = sys.stdin.read() if options["prompt"] == "-" else options["prompt"]
    messages = [{"role": "system", "content": options["system"]}] if options["system"] else []
    # The prompt is the value of a variable, so that braces in it stay as they are.
    messages.append({"role": "user", "content": "{{input}}"})
    checks: list[dict[str, Any]] = []
    data: dict[str, Any] = {
        "name": "Comparison",
        "models": options["models"].split(","),
        "messages": messages,
        "repeat": options["repeat"],
        "concurrency": 8,
        "cases": [{"vars": {"input": prompt}}],
    }
    if options["schema"]:
        data["response_schema"] = _read_json(options["schema"])
        checks.append({"type": "json-schema", "value": data["response_schema"]})
    if options["tools"]:
        data["tools"] = _read_json(options["tools"])
    if options["expect_tool"]:
        checks.append({"type": "tool-call", "value": {"name": options["expect_tool"]}})
    try:
        definition = parse_definition({**data, "assert": checks})
        check_runnable(definition)
    except InvalidDefinition as invalid:
        raise CommandError("; ".join(invalid.errors), returncode=BAD_INPUT) from None
    return definition


def _read_json(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=BAD_INPUT) from None
    except msgspec.DecodeError as error:
        raise CommandError(f"{path} is not JSON: {error}", returncode=BAD_INPUT) from None


def _responses_table(results: list[Result], *, with_checks: bool) -> str:
    """The responses as aligned columns."""
    lines = [["model", "time", "tokens", "cost", *(["result"] if with_checks else []), "response"]]
    for outcome, content in ((result.outcome, result.content) for result in results):
        counts = f"{tokens(outcome.input_tokens)} + {tokens(outcome.output_tokens)}"
        row = [outcome.model, ms(outcome.latency_ms), counts, usd(outcome.cost_usd)]
        if with_checks:
            row.append("correct" if outcome.passed else "wrong")
        called_tools = "; ".join(
            f"{call.name}({msgspec.json.encode(call.arguments).decode()})" for call in content.calls
        )
        lines.append([*map(str, row), _one_line(content.error or called_tools or content.text)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    aligned_lines = (
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(line.rstrip() for line in aligned_lines)


def _one_line(text: str) -> str:
    """The beginning of a text, without what could control the terminal."""
    line = " ".join(printable_line(text[: 4 * RESPONSE_CHARS]).split())
    return line if len(line) <= RESPONSE_CHARS else f"{line[: RESPONSE_CHARS - 1]}…"
