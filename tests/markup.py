"""HTML in the form in which tests compare it."""

from __future__ import annotations

import re


def squeeze(html: str) -> str:
    """One space for any run of whitespace, and none beside a tag."""
    html = re.sub(r"\s+", " ", html)
    return re.sub(r" ?(<[^<>]*?) ?> ?", r"\1>", html)
