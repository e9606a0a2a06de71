"""Which names a model may have, and how a name becomes a part of a URL's path.

A name that a client chooses is matched against routes, key rules, budgets and prices, and
some providers have it in the path of their URL. One that a URL parser rewrites (`..`, `?`,
an encoded slash) would be charged as one model and served as another.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

MAX_LENGTH = 256
# A character that ends or rewrites a path, or a segment that a URL parser removes.
_UNSAFE = re.compile(r"[?#%\\]|(?:\A|/)\.{0,2}(?:/|\Z)")
_SPACE_AT_SEGMENT_EDGE = re.compile(r"(?:\A|/) | (?:/|\Z)")
_PLACEHOLDER = "{model}"


def find_name_fault(name: str) -> str | None:
    """Why a client may not use this model name, for the error message; None if it may."""
    if len(name) > MAX_LENGTH:
        return f"it is longer than {MAX_LENGTH} characters"
    if not name.isprintable():
        return "it contains unprintable characters"
    if _UNSAFE.search(name):
        return "`?`, `#`, `%`, `\\` and empty, `.` or `..` path segments are not allowed"
    if " " in name and _SPACE_AT_SEGMENT_EDGE.search(name):
        return "it, or one of its segments, begins or ends with a space"
    return None


def normalize_model_name(name: str) -> str:
    """The name in the one form that is matched: Unicode's NFC."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def encode_segment(name: str) -> str:
    """The name as one segment of a path: a slash or colon in it does not end the segment."""
    return quote(name, safe="@")


def expand_path_template(template: str, name: str) -> str:
    """The path of a template, with the model's name as one segment in place of `{model}`."""
    return template.replace(_PLACEHOLDER, encode_segment(name))


def text_of_wildcard(pattern: str, name: str) -> str:
    """The part of a matching name in place of the pattern's `*`; the name if there is none.

    Of several `*`, the first one stands for everything up to the end of the name.
    """
    head, star, tail = pattern.partition("*")
    if not star:
        return name
    end = len(name) if "*" in tail else len(name) - len(tail)
    return name[len(head) : end]
