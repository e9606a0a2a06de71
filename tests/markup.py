"""Normalization of HTML for comparisons."""

from __future__ import annotations

import re


def normalize_html(html: str) -> str:
    """Return HTML with whitespace collapsed, and none next to tags."""
    html = re.sub(r"\s+", " ", html)
    return re.sub(r" ?(<[^<>]*?) ?> ?", r"\1>", html)
