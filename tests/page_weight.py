"""The compressed bytes of the first load of a page."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "static"
_TAG = re.compile(r"\{%\s*static\s+['\"]([^'\"]+)['\"]\s*%\}")
_EXTENDS = re.compile(r"\{%\s*extends\s+['\"]([^'\"]+)['\"]")
_IMPORT = re.compile(
    r"^\s*(?:import|export)[^'\"]*?from\s*['\"]([^'\"]+)['\"]|^\s*import\s*['\"]([^'\"]+)['\"]",
    re.M,
)
_URL = re.compile(r"url\([\"']?(?!data:)([^\"')]+)")
# Sent as they are: compressed by their own format.
_PACKED = {".woff2", ".png"}


def first_load_bytes(template: str) -> dict[str, int]:
    """Return the bytes by file: the page's own template, and everything it loads statically."""
    files: dict[str, int] = {}
    name: str | None = template
    while name is not None:
        path = ROOT / "templates" / name
        text = path.read_text(encoding="utf-8")
        files[f"templates/{name}"] = _size(path)
        for asset in _TAG.findall(text):
            _add(STATIC / asset, files)
        match = _EXTENDS.search(text)
        name = match.group(1) if match else None
    for sprite in ("icons/icons.svg", "logos/logos.svg"):
        _add(STATIC / "vendor" / sprite, files)
    return files


def _add(path: Path, files: dict[str, int]) -> None:
    path = path.resolve()
    key = str(path.relative_to(ROOT))
    if key in files:
        return
    files[key] = _size(path)
    if path.suffix == ".js" and "vendor" not in path.parts:
        for first, other in _IMPORT.findall(path.read_text(encoding="utf-8")):
            _add(path.parent / (first or other), files)
    if path.suffix == ".css":
        for url in _URL.findall(path.read_text(encoding="utf-8")):
            _add(path.parent / url, files)


def _size(path: Path) -> int:
    data = path.read_bytes()
    return len(data) if path.suffix in _PACKED else len(gzip.compress(data, 9))
