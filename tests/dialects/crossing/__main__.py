"""Prints the matrix; `--write` keeps it in docs/crossing.md."""

from __future__ import annotations

import argparse
import asyncio

from tests.dialects.crossing.run import run
from tests.dialects.crossing.table import KEPT, page


def main() -> None:
    """Run the matrix and print or keep its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {KEPT.name}")
    wanted = parser.parse_args()
    made = page(asyncio.run(run()))
    if wanted.write:
        KEPT.write_text(made, encoding="utf-8")
        return
    print(made)


main()
