"""Measures whether a redaction pattern would slow down the log, on adversarial text."""

from __future__ import annotations

import re
import time

SAMPLE_BYTES = 16 * 1024
MAX_S = 0.05
_COMMON_CHARS = "a0A-_.@ :/=\"'"


def is_slow(pattern: re.Pattern[bytes]) -> bool:
    """Whether the pattern is too slow on some long body.

    `gateway.providers.masks.compile_mask` limits backtracking, so that the measurement ends.
    """
    characters = sorted({*_COMMON_CHARS, *pattern.pattern.decode("ascii")})
    start = time.perf_counter()
    for text in characters:
        pattern.sub(b"", text.encode() * SAMPLE_BYTES)
        if time.perf_counter() - start > MAX_S * len(characters):
            return True
    return False
