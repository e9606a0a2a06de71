"""Lines of CSV exports, in which no cell is a formula.

A spreadsheet evaluates a cell whose text starts with one of a few characters, and a formula can
send other cells away: https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

# With the full-width forms, which some spreadsheets treat in the same way.
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_line(cells: Iterable[Any]) -> str:
    """One line, with its line break; names of columns are cells too.

    Text that would be a formula gets an apostrophe, decimals are in fixed point (spreadsheets
    disagree about 1E-7), booleans are `true` and `false`, and None is empty.
    """
    out = io.StringIO()
    csv.writer(out).writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value.startswith(FORMULA_PREFIXES):
        return f"'{value}"
    return value
