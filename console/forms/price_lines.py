"""Prices of service tiers and of long prompts as lines of text, and back.

flex 0.5                       half the standard price
priority input=4 output=20     prices; the rest as the standard
200000 input=6 output=22.5     prompts longer than so many tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

Rates = dict[str, str]


def tiers_text(tiers: Any) -> str:
    """The lines of a row's tiers."""
    held = tiers if isinstance(tiers, Mapping) else {}
    return "\n".join(f"{name} {_told(value)}" for name, value in held.items())


def above_text(above: Any) -> str:
    """The lines of a row's prices of long prompts."""
    lines = []
    for item in above if isinstance(above, list) else []:
        rest = {name: value for name, value in item.items() if name != "tokens"}
        lines.append(f"{item.get('tokens', '')} {_told(rest)}")
    return "\n".join(lines)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={price}" for name, price in value.items() if price is not None)
    return str(value)


def tiers_of(text: str) -> dict[str, str | Rates]:
    """The tiers of some lines. Raises ValueError, which names the line."""
    found: dict[str, str | Rates] = {}
    for name, rest in _lines(text):
        found[name] = rest[0] if len(rest) == 1 and "=" not in rest[0] else _rates(name, rest)
    return found


def above_of(text: str) -> list[dict[str, Any]] | None:
    """The prices of long prompts; None if nothing is said. Raises ValueError."""
    found: list[dict[str, Any]] = []
    for name, rest in _lines(text):
        if not (name.isascii() and name.isdecimal()):
            raise ValueError(_("%(name)s: a number of tokens comes first.") % {"name": name[:40]})
        found.append({"tokens": int(name), **_rates(name, rest)})
    return found or None


def _lines(text: str) -> list[tuple[str, list[str]]]:
    found = []
    for line in text.splitlines():
        name, *rest = line.split() or [""]
        if name and not rest:
            raise ValueError(_("%(name)s: its price is missing.") % {"name": name[:40]})
        if name:
            found.append((name, rest))
    return found


def _rates(name: str, words: list[str]) -> Rates:
    found = {}
    for word in words:
        rate, sign, price = word.partition("=")
        if not sign:
            said = _("%(name)s: a price is written as input=1.5.")
            raise ValueError(said % {"name": name[:40]})
        found[rate] = price
    return found
