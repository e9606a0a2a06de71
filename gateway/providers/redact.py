"""Secrets out of text: configured ones exactly, key-like ones by their shape.

Upstreams echo keys in their errors, and some log whole headers. Every pattern is
one bounded repetition after a fixed prefix, so the time is linear in the text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

import msgspec

MASK = "***"
# What a client or a log line may show of an upstream's words.
MAX_CHARS = 64 * 1024
# A shorter secret would mask ordinary words.
MIN_SECRET = 6

_KEY_LIKE = re.compile(
    r"""
      \b(?:sk|pk|rk|gsk|xai|pplx|csk|nvapi|hf|ghp|gho|github_pat|fw|tgp|dgm|key)[-_]
        (?=[A-Za-z_*.\-]{0,64}[0-9*])[A-Za-z0-9_*.\-]{8,512}    # vendors' key prefixes
    | \bAIza[A-Za-z0-9_\-]{20,128}                              # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                             # AWS access key id
    | \beyJ[A-Za-z0-9_\-]{10,4096}\.[A-Za-z0-9_\-]{10,4096}(?:\.[A-Za-z0-9_\-]{0,4096})?  # JWT
    """,
    re.VERBOSE,
)
_LABELLED = re.compile(
    r"""(?P<label>\b(?:bearer|basic)[ ]{1,4}
      | \b(?:x-)?(?:goog-)?api[-_]?key["']{0,2}[ ]{0,4}[:=][ ]{0,4}["']?
      | \b(?:access[-_]?token|authorization|password|secret)["']{0,2}[ ]{0,4}[:=][ ]{0,4}["']?
      | [?&]key=)
      (?!bearer\b|basic\b|null\b|none\b)[^\s"'&,;<>{}\[\]]{6,4096}""",
    re.VERBOSE | re.IGNORECASE,
)

# Base64's other alphabet, that of URLs.
_URL_SAFE = str.maketrans("+/", "-_")
# A shorter piece of base64 may be ordinary text.
_MIN_ENCODED = 10
_SECRET_WORDS = (
    "key",
    "token",
    "secret",
    "auth",
    "jwt",
    "assertion",
    "session",
    "password",
    "cookie",
    "credential",
    "signature",
)

# Parameters that are secret by these names alone, as those of Azure's signed URLs.
_SECRET_NAMES = frozenset({"sig", "pass", "pwd"})


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every configured and every key-like secret as `***`.

    Only the first MAX_CHARS characters are kept: it is for messages and log lines.
    """
    # The cut comes after the exact replacement, or it could leave half a secret.
    for secret in secrets:
        if len(secret) >= MIN_SECRET and secret in text:
            text = text.replace(secret, MASK)
    text = text[:MAX_CHARS]
    text = _LABELLED.sub(rf"\g<label>{MASK}", text)
    return _KEY_LIKE.sub(MASK, text)


def scrub_bytes(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """A body without the configured secrets; its length and everything else in it stay.

    A body is a user's own text: shapes are not guessed at here, exact values are.
    """
    for secret in secrets:
        if body.find(secret) >= 0:
            body = body.replace(secret, b"*" * len(secret))
    return body


def forms_of(secret: str) -> tuple[str, ...]:
    """The forms in which an upstream may echo a secret, the longest first.

    As it is, URL-encoded, escaped in JSON (once or twice), and in base64 of either alphabet:
    where it stands in the middle of what was encoded (`user:secret`), its first and last
    characters depend on what is beside it and are not a part of the form.
    """
    if len(secret) < MIN_SECRET:
        return ()
    escaped = msgspec.json.encode(secret).decode()[1:-1]
    # A tool call's arguments are JSON within JSON.
    twice = msgspec.json.encode(escaped).decode()[1:-1]
    forms = {secret, quote(secret, safe=""), quote(secret), escaped, escaped.replace("/", "\\/")}
    forms.add(twice)
    for before in range(3):
        data = b"\0" * before + secret.encode()
        text = base64.b64encode(data).decode()
        # A group of four characters holds three bytes: others' bits are in its edges.
        start, end = (0, 2, 3)[before], (len(data) // 3) * 4 + (0, 1, 2)[len(data) % 3]
        for form in (text[start:end], text[start:end].translate(_URL_SAFE)):
            if len(form) >= _MIN_ENCODED:
                forms.add(form)
    return tuple(sorted(forms, key=len, reverse=True))


class Redactor:
    """Blanks out secrets in what is stored or passed on: in all of their forms."""

    __slots__ = ("forms", "longest")

    def __init__(self, secrets: Iterable[str]) -> None:
        secrets_bytes = {form.encode() for secret in secrets for form in forms_of(secret)}
        self.forms = tuple(sorted(secrets_bytes, key=len, reverse=True))
        self.longest = max(map(len, self.forms), default=0)

    def contains_secret(self, data: bytes) -> bool:
        """Whether a secret stands in the data."""
        return any(data.find(form) >= 0 for form in self.forms)

    def clean(self, data: bytes) -> bytes:
        """The data with asterisks in the place of each secret; its length stays."""
        return scrub_bytes(data, self.forms)

    def partial_match_length(self, data: bytes) -> int:
        """How many of the last bytes may be the begin of a secret that is not whole yet."""
        longest = 0
        for form in self.forms:
            start = max(0, len(data) - len(form) + 1)
            while (start := data.find(form[:1], start)) >= 0:
                if form.startswith(data[start:]):
                    longest = max(longest, len(data) - start)
                    break
                start += 1
        return longest


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a header or parameter of this name carries a credential, by its words."""
    lower = name.lower()
    return lower in _SECRET_NAMES or any(part in lower for part in _SECRET_WORDS)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the values of those that carry credentials as `***`."""
    return {name: MASK if is_secret_name(name) else value for name, value in headers.items()}
