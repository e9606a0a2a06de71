"""Redaction of secrets in text: configured ones exactly, key-like ones by pattern.

Upstreams echo keys in their errors, and some log whole headers. Every pattern is
one bounded repetition after a fixed prefix, so the time is linear in the text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

import msgspec

MASK = "***"
# The longest upstream text that a client or a log line may show.
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
_LABELED_SECRET = re.compile(
    r"""(?P<label>\b(?:bearer|basic)[ ]{1,4}
      | \b(?:x-)?(?:goog-)?api[-_]?key["']{0,2}[ ]{0,4}[:=][ ]{0,4}["']?
      | \b(?:access[-_]?token|authorization|password|secret)["']{0,2}[ ]{0,4}[:=][ ]{0,4}["']?
      | [?&]key=)
      (?!bearer\b|basic\b|null\b|none\b)[^\s"'&,;<>{}\[\]]{6,4096}""",
    re.VERBOSE | re.IGNORECASE,
)

# The URL-safe alphabet of base64.
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

# Exact parameter names of secrets, such as those of Azure's signed URLs.
_SECRET_NAMES = frozenset({"sig", "pass", "pwd"})


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace every configured and every key-like secret in a text by `***`.

    Truncate it to MAX_CHARS characters: it is for messages and log lines.
    """
    # Truncating before the exact replacement could leave half a secret.
    for secret in secrets:
        if len(secret) >= MIN_SECRET and secret in text:
            text = text.replace(secret, MASK)
    text = text[:MAX_CHARS]
    text = _LABELED_SECRET.sub(rf"\g<label>{MASK}", text)
    return _KEY_LIKE.sub(MASK, text)


def scrub_bytes(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """Mask the configured secrets in a body; nothing else changes, including its length.

    A body is a user's own text, so only exact values are masked, not patterns.
    """
    for secret in secrets:
        if body.find(secret) >= 0:
            body = body.replace(secret, b"*" * len(secret))
    return body


def encoded_forms(secret: str) -> tuple[str, ...]:
    """Return the forms in which an upstream may echo a secret, longest first.

    As it is, URL-encoded, escaped in JSON (once or twice), and in base64 of either alphabet: in
    the middle of an encoded text (`user:secret`), its first and last characters depend on the
    neighboring bytes and are left out of the form.
    """
    if len(secret) < MIN_SECRET:
        return ()
    json_escaped = msgspec.json.encode(secret).decode()[1:-1]
    # A tool call's arguments are JSON within JSON.
    double_escaped = msgspec.json.encode(json_escaped).decode()[1:-1]
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        json_escaped,
        json_escaped.replace("/", "\\/"),
    }
    forms.add(double_escaped)
    for before in range(3):
        data = b"\0" * before + secret.encode()
        text = base64.b64encode(data).decode()
        # A group of four characters holds three bytes: those at the edges mix in neighboring bits.
        start, end = (0, 2, 3)[before], (len(data) // 3) * 4 + (0, 1, 2)[len(data) % 3]
        for form in (text[start:end], text[start:end].translate(_URL_SAFE)):
            if len(form) >= _MIN_ENCODED:
                forms.add(form)
    return tuple(sorted(forms, key=len, reverse=True))


class Redactor:
    """Masks secrets in stored or forwarded data, in all of their forms."""

    __slots__ = ("forms", "longest")

    def __init__(self, secrets: Iterable[str]) -> None:
        secrets_bytes = {form.encode() for secret in secrets for form in encoded_forms(secret)}
        self.forms = tuple(sorted(secrets_bytes, key=len, reverse=True))
        self.longest = max(map(len, self.forms), default=0)

    def redact(self, data: bytes) -> bytes:
        """Replace each secret in the data with asterisks; the length does not change."""
        return scrub_bytes(data, self.forms)

    def partial_match_length(self, data: bytes) -> int:
        """Return how many of the last bytes may be the start of an incomplete secret."""
        longest = 0
        for form in self.forms:
            start = max(0, len(data) - len(form) + 1)
            while (start := data.find(form[:1], start)) >= 0:
                if form.startswith(data[start:]):
                    longest = max(longest, len(data) - start)
                    break
                start += 1
        return longest


# Clients choose the names, which can have 64 KiB each, so the cache is small.
@lru_cache(maxsize=128)
def is_secret_name(name: str) -> bool:
    """Whether the name of a header or parameter suggests that it carries a credential."""
    lower = name.lower()
    return lower in _SECRET_NAMES or any(part in lower for part in _SECRET_WORDS)
