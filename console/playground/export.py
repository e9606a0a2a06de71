"""Exports a finished run as JSON, CSV or Markdown, one row per response."""

from __future__ import annotations

from typing import Any

import msgspec

from console.playground.results import ColumnResponse, RunResults
from gateway.csv_cells import csv_line

Json = dict[str, Any]

HEADER = (
    "column",
    "run",
    "provider",
    "model",
    "upstream_model",
    "status",
    "response",
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
_MARKDOWN = (
    "column",
    "provider",
    "model",
    "response",
    "length_chars",
    "total_ms",
    "output_tokens",
    "schema_valid",
    "tool_accuracy",
    "cost_usd",
)
MARKDOWN_RESPONSE_CHARS = 500


def rows(results: RunResults) -> list[Json]:
    """One row per response, with the fields of HEADER."""
    return [_response_row(response) for response in results.by_key.values()]


def _response_row(response: ColumnResponse) -> Json:
    end: Json = response.end or {}
    schema, tools = response.verdicts.get("schema"), response.verdicts.get("tools")
    values = (
        response.col,
        response.n + 1,
        end.get("provider"),
        response.model,
        end.get("upstream_model"),
        end.get("status", "unfinished"),
        response.text or response.refusal,
        len(response.text or response.refusal),
        end.get("ttft_ms"),
        end.get("total_ms"),
        end.get("tok_s"),
        end.get("input"),
        end.get("output"),
        end.get("cached"),
        end.get("reasoning"),
        [{"name": call.name, "arguments": call.arguments} for call in response.calls],
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
    """Share of expected calls that were correct; None if no call was expected."""
    return None if tools is None else tools.get("accuracy")


def as_json(run: Json, results: RunResults) -> bytes:
    """Run with its settings, full responses and summary."""
    responses = [
        {
            **row,
            "reasoning": response.reasoning,
            "verdicts": response.verdicts,
            "attempts": response.attempts,
        }
        for row, response in zip(rows(results), results.by_key.values(), strict=True)
    ]
    return msgspec.json.format(msgspec.json.encode({**run, "responses": responses}), indent=2)


def as_csv(results: RunResults) -> str:
    """Table for spreadsheets."""
    lines = [HEADER, *([_cell(row[name]) for name in HEADER] for row in rows(results))]
    return "".join(map(csv_line, lines))


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return msgspec.json.encode(value).decode() if value else ""
    return value


def as_markdown(title: str, results: RunResults) -> str:
    """Markdown table, with long responses in full below it."""
    response_rows = rows(results)
    lines = [f"# {_single_line(title) or 'Playground run'}", ""]
    lines.append("| " + " | ".join(name.replace("_", " ") for name in _MARKDOWN) + " |")
    lines.append("|" + " --- |" * len(_MARKDOWN))
    for row in response_rows:
        cells = (_markdown_cell(row[name]) for name in _MARKDOWN)
        lines += ["| " + " | ".join(cells) + " |"]
    for row in response_rows:
        response = str(row["response"])
        if len(response) > MARKDOWN_RESPONSE_CHARS:
            fence = _code_fence(response)
            lines += ["", f"## {row['column']}: {_single_line(str(row['model']))}", ""]
            lines += [fence, response, fence]
    return "\n".join(lines) + "\n"


def _single_line(text: str) -> str:
    return " ".join(text.split())


def _markdown_cell(value: Any) -> str:
    text = _single_line(str(_cell(value)))
    if len(text) > MARKDOWN_RESPONSE_CHARS:
        text = text[: MARKDOWN_RESPONSE_CHARS - 1] + "…"
    for sign in "\\`|<>*_[]":
        text = text.replace(sign, "\\" + sign)
    return text


def _code_fence(text: str) -> str:
    """Code fence that does not occur in the text."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return ticks
