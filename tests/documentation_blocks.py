"""The code blocks of README, docs/ and examples/, with their page and language."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^( *)```([a-z]*)\n(.*?)^ *```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced code block: its page relative to the repository, its language and its text."""

    page: str
    language: str
    code: str

    @property
    def first_line(self) -> str:
        """The first line of the code, which identifies the block in tables."""
        return self.code.partition("\n")[0].rstrip(" \\")


def pages() -> list[Path]:
    """Return every page of the user documentation."""
    examples = sorted((ROOT / "examples").rglob("*.md"))
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *examples]


def blocks() -> Iterator[Block]:
    """Yield all blocks in the order of the pages."""
    for path in pages():
        page = str(path.relative_to(ROOT))
        for indent, language, code in _BLOCK.findall(path.read_text(encoding="utf-8")):
            yield Block(page, language, textwrap.dedent(indent + code) if indent else code)
