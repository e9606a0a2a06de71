"""API keys: their format, where clients send them, and which routes a key may use.

    sk-dgm-<8 public characters><40 secret characters><6 characters of checksum>

The checksum distinguishes a typing mistake from a wrong key and, in a secret scanner, a
real key from other text.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import secrets
import string
import time
import zlib
from urllib.parse import parse_qs

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.relay.runtime import Config, Runtime
from gateway.routing.snapshot import ApiKey, Route, Snapshot

# --- key format -------------------------------------------------------------------------

PREFIX = "sk-dgm-"
_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS, _SECRET_CHARS, _CHECKSUM_CHARS = 8, 40, 6
# In order of precedence; clients that send two send the same value in both.
_KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
CREDENTIAL_HEADERS = frozenset(_KEY_HEADERS)


def token_from(headers: list[tuple[bytes, bytes]], query: bytes) -> str:
    """The client's token from the first header that has one, else from `?key=`; empty if none."""
    key_headers: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _KEY_HEADERS and name not in key_headers:
            key_headers[name] = value
    for name in _KEY_HEADERS:
        value = key_headers.get(name, b"")
        if name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            value = credentials if scheme.lower() == b"bearer" else value
        if text := value.strip().decode("latin-1"):
            return text
    if query and b"key=" in query:
        return parse_qs(query.decode("latin-1")).get("key", [""])[0]
    return ""


def key_digest(token: str, pepper: bytes) -> bytes:
    """The keyed hash by which a key is stored and looked up (32 bytes).

    Keys have 238 random bits, so one fast hash is as good as a slow one.
    """
    return hashlib.blake2b(token.encode("utf-8", "replace"), key=pepper, digest_size=32).digest()


def generate_key() -> str:
    """A new key."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS + _SECRET_CHARS))
    return PREFIX + body + _checksum(body)


def public_prefix(token: str) -> str:
    """The part of a key that may be shown: enough to identify it."""
    return token[: len(PREFIX) + _PUBLIC_CHARS]


def _checksum(body: str) -> str:
    remainder = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARS):
        remainder, index = divmod(remainder, len(_ALPHABET))
        digits.append(_ALPHABET[index])
    return "".join(digits)


# --- requests from other sites ----------------------------------------------------------
# A browser sends a page's requests whatever site the page is on. Without required keys, the
# gateway would serve, and pay for, a foreign page. A foreign host name may also resolve to
# this host (DNS rebinding), which makes the page same-origin: the `Host` header reveals it.

_FOREIGN_HOST = (
    "without a key this gateway is not called by the name `{name}`: add it to "
    "DRAGOMAN_ALLOWED_HOSTS, or use a gateway key"
)
_FOREIGN_PAGE = (
    "without a key, pages of other sites are not answered: add the origin to "
    "DRAGOMAN_TRUSTED_ORIGINS, or use a gateway key"
)


def check_site(config: Config, headers: list[tuple[bytes, bytes]]) -> None:
    """Raises GatewayError (403) for a foreign `Host`, `Origin` or `Sec-Fetch-Site`.

    Programs other than browsers send no origin, and are allowed.
    """
    host = origin = site = ""
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
        elif name == b"sec-fetch-site":
            site = value.decode("latin-1")
    if host and not _is_allowed(host, config.allowed_hosts):
        raise _site_refusal(_FOREIGN_HOST.format(name=host[:200]))
    if origin:
        if not _is_trusted(origin, config):
            raise _site_refusal(_FOREIGN_PAGE)
    elif site == "cross-site":
        raise _site_refusal(_FOREIGN_PAGE)


def _is_trusted(origin: str, config: Config) -> bool:
    if any(fnmatch.fnmatchcase(origin, pattern) for pattern in config.trusted_origins):
        return True
    scheme, separator, host = origin.partition("://")
    return (
        bool(separator) and scheme in {"http", "https"} and _is_allowed(host, config.allowed_hosts)
    )


def _is_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """As in Django's ALLOWED_HOSTS: a name, `.name` to include its subdomains, or `*`."""
    name = host.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        if colon and port.isdecimal():
            name = before
    name = name.removesuffix(".")
    for pattern in patterns:
        if pattern == "*" or name == pattern.lower():
            return True
        if pattern.startswith(".") and (name.endswith(pattern.lower()) or name == pattern[1:]):
            return True
    return False


def _site_refusal(message: str) -> GatewayError:
    return GatewayError(Error(kind="not_allowed", message=message))


_MISSING_KEY = (
    "no API key given; send it as `Authorization: Bearer <key>`, `x-api-key`, `api-key` "
    "or `x-goog-api-key`"
)
_ADMIN = ApiKey(id=0, prefix="admin", name="admin", digest=b"")


def authenticate(
    runtime: Runtime, snapshot: Snapshot, headers: list[tuple[bytes, bytes]], query: bytes
) -> ApiKey | None:
    """The key, or None in open mode. Raises GatewayError (401; 403 for a foreign page)."""
    token = token_from(headers, query)
    if not token:
        if snapshot.open:
            check_site(runtime.config, headers)
            return None
        raise _auth_error(_MISSING_KEY)
    digest = key_digest(token, runtime.config.pepper)
    key = snapshot.keys.get(digest)
    if key is not None and hmac.compare_digest(key.digest, digest):
        if key.expires_at is not None and key.expires_at <= time.time():
            raise _auth_error("this API key has expired")
        return key
    if is_admin(runtime, digest):
        return _ADMIN
    if snapshot.open:
        check_site(runtime.config, headers)
        return None
    raise _auth_error("this API key is not known; create one with `manage.py create_key`")


def is_admin(runtime: Runtime, digest: bytes) -> bool:
    """Whether the digest of a token matches an admin credential."""
    return any(
        hmac.compare_digest(digest, admin_digest) for admin_digest in runtime.config.admin_digests
    )


def find_route(snapshot: Snapshot, key: ApiKey | None, model: str, param: str = "model") -> Route:
    """The route of a model name; `param` is the request field that contains the name.

    Raises GatewayError (400 for an invalid name, 404, 403).
    """
    if model not in snapshot.routes and model not in snapshot.aliases:
        check_model_name(model, param)
    # Ollama's clients add its default tag to a name that has none.
    route = snapshot.route(model) or snapshot.route(model.removesuffix(":latest"))
    if route is None:
        message = f"the model `{model[:200]}` does not exist; GET /v1/models lists those that do"
        raise GatewayError(Error(kind="not_found", message=message, param=param))
    if key is not None and key.routes and not may_use(key, route):
        message = f"this API key may not use the model `{model[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param=param))
    return route


def check_model_name(model: str, param: str = "model") -> None:
    """Raises GatewayError (400) for a name that an upstream would not read as a model name."""
    fault = model_names.find_name_fault(model)
    if fault is not None:
        raise invalid(f"{param} is not a model's name: {fault}", param)


def may_use(key: ApiKey, route: Route) -> bool:
    """Whether the key may use this route."""
    if not key.routes:
        return True
    names = (route.name, route.alternate_name) if route.alternate_name else (route.name,)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in key.routes for name in names)


def _auth_error(message: str) -> GatewayError:
    return GatewayError(Error(kind="gateway_auth", message=message))
