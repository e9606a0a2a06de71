"""A card number that guardrails must detect."""

from __future__ import annotations

import re

CARD = "4111 1111 1111 1111"
# Not within a longer word: times and ids of responses have the same digits now and then.
_BEGINNING = re.compile(rb"(?<![0-9A-Za-z])4111(?![0-9A-Za-z])")


def shows_card(body: bytes) -> bool:
    """Return whether a body contains the number or its beginning."""
    return _BEGINNING.search(body) is not None
