"""The table of keys as Markdown, for docs/litellm.md; run this module with `python -m`."""

from __future__ import annotations

import sys

from gateway.compat.litellm.config.key_lookup import FAMILIES, SECTIONS

_TITLES = {"": "The file", "model_list[]": "An entry of model_list"}


def markdown() -> str:
    """Return one table for each section, one row for the keys with the same status and remark."""
    parts = []
    for section, keys in SECTIONS.items():
        parts += [f"### {_TITLES.get(section, f'`{section}`')}", ""]
        parts += ["| key | status | remark |", "|---|---|---|"]
        names: dict[tuple[str, str], list[str]] = {}
        for name, key in {**keys, **FAMILIES.get(section, {})}.items():
            names.setdefault((key.status_label, key.reason), []).append(f"`{name}`")
        parts += [
            f"| {', '.join(row)} | {status} | {remark} |" for (status, remark), row in names.items()
        ]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
