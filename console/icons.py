"""Icon sprites: the icons that the pages use, and the presets' logos."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from gateway.providers.catalog import PRESETS

# `{% icon "plug" %}`, `icon("plug")` in a script, `Entry(..., "plug")` or `icon="plug"` in Python.
_USES = (
    re.compile(r"""\{%\s*icon\s+["']([a-z0-9-]+)["']"""),
    re.compile(r"""\bicon\w*[(=:]\s*["']([a-z0-9-]+)["']""", re.I),
    re.compile(r"""\bEntry\("[^"]+", _\("[^"]+"\), "([a-z0-9-]+)\""""),
    re.compile(r"""["']i:([a-z0-9-]+)["']"""),
    re.compile(r"""icons\.svg#([a-z0-9-]+)"""),
)
_SUFFIXES = {".html", ".js", ".py"}
_VIEW_BOX = re.compile(r'viewBox="([^"]+)"')
_TITLE = re.compile(r"<title>.*?</title>|<!--.*?-->", re.S)


def used_icons(folders: Iterable[Path]) -> set[str]:
    """Return the names of all icons that templates, scripts and modules use."""
    names: set[str] = set()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.suffix in _SUFFIXES and "vendor" not in path.parts:
                text = path.read_text(encoding="utf-8")
                names.update(name for pattern in _USES for name in pattern.findall(text))
    return names


def sprite(drawings: dict[str, Path]) -> str:
    """Return one SVG with a symbol for each drawing, by name."""
    symbols = "\n".join(_svg_symbol(name, path) for name, path in sorted(drawings.items()))
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}\n</svg>\n'


def logos(folder: Path) -> dict[str, Path]:
    """Return the logo files of the presets that exist in `folder`, by name."""
    logo_names = {preset.logo or preset.name for preset in PRESETS.values()}
    return {name: path for name in logo_names if (path := folder / f"{name}.svg").exists()}


def _svg_symbol(name: str, path: Path) -> str:
    _, _, element = _TITLE.sub("", path.read_text(encoding="utf-8")).partition("<svg")
    attributes, _, content = element.partition(">")
    inner_svg, end, _ = content.partition("</svg>")
    if not end:
        raise ValueError(f"{path} is not an SVG file")
    box = _VIEW_BOX.search(attributes)
    # Logos are filled, icons are stroked; one of the logos is stroked too.
    pen = ' fill="none" stroke="currentColor" stroke-width="2"' if "stroke=" in attributes else ""
    symbol_svg = re.sub(r"\s+", " ", inner_svg).strip().replace("> <", "><").replace(" />", "/>")
    size = box.group(1) if box else "0 0 24 24"
    return f'<symbol id="{name}" viewBox="{size}"{pen}>{symbol_svg}</symbol>'
