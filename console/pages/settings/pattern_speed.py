"""Whether a pattern would hold up the log: it is tried on text made to be hard for it."""

from __future__ import annotations

import re
import time

SAMPLE_BYTES = 16 * 1024
MAX_S = 0.05
_COMMON = "a0A-_.@ :/=\"'"


def is_slow(pattern: re.Pattern[bytes]) -> bool:
    """Whether the pattern takes too long on some long body.

    `gateway.providers.masks.mask` has bounded what it can cost, so that trying ends.
    """
    characters = sorted({*_COMMON, *pattern.pattern.decode("ascii")})
    start = time.perf_counter()
    for text in characters:
        pattern.sub(b"", text.encode() * SAMPLE_BYTES)
        if time.perf_counter() - start > MAX_S * len(characters):
            return True
    return False
