"""A finished run as JSON, CSV or Markdown: one row an answer.

The columns are those that comparisons are asked for: provider, model, answer, length,
time, tokens, valid structured output, accuracy of tool calls, cost.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from console.playground.takes import Take, Takes

Json = dict[str, Any]

HEADER = (
    "column",
    "case",
    "run",
    "provider",
    "model",
    "upstream_model",
    "status",
    "answer",
    "length_chars",
    "first_token_ms",
    "total_ms",
    "tokens_per_s",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "tool_calls",
    "schema_valid",
    "schema_error",
    "tools_correct",
    "tool_accuracy",
    "fallback",
    "cost_usd",
    "error",
    "request_id",
)
# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = (
    "column",
    "provider",
    "model",
    "answer",
    "length_chars",
    "total_ms",
    "output_tokens",
    "schema_valid",
    "tool_accuracy",
    "cost_usd",
)
MARKDOWN_ANSWER_CHARS = 500


def rows(takes: Takes) -> list[Json]:
    """A row an answer, by HEADER."""
    return [_row(take) for take in takes.all.values()]


def _row(take: Take) -> Json:
    end: Json = take.end or {}
    schema, tools = take.verdicts.get("schema"), take.verdicts.get("tools")
    values = (
        take.col,
        take.case,
        take.n + 1,
        end.get("provider"),
        take.model,
        end.get("upstream_model"),
        end.get("status", "unfinished"),
        take.text or take.refusal,
        len(take.text or take.refusal),
        end.get("ttft_ms"),
        end.get("total_ms"),
        end.get("tok_s"),
        end.get("input"),
        end.get("output"),
        end.get("cached"),
        end.get("reasoning"),
        [{"name": call.name, "arguments": call.arguments} for call in take.calls],
        schema and schema.get("ok"),
        schema and " ".join(filter(None, (schema.get("path"), schema.get("message")))),
        tools and tools.get("ok"),
        accuracy(tools),
        end.get("fallback"),
        end.get("cost"),
        end.get("error"),
        end.get("request_id"),
    )
    return dict(zip(HEADER, values, strict=True))


def accuracy(tools: Json | None) -> float | None:
    """The share of expected calls that were made as expected; None if none was expected."""
    return None if tools is None else tools.get("accuracy")


def as_json(run: Json, takes: Takes) -> bytes:
    """The run with its settings, every answer in full, and the summary."""
    answers = [
        {**row, "reasoning": take.reasoning, "verdicts": take.verdicts, "attempts": take.attempts}
        for row, take in zip(rows(takes), takes.all.values(), strict=True)
    ]
    return msgspec.json.format(msgspec.json.encode({**run, "answers": answers}), indent=2)


def as_csv(takes: Takes) -> str:
    """A table for spreadsheets; no cell of it is read as a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for row in rows(takes):
        writer.writerow([_cell(row[name]) for name in HEADER])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = msgspec.json.encode(value).decode() if value else ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def as_markdown(title: str, takes: Takes) -> str:
    """A table to paste into a text; the answers in full below it."""
    found = rows(takes)
    lines = [f"# {_line(title) or 'Playground run'}", ""]
    lines.append("| " + " | ".join(name.replace("_", " ") for name in _MARKDOWN) + " |")
    lines.append("|" + " --- |" * len(_MARKDOWN))
    for row in found:
        cells = (_markdown_cell(row[name]) for name in _MARKDOWN)
        lines += ["| " + " | ".join(cells) + " |"]
    for row in found:
        answer = str(row["answer"])
        if len(answer) > MARKDOWN_ANSWER_CHARS:
            fence = _fence(answer)
            lines += ["", f"## {row['column']}: {_line(str(row['model']))}", ""]
            lines += [fence, answer, fence]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _markdown_cell(value: Any) -> str:
    text = _line(str(_cell(value)).removeprefix("'"))
    if len(text) > MARKDOWN_ANSWER_CHARS:
        text = text[: MARKDOWN_ANSWER_CHARS - 1] + "…"
    for sign in "\\`|<>*_[]":
        text = text.replace(sign, "\\" + sign)
    return text


def _fence(text: str) -> str:
    """A fence that the text does not contain."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return ticks
