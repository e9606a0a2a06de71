"""Cases from CSV, JSON lines, JSON, and plain lines.

CSV: the header has the names of variables; the columns of promptfoo (`__expected`,
`__expected2`, `__description`, `__threshold`) have assertions, name and threshold.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import msgspec

from console.evaluate.assertions import InvalidAssertion, parse_short_assertion
from console.evaluate.definition import (
    INPUT,
    MAX_CASES,
    MAX_ERRORS,
    Case,
    InvalidDefinition,
    parse_cases,
)

FORMATS = ("lines", "csv", "jsonl")
# Each case has a value for each column.
MAX_COLUMNS = 500
_EXPECTED_COLUMN = re.compile(r"__expected\d*")
_DESCRIPTION, _THRESHOLD = "__description", "__threshold"
# Columns of promptfoo that change the prompt or only label the result.
_UNSUPPORTED_COLUMNS = ("__prefix", "__suffix")
_IGNORED_COLUMNS = ("__metric", "__providerOutput")


def detect_format(text: str) -> str:
    """The format of pasted text: `jsonl` (also a JSON list), `csv` or `lines`."""
    stripped_text = text.strip()
    if stripped_text.startswith(("{", "[")):
        return "jsonl"
    try:
        rows = [*csv.reader(io.StringIO(stripped_text))] if stripped_text else []
    except csv.Error:  # a long line
        return "lines"
    is_table = len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows if row}) == 1
    names = rows[0] if rows else []
    is_header = all(name.strip() and len(name) <= 40 and "\n" not in name for name in names)
    if is_header and (is_table or (len(rows) > 1 and names[0].startswith("__"))):
        return "csv"
    return "lines"


def parse_case_text(text: str, format_: str = "") -> tuple[Case, ...]:
    """Cases from a text in one of FORMATS, detected by default. Raises InvalidDefinition."""
    text = text.removeprefix("\ufeff")
    match format_ or detect_format(text):
        case "csv":
            return _from_csv(text)
        case "jsonl":
            return _from_json_lines(text)
        case "lines":
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            _check_count(len(lines))
            return tuple(Case(variables={INPUT: line}) for line in lines)
        case unknown:
            raise InvalidDefinition(f"the format `{unknown}` is unknown")


def _check_count(count: int) -> None:
    if count > MAX_CASES:
        raise InvalidDefinition(f"{count} cases; at most {MAX_CASES} are allowed")


def _from_json_lines(text: str) -> tuple[Case, ...]:
    if text.lstrip().startswith("["):
        rows, errors = _decode_rows(text)
    else:
        rows, errors = [], []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(msgspec.json.decode(line))
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                errors.append(f"line {number} is not JSON: {json_problem(error)}")
    if errors:
        raise InvalidDefinition(*errors[:MAX_ERRORS])
    return parse_cases(rows)


def _decode_rows(text: str) -> tuple[Any, list[str]]:
    try:
        return msgspec.json.decode(text), []
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return [], [f"this is not JSON: {json_problem(error)}"]


def json_problem(error: Exception) -> str:
    """What is wrong with a text, for a sentence that says already that it is not JSON."""
    return str(error).removeprefix("JSON is malformed: ")


def _from_csv(text: str) -> tuple[Case, ...]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if any(row)]
    except csv.Error as error:
        raise InvalidDefinition(f"this is not CSV: {error}") from None
    if not rows:
        return ()
    header = [name.strip() for name in rows[0]]
    if len(header) > MAX_COLUMNS:
        raise InvalidDefinition(f"{len(header)} columns; at most {MAX_COLUMNS} are allowed")
    errors = _header_errors(header)
    _check_count(len(rows) - 1)
    cases = []
    for number, row in enumerate(rows[1:], 1):
        if len(row) > len(header):
            errors.append(f"case {number}: more cells ({len(row)}) than columns ({len(header)})")
            continue
        cells = dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=True))
        cases.append(_csv_case(cells, number, errors))
    if errors:
        raise InvalidDefinition(*errors[:MAX_ERRORS])
    return tuple(cases)


def _header_errors(header: list[str]) -> list[str]:
    errors = [
        f"the column `{name}` is not supported" for name in header if name in _UNSUPPORTED_COLUMNS
    ]
    if not all(header):
        errors.append("every column needs a name in the first line")
    duplicate_names = {name for name in header if name and header.count(name) > 1}
    return errors + [f"two columns are named `{name}`" for name in sorted(duplicate_names)]


def _csv_case(cells: dict[str, str], number: int, errors: list[str]) -> Case:
    variables, assertions = {}, []
    name, threshold = "", None
    for column, cell in cells.items():
        if _EXPECTED_COLUMN.fullmatch(column):
            if cell.strip():
                try:
                    assertions.append(parse_short_assertion(cell))
                except InvalidAssertion as invalid:
                    errors.append(f"case {number}: {invalid}")
        elif column == _DESCRIPTION:
            name = cell.strip()
        elif column == _THRESHOLD:
            threshold = _parse_threshold(cell, number, errors)
        elif column not in _IGNORED_COLUMNS:
            variables[column] = cell
    return Case(name=name, variables=variables, assertions=tuple(assertions), threshold=threshold)


def _parse_threshold(cell: str, number: int, errors: list[str]) -> float | None:
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        errors.append(f"case {number}: `{_THRESHOLD}` must be a number from 0 to 1")
        return None
    return value
