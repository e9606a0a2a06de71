"""Words of a text as the full-text index holds them: the same on every database.

SQLite's and PostgreSQL's tokenizers differ (paths, hyphens, accents, Chinese), so
both get text that is already split: lower case, no accents, one space between
words, each character of a script without spaces a word of its own.
"""

from __future__ import annotations

import re
import unicodedata

# Longer runs are hashes and base64, which nobody searches for.
MAX_WORD = 64
MAX_PHRASES = 16

# ASCII by itself, which most text is: a table takes a fifth of the time.
_ASCII = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_SPACELESS = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_QUERY = re.compile(r'"([^"]*)"|(\S+)')


def words(text: str) -> list[str]:
    """The words of `text`, normalised, in order."""
    if text.isascii():
        found = text.encode().translate(_ASCII).decode().split()
    else:
        # Twice: a letter in another font (NFKD) has its case only afterwards.
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        plain = "".join(c for c in folded if not unicodedata.combining(c))
        found = _WORD.findall(_SPACELESS.sub(r" \1 ", plain))
    if max(map(len, found), default=0) > MAX_WORD:
        return [word for word in found if len(word) <= MAX_WORD]
    return found


def document(text: str) -> str:
    """The text as it is handed to the index."""
    return " ".join(words(text))


def phrases(query: str) -> list[str]:
    """What a person typed, as phrases that must all occur.

    `"..."` is a phrase, and so is a run such as `gateway/models.py` that the index
    holds as several words.
    """
    found = (document(quoted or plain) for quoted, plain in _QUERY.findall(query))
    return list(dict.fromkeys(phrase for phrase in found if phrase))[:MAX_PHRASES]
