"""Auth schemes: the headers that carry a provider's credential.

Most schemes are one header with the credential itself. Three clouds have credentials from which
a header is derived per request or per hour (`derives_header`): `sigv4` signs with an AWS key,
`google` and `entra` fetch access tokens. These schemes also accept a ready-made token; without
a credential, `sigv4` and `google` use the machine's own.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.providers.profile import Secret

Headers = tuple[tuple[bytes, bytes], ...]

# A stored credential, or the value of a header, that begins with it names an environment
# variable (LiteLLM's syntax) and is not secret.
VARIABLE_PREFIX = "os.environ/"

# scheme -> (header name, prefix of the credential)
AUTH_SCHEMES: dict[str, tuple[bytes, bytes] | None] = {
    "bearer": (b"authorization", b"Bearer "),
    "x-api-key": (b"x-api-key", b""),
    "api-key": (b"api-key", b""),
    "x-goog-api-key": (b"x-goog-api-key", b""),
    "google": (b"authorization", b"Bearer "),
    "entra": (b"authorization", b"Bearer "),
    "sigv4": (b"authorization", b"Bearer "),
    "none": None,
}
# Schemes whose header may be derived from the credential.
DERIVED_HEADER_SCHEMES = frozenset({"google", "entra", "sigv4"})
# Schemes that fall back to a credential of the machine.
AMBIENT_CREDENTIAL_SCHEMES = frozenset({"google", "sigv4"})
# Schemes whose credential may be the path of a file, or `ID:SECRET`.
_FILE_SCHEMES, _KEY_PAIR_SCHEMES = frozenset({"google"}), frozenset({"sigv4"})

_AWS_KEY = re.compile(r"(?P<id>[A-Z0-9]{16,128}):(?P<secret>[^:\s]+)(?::(?P<token>\S+))?")
# Fields that a credential of a scheme needs: all of one of these tuples.
_REQUIRED_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sigv4": (("aws_access_key_id", "aws_secret_access_key"), ("aws_profile_name",)),
    "google": (("type",),),
    "entra": (("tenant_id", "client_id", "client_secret"),),
}
_MIN_SECRET_LENGTH = 8


def derives_header(auth: str, credential: Secret) -> bool:
    """Whether the header is derived from the credential instead of containing it."""
    if auth not in DERIVED_HEADER_SCHEMES:
        return False
    value = credential.reveal().strip()
    if not value:
        return auth in AMBIENT_CREDENTIAL_SCHEMES
    if value.startswith("{") or (auth in _FILE_SCHEMES and value.endswith(".json")):
        return True
    return auth in _KEY_PAIR_SCHEMES and _AWS_KEY.fullmatch(value) is not None


def build_auth_headers(auth: str, credential: Secret) -> Headers:
    """Return the header with the credential; empty if there is none, or the header is derived.

    Depends on the provider alone, so callers compute it once per snapshot. An empty
    credential sends no header: local servers often need none.

    Raises:
        ValueError: the scheme is not in AUTH_SCHEMES, or the credential cannot be sent in a header.
    """
    if auth not in AUTH_SCHEMES:
        raise ValueError(f"auth `{auth}` is not one of {', '.join(AUTH_SCHEMES)}")
    kind = AUTH_SCHEMES[auth]
    value = credential.reveal().strip()
    if derives_header(auth, credential):
        parse_credential(auth, value)
        return ()
    if kind is None or not value:
        return ()
    if not value.isascii() or not value.isprintable():
        # Error messages never include the value itself.
        raise ValueError("the credential contains characters that are not allowed in HTTP headers")
    name, scheme = kind
    return ((name, scheme + value.encode("ascii")),)


def parse_credential(auth: str, value: str) -> dict[str, Any]:
    """Parse a credential from which headers are derived; empty for the machine's own.

    An AWS key may be written `ID:SECRET` or `ID:SECRET:SESSION`, a Google one as the path
    of its file.

    Raises:
        ValueError: it is not an object, or lacks a field that its scheme needs.
    """
    value = value.strip()
    if auth == "sigv4" and (match := _AWS_KEY.fullmatch(value)) is not None:
        aws_key = {
            "aws_access_key_id": match["id"],
            "aws_secret_access_key": match["secret"],
            "aws_session_token": match["token"],
        }
        return {name: text for name, text in aws_key.items() if text}
    if not value.startswith("{"):
        return {"file": value} if value else {}
    try:
        fields = msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ValueError("the credential is not a JSON object") from None
    alternatives = _REQUIRED_FIELDS[auth]
    if not any(all(fields.get(name) for name in names) for names in alternatives):
        expected = " or ".join(", ".join(names) for names in alternatives)
        raise ValueError(f"the credential must contain {expected}")
    return fields


def credential_secrets(value: str) -> tuple[str, ...]:
    """Return the secrets of a credential, for redaction: the whole text and its secret fields."""
    whole_secret = (value,) if len(value) >= _MIN_SECRET_LENGTH else ()
    if (match := _AWS_KEY.fullmatch(value.strip())) is not None:
        return (*whole_secret, *(part for part in match.groups() if part))
    if not value.lstrip().startswith("{"):
        return whole_secret
    try:
        fields = msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return whole_secret
    inner = (fields[name] for name in _SECRET_FIELDS if isinstance(fields.get(name), str))
    return (*whole_secret, *(text for text in inner if len(text) >= _MIN_SECRET_LENGTH))


_SECRET_FIELDS = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "client_secret",
    "private_key",
    "refresh_token",
)
