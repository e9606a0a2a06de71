"""The expected results of each scenario."""

from __future__ import annotations

from typing import Any

from tests.clients.upstreams import HELLO, PLACE_OBJECT


def find_fault(scenario: str, recorded: dict[str, Any]) -> str:
    """Return what is wrong with the result of a client; empty if it is correct."""
    if "failed" in recorded:
        return str(recorded["failed"])
    return "" if _RIGHT[scenario](recorded["saw"]) else f"it saw {recorded['saw']!r}"


def _is_streamed_hello(pieces: list[str]) -> bool:
    return len(pieces) > 1 and "".join(pieces) == HELLO


def _names_both_cities(text: str) -> bool:
    # Agents that run tools at once answer in the order in which they end.
    return text.startswith("It is: ") and all(f"sun in {c}" in text for c in ("Paris", "Rome"))


def _turns(texts: list[str]) -> bool:
    cities = ("Oslo", "Lima")
    return [[c for c in cities if f"sun in {c}" in text] for text in texts] == [[c] for c in cities]


_RIGHT: dict[str, Any] = {
    "text": lambda text: text == HELLO,
    "stream": _is_streamed_hello,
    "tools": _names_both_cities,
    "thinking": _turns,
    "memory": bool,
    "models": bool,
    "structured": lambda objects: objects and all(place == PLACE_OBJECT for place in objects),
    "embed": lambda lengths: lengths == [4, 4],
}
