"""The table of keys as Markdown: `python -m gateway.litellm.table` prints it for the docs."""

from __future__ import annotations

import sys

from gateway.litellm.keys import FAMILIES, SECTIONS

_TITLES = {"": "The file", "model_list[]": "An entry of model_list"}


def markdown() -> str:
    """One table for each section, one row for each key."""
    parts = []
    for section, keys in SECTIONS.items():
        parts += [f"### {_TITLES.get(section, f'`{section}`')}", ""]
        parts += ["| key | here | |", "|---|---|---|"]
        rows = {**keys, **FAMILIES.get(section, {})}
        parts += [f"| `{name}` | {key.word} | {key.why} |" for name, key in rows.items()]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
