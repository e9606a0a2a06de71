"""Prints the translation matrix; `--write` stores it in docs/crossing.md."""

from __future__ import annotations

import argparse
import asyncio

from tests.dialects.crossing.run import run
from tests.dialects.crossing.table import PAGE_PATH, page


def main() -> None:
    """Run the matrix and print or store its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE_PATH.name}")
    options = parser.parse_args()
    markdown = page(asyncio.run(run()))
    if options.write:
        PAGE_PATH.write_text(markdown, encoding="utf-8")
        return
    print(markdown)


main()
