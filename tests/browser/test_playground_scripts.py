"""The playground's scripts: their size, and the APIs that they must not use."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "static/js/playground"
FIRST_LOAD_BYTES = 22_000
_STATIC = re.compile(r'^(?:import|export)\b[^;]*?from "\./([^"]+)"', re.M)
# What would make a model's words into markup or code.
_FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
)


def imported_modules(name: str, texts: set[str] | None = None) -> set[str]:
    """Return a module and all modules that it imports statically."""
    texts = set() if texts is None else texts
    if name not in texts:
        texts.add(name)
        for other in _STATIC.findall((FOLDER / name).read_text(encoding="utf-8")):
            imported_modules(other, texts)
    return texts


def size(names: set[str]) -> int:
    return sum(len(gzip.compress((FOLDER / name).read_bytes(), 9)) for name in names)


def test_the_page_opens_with_little_script() -> None:
    names = imported_modules("main.js")
    assert "dom.js" in names
    assert "markdown.js" not in names
    assert size(names) <= FIRST_LOAD_BYTES


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_no_script_builds_markup_from_text(path: Path) -> None:
    assert _FORBIDDEN.findall(path.read_text(encoding="utf-8")) == []


def test_every_module_is_used() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}
    named = {other for text in sources.values() for other in re.findall(r'"\./([\w-]+\.js)"', text)}
    assert set(sources) - named == {"main.js"}
