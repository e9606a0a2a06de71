"""How a credential is shown to a provider: the headers of each kind of auth."""

from __future__ import annotations

from gateway.providers.profile import Secret

Headers = tuple[tuple[bytes, bytes], ...]

# kind -> (header name, what stands before the credential)
AUTH: dict[str, tuple[bytes, bytes] | None] = {
    "bearer": (b"authorization", b"Bearer "),
    "x-api-key": (b"x-api-key", b""),
    "api-key": (b"api-key", b""),
    "x-goog-api-key": (b"x-goog-api-key", b""),
    # An access token of Google Cloud; it expires, so what fetches fresh ones belongs here.
    "google": (b"authorization", b"Bearer "),
    "none": None,
}


def headers_for(auth: str, credential: Secret) -> Headers:
    """The header that carries the credential; nothing where there is none.

    Depends on the provider alone, so callers compute it once per snapshot. An empty
    credential sends no header: local servers are often open.

    Raises:
        ValueError: the kind is not in AUTH, or the credential can not stand in a header.
    """
    if auth not in AUTH:
        raise ValueError(f"auth `{auth}` is not one of {', '.join(AUTH)}")
    kind = AUTH[auth]
    value = credential.reveal().strip()
    if kind is None or not value:
        return ()
    if not value.isascii() or not value.isprintable():
        # The value itself is never part of a message.
        raise ValueError("the credential has characters that no HTTP header may carry")
    name, scheme = kind
    return ((name, scheme + value.encode("ascii")),)
