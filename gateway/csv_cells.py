"""Lines of CSV exports, in which no cell is a formula.

A spreadsheet evaluates a cell whose text starts with one of a few characters, and a formula can
send other cells away: https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

# Characters that start a formula; some spreadsheets treat the full-width forms in the same way.
# A spreadsheet with another separator than the comma also starts a cell within a text, even if the
# text is quoted here: it ignores quotes that do not start a cell. The items of a list (`- item`)
# remain as they are.
_FORMULA_START = re.compile(
    r'\A(?=[=+\-@\t\r\n＝＋－＠])|(?<=[;\t\r\n])(?="*(?:[=@＝＠]|[+\-＋－](?!\s)))'
)


def csv_line(cells: Iterable[Any]) -> str:
    """One line, with its line break; names of columns are cells too.

    Text that would be a formula gets an apostrophe, decimals are in fixed point (spreadsheets
    disagree about 1E-7), booleans are `true` and `false`, lists are JSON, and None is empty.
    """
    out = io.StringIO()
    csv.writer(out).writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list):
        value = msgspec.json.encode(value).decode()
    return _FORMULA_START.sub("'", value) if isinstance(value, str) else value
