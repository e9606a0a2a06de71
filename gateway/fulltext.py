"""Splits text into the terms of the full-text index, the same on every database.

SQLite's and PostgreSQL's tokenizers differ (paths, hyphens, accents, Chinese), so both get text
that is already split: lower case, no accents, one space between words, and each character of a
script without spaces as its own word.
"""

from __future__ import annotations

import re
import unicodedata

# Longer runs are hashes and base64, which are not worth indexing.
MAX_TERM = 64
MAX_PHRASES = 16
# Accents and punctuation marks of a text that are replaced one after the other. English has some
# quotes and dashes.
MAX_REPLACEMENTS = 16

# Most text is ASCII, for which a translation table takes a fifth of the time.
_ASCII = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)
# A search for a run of letters takes a third of the time of the lengths of all terms.
_LETTERS = bytes(ord(" ") if code == ord(" ") else ord("x") for code in _ASCII)
_LONG_TERM = b"x" * (MAX_TERM + 1)
_WORD_PATTERN = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_SPACELESS = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_QUERY = re.compile(r'"([^"]*)"|(\S+)')


def index_text(text: str) -> str:
    """The normalized terms of `text`, in order: the form that is indexed."""
    if not text.isascii():
        text = _replace_marks(text)
    if text.isascii():
        ascii_text = text.encode()
        words = ascii_text.translate(_ASCII).split()
        if _LONG_TERM in ascii_text.translate(_LETTERS):
            words = [word for word in words if len(word) <= MAX_TERM]
        return b" ".join(words).decode()
    terms = _WORD_PATTERN.findall(_SPACELESS.sub(r" \1 ", text))
    return " ".join(term for term in terms if len(term) <= MAX_TERM)


def _replace_marks(text: str) -> str:
    """Lower-case text without accents, and with spaces for punctuation that is not ASCII."""
    # Twice: letters in another font have a case only after the first NFKD.
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    replacements = {
        character: "" if unicodedata.combining(character) else " "
        for character in set(text)
        if not character.isascii()
        and (unicodedata.combining(character) or not _WORD_PATTERN.match(character))
    }
    if len(replacements) > MAX_REPLACEMENTS:  # one pass each would take too long
        return "".join([replacements.get(character, character) for character in text])
    for character, replacement in replacements.items():
        text = text.replace(character, replacement)
    return text


def parse_phrases(query: str) -> list[str]:
    """A search query as phrases that must all occur.

    `"..."` is a phrase, and so is a run such as `gateway/models.py` that is indexed as several
    terms.
    """
    documents = (index_text(quoted or unquoted) for quoted, unquoted in _QUERY.findall(query))
    return list(dict.fromkeys(phrase for phrase in documents if phrase))[:MAX_PHRASES]
