"""Template tag of the API reference."""

from __future__ import annotations

import re
from typing import Any

from django import template

register = template.Library()
_CODE = re.compile(r"(`[^`]+`)")


@register.inclusion_tag("console/api_reference/_description.html")
def description(text: str) -> dict[str, Any]:
    """A description of the OpenAPI document: paragraphs, with `code` between backticks."""
    return {"paragraphs": text_parts(text)}


def text_parts(text: str) -> list[list[tuple[bool, str]]]:
    """Paragraphs of a description, each as parts: whether it is code, and its text."""
    return [
        [
            (True, part[1:-1]) if part.startswith("`") and len(part) > 1 else (False, part)
            for part in _CODE.split(" ".join(paragraph.split()))
            if part
        ]
        for paragraph in text.split("\n\n")
        if paragraph.strip()
    ]
