"""Secrets out of text: configured ones exactly, key-like ones by their shape.

Upstreams echo keys in their errors, and some log whole headers. Every pattern is
one bounded repetition after a fixed prefix, so the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
    }
)


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
    """A stored body without the configured secrets; nothing else in it changes.

    A body is a user's own text: shapes are not guessed at here, exact values are.
    """
    for secret in secrets:
        if len(secret) >= MIN_SECRET and secret in body:
            body = body.replace(secret, MASK.encode())
    return body


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the values of those that carry credentials as `***`."""
    return {
        name: MASK if name.lower() in SECRET_HEADERS else value for name, value in headers.items()
    }
