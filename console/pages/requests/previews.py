"""The line of prompt text below a row of the list, with the matches of a text search marked.

Reading it is reading bodies: callers check the permission.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterable

import msgspec

from gateway import store
from gateway.fulltext import parse_phrases
from gateway.models import RequestBody, RequestLog
from gateway.store.search_text import search_text

# Bodies are read for this long to find the matches of a page of rows.
BUDGET_S = 0.1
# Characters around the first match.
_BEFORE, _AFTER = 40, 160
_SPACELESS = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class Fragment(msgspec.Struct, frozen=True):
    """A part of a line; `is_match` if the search matched it."""

    text: str
    is_match: bool = False


def previews(rows: Iterable[RequestLog], query: str = "") -> dict[int, list[Fragment]]:
    """Preview of each row: the text that matched `query`, else the start of the last prompt."""
    rows = list(rows)
    prompts = RequestBody.objects.previews([row.pk for row in rows])
    pattern = match_pattern(query)
    lines: dict[int, list[Fragment]] = {}
    until = time.monotonic() + BUDGET_S
    for row in rows:
        prompt = prompts.get(row.pk, "")
        prompt_fragments = _mark_match(prompt, pattern)
        if pattern is not None and not prompt_fragments and time.monotonic() < until:
            prompt_fragments = _mark_match(_stored_text(row), pattern)
        if prompt_fragments or prompt:
            lines[row.pk] = prompt_fragments or [Fragment(prompt)]
    return lines


def match_pattern(query: str) -> re.Pattern[str] | None:
    """Match the phrases of a search in folded text; None for an empty search."""
    patterns = [_phrase_pattern(phrase) for phrase in parse_phrases(query)]
    return re.compile("|".join(patterns)) if patterns else None


def _phrase_pattern(phrase: str) -> str:
    terms = [
        re.escape(term) if _SPACELESS.match(term) else rf"(?<![^\W_]){re.escape(term)}(?![^\W_])"
        for term in phrase.split()
    ]
    return r"[\W_]*".join(terms)


def _fold_text(text: str) -> str:
    """The text in lower case without accents, of the same length."""
    if text.isascii():
        return text.lower()
    return "".join((unicodedata.normalize("NFKD", char)[:1].lower() or char)[:1] for char in text)


def _mark_match(text: str, pattern: re.Pattern[str] | None) -> list[Fragment]:
    """The text around the first match; empty without a match."""
    if pattern is None:
        return []
    folded_text = _fold_text(text)
    first = pattern.search(folded_text)
    if first is None:
        return []
    start, end = max(0, first.start() - _BEFORE), min(len(text), first.end() + _AFTER)
    fragments = [Fragment("…")] if start else []
    offset = start
    for match in pattern.finditer(folded_text, first.start(), end):
        fragments += [
            Fragment(text[offset : match.start()]),
            Fragment(text[slice(*match.span())], is_match=True),
        ]
        offset = match.end()
    fragments.append(Fragment(f"{text[offset:end]}{'…' if end < len(text) else ''}"))
    return [fragment for fragment in fragments if fragment.text]


def _stored_text(row: RequestLog) -> str:
    try:
        bodies = store.load_bodies(row.pk)
    except ValueError:
        bodies = None
    return " ".join(search_text(bodies, row.error).split())
