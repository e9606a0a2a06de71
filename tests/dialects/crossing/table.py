"""The matrix as a page: a table of every crossing, totals, and why something is not exact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.dialects.crossing.asks import FEATURES
from tests.dialects.crossing.clients import CLIENTS
from tests.dialects.crossing.run import Cell, Outcome
from tests.dialects.crossing.upstreams import UPSTREAMS

KEPT = Path(__file__).parents[3] / "docs" / "crossing.md"
_HEAD = """# Crossing dialects

Every client dialect on every provider dialect, asked through the live code (edge, relay,
dialects) with providers that refuse what the paid ones refuse. Each crossing is asked whole and
streamed, and tool results are sent back. This page is made by
`python -m tests.dialects.crossing --write`; a test compares it with what the code does.

`=` passes through unchanged · `+` carried exactly · `~` something is approximated ·
`-` something is dropped · a blank: the client's dialect has no word for it.
What is not exact is told in the answer's headers and in the request's log; below are the reasons.
"""
_NUMBER = re.compile(r"\[\d+\]")


def page(outcome: Outcome) -> str:
    """The whole page, Markdown."""
    cells = outcome.cells
    parts = [_HEAD, _totals(outcome)]
    parts += [_matrix(cells, feature) for feature in FEATURES]
    parts.append(_reasons(cells))
    return "\n".join(parts)


def sign(cells: Iterable[Cell]) -> str:
    """One sign for the whole and the streamed crossing of a feature."""
    rows = [row for cell in cells for row in cell.report]
    actions = {row["action"] for row in rows}
    for action, mark in (("dropped", "-"), ("approximated", "~")):
        if action in actions:
            return mark
    passed = all(turn.logged.passthrough for cell in cells for turn in cell.turns)
    return "=" if passed else "+"


def _totals(outcome: Outcome) -> str:
    cells = outcome.cells
    turns = sum(len(cell.turns) for cell in cells)
    signs = Counter(
        sign(_of(cells, client, upstream, feature))
        for client in CLIENTS
        for upstream in UPSTREAMS
        for feature in CLIENTS[client].can
    )
    words = {"=": "pass through", "+": "exact", "~": "approximated", "-": "with something dropped"}
    told = ", ".join(f"{signs[mark]} {word}" for mark, word in words.items())
    return (
        f"{len(CLIENTS)} client dialects, {len(UPSTREAMS)} providers, {len(cells)} crossings with "
        f"{turns} requests, and {len(outcome.failures)} refusals and broken streams. "
        f"Of the {sum(signs.values())} signs below: {told}.\n"
    )


def _of(cells: Iterable[Cell], client: str, upstream: str, feature: str) -> list[Cell]:
    key = (client, upstream, feature)
    return [cell for cell in cells if (cell.client, cell.upstream, cell.feature) == key]


def _matrix(cells: tuple[Cell, ...], feature: str) -> str:
    lines = [
        f"## {feature}\n",
        f"| client \\ provider | {' | '.join(UPSTREAMS)} |",
        f"|---|{':-:|' * len(UPSTREAMS)}",
    ]
    for client in CLIENTS.values():
        known = feature in client.can
        signs = [
            f"`{sign(_of(cells, client.name, upstream, feature))}`" if known else ""
            for upstream in UPSTREAMS
        ]
        lines.append(f"| {client.name} | {' | '.join(signs)} |")
    return "\n".join(lines) + "\n"


def _reasons(cells: tuple[Cell, ...]) -> str:
    """Each reason once, with the field and who meets it; defaults that a wire demands too."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for cell in cells:
        for row in cell.report:
            key = (cell.client, _NUMBER.sub("[n]", row["field"]), row["action"], row["note"])
            seen = found.setdefault(key, [])
            if cell.upstream not in seen:
                seen.append(cell.upstream)
    lines = [
        "## Reasons\n",
        "| client | field | action | why | providers |",
        "|---|---|---|---|---|",
    ]
    for (client, field, action, why), providers in sorted(found.items()):
        where = ", ".join(sorted(providers))
        lines.append(f"| {client} | `{field}` | {action} | {why} | {where} |")
    return "\n".join(lines) + "\n"
