"""CSV exports: no cell and no column name is a formula, wherever a file is written."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.csv_cells import csv_line

ROOT = Path(__file__).parent.parent
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def test_no_cell_starts_like_a_formula() -> None:
    texts = [prefix + "1+1" for prefix in FORMULA_PREFIXES]
    assert next(csv.reader([csv_line(texts)])) == ["'" + text for text in texts]


@pytest.mark.parametrize("formula", [prefix + "1+1" for prefix in "=+-@＝"])
@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", "a;"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_no_cell_becomes_a_formula_with_another_separator(
    formula: str, separator: str, quote: str
) -> None:
    """Spreadsheets separate cells by `;` where the comma is decimal, and by tabs."""
    line = csv_line(["a", f"x{separator}{quote}{formula}&{quote}"])
    for delimiter in ";\t":
        rows = csv.reader(line.splitlines(), delimiter=delimiter)
        cells = [cell for row in rows for cell in row]
        assert not [cell for cell in cells if cell.startswith(FORMULA_PREFIXES)]


def test_separators_in_other_text_stay() -> None:
    text = "a; b;c\n\nd = e\n- an item\n* another"
    assert next(csv.reader([csv_line([text])])) == [text]


def test_numbers_stay_numbers() -> None:
    line = csv_line([-1, -0.5, Decimal("-1E-7"), True, None, "a,b", "2-1"])
    assert line == '-1,-0.5,-0.0000001,true,,"a,b",2-1\r\n'


def test_lists_are_json_without_formulas() -> None:
    """The tags of a request were a list as Python writes it, and a client chooses them."""
    line = csv_line([["paid", "été"], [], ["a;=1+1"]])
    assert next(csv.reader([line])) == ['["paid","été"]', "[]", """["a;'=1+1"]"""]


def test_every_export_writes_its_lines_here() -> None:
    writers = [
        str(path.relative_to(ROOT))
        for package in ("gateway", "console")
        for path in (ROOT / package).rglob("*.py")
        if any(name in path.read_text() for name in ("csv.writer(", "csv.DictWriter("))
    ]
    assert writers == ["gateway/csv_cells.py"]
