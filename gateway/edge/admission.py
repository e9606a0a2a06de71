"""Admission of a request: its API key, the routes that the key may use, and its body.

    sk-dgm-<8 public characters><40 secret characters><6 characters of checksum>

The checksum of a key distinguishes a typing mistake from a wrong key and, in a secret scanner, a
real key from other text.

A body is bounded in bytes and time, and decoded one level deep. An object that two parsers
could read differently is rejected: of a duplicate name some parsers use the first value,
others the last, and parsers in Go (Ollama, LocalAI) also accept `Model` for `model`. Routing,
limits and price here would then differ from what the upstream processes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
import secrets
import string
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.edge.similar_names import similar_names
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Exchange
from gateway.relay.runtime import Config, Runtime
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use

# --- key format -------------------------------------------------------------------------

PREFIX = "sk-dgm-"
_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS, _SECRET_CHARS, _CHECKSUM_CHARS = 8, 40, 6
# In order of precedence. With one of the first two, the others have a credential of the client for
# the provider; otherwise, clients that send two send the same value in both.
_KEY_HEADERS = (
    b"x-dragoman-key",
    b"x-litellm-api-key",
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
)
CREDENTIAL_HEADERS = frozenset(_KEY_HEADERS)
# Their values may begin with `Bearer `; LiteLLM's documentation writes its own header so.
_SCHEME_HEADERS = frozenset({b"authorization", b"x-litellm-api-key"})


def token_from(headers: list[tuple[bytes, bytes]], query: bytes) -> str:
    """The client's token from the first header that has one, else from `?key=`; empty if none."""
    key_headers = [header for header in headers if header[0] in CREDENTIAL_HEADERS]
    if len(key_headers) > 1:
        key_headers.sort(key=lambda header: _KEY_HEADERS.index(header[0]))
    for name, value in key_headers:
        if name in _SCHEME_HEADERS:
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


def hashed_key_digest(sha256: bytes, pepper: bytes) -> bytes:
    """The digest of an imported key of which only the SHA-256 hash is known.

    `person` separates it from `key_digest`: the hash itself is not accepted as a key.
    """
    return hashlib.blake2b(sha256, key=pepper, digest_size=32, person=b"sha256").digest()


def find_key(snapshot: Snapshot, token: str, digest: bytes, pepper: bytes) -> ApiKey | None:
    """The key of a token with this `key_digest`; an imported key by its SHA-256 hash."""
    key = snapshot.keys.get(digest)
    if key is None:
        sha256 = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        digest = hashed_key_digest(sha256, pepper)
        key = snapshot.keys.get(digest)
    return key if key is not None and hmac.compare_digest(key.digest, digest) else None


def generate_key() -> str:
    """A new key."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS + _SECRET_CHARS))
    return PREFIX + body + _body_checksum(body)


def public_prefix(token: str) -> str:
    """The part of a key that may be shown: enough to identify it."""
    return token[: len(PREFIX) + _PUBLIC_CHARS]


def _body_checksum(body: str) -> str:
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
    "requests without a key are not accepted for the host name `{name}`: add it to "
    "DRAGOMAN_ALLOWED_HOSTS, or use a gateway key"
)
_FOREIGN_PAGE = (
    "requests without a key are not accepted from other sites: add the origin to "
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
    """Whether a host is allowed; the patterns are those of Django's ALLOWED_HOSTS."""
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


# A signature of AWS's SDKs can be verified only with the secret that made it.
_SIGV4_SCHEME = "AWS4-HMAC-SHA256"
_SIGNED_REQUEST = (
    "requests that are signed with AWS credentials cannot be verified by the gateway; set "
    "AWS_BEARER_TOKEN_BEDROCK to a gateway key, which the SDK then sends instead of a signature"
)
_MISSING_KEY = (
    "no API key given; send it as `Authorization: Bearer <key>`, `x-api-key`, `api-key` "
    "or `x-goog-api-key`"
)
# Names that an unknown one is compared with, at most: the comparison runs on the event loop.
_MAX_COMPARED = 2000
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
    if key is None or not hmac.compare_digest(key.digest, digest):
        key = find_key(snapshot, token, digest, runtime.config.pepper)
    if key is not None:
        if key.expires_at is not None and key.expires_at <= time.time():
            raise _auth_error("this API key has expired")
        return key
    if is_admin(runtime, digest):
        return _ADMIN
    if snapshot.open:
        check_site(runtime.config, headers)
        return None
    if token.startswith(_SIGV4_SCHEME):
        raise _auth_error(_SIGNED_REQUEST)
    hint = ""
    if any(provider.client_credential for provider in snapshot.providers.values()):
        hint = "; with a credential of your own for the provider, send the gateway key as "
        hint += "`x-dragoman-key`"
    raise _auth_error(f"this API key is not valid; create one with `manage.py create_key`{hint}")


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
        raise unknown_model(snapshot, key, model, param)
    if key is not None and key.routes and not may_use(key, route):
        message = f"this API key may not use the model `{model[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param=param))
    return route


def check_model_name(model: str, param: str = "model") -> None:
    """Raises GatewayError (400) for a name that an upstream would not read as a model name."""
    fault = model_names.find_name_fault(model)
    if fault is not None:
        raise invalid(f"{param} is not a valid model name: {fault}", param)


def unknown_model(
    snapshot: Snapshot, key: ApiKey | None, model: str, param: str = "model"
) -> GatewayError:
    """The error for a name that no route or model has, with similar names the key may use."""
    names = similar_names(model, usable_names(snapshot, key)[:_MAX_COMPARED])
    hint = f"did you mean {_join_alternatives(names)}? " if names else ""
    message = (
        f"the model `{model[:200]}` does not exist; {hint}GET /v1/models lists the available models"
    )
    return GatewayError(Error(kind="not_found", message=message, param=param))


def _join_alternatives(names: list[str]) -> str:
    quoted_names = [f"`{name[:100]}`" for name in names]
    return (
        quoted_names[0]
        if len(quoted_names) == 1
        else f"{', '.join(quoted_names[:-1])} or {quoted_names[-1]}"
    )


def usable_names(snapshot: Snapshot, key: ApiKey | None, *, known_models: bool = True) -> list[str]:
    """Names that the key may call: routes that are not hidden, exact aliases, known models."""
    names = [name for name, route in snapshot.routes.items() if _is_usable(route, key)]
    names += [
        alias
        for alias, target in snapshot.aliases.items()
        if (route := snapshot.routes.get(target)) is not None and _is_usable(route, key)
    ]
    names += [
        name
        for name in (snapshot.known_names if known_models else ())
        if (route := snapshot.route(name)) is not None and _is_usable(route, key)
    ]
    return sorted(set(names))


def _is_usable(route: Route, key: ApiKey | None) -> bool:
    return not route.hidden and (key is None or may_use(key, route))


def _auth_error(message: str) -> GatewayError:
    return GatewayError(Error(kind="gateway_auth", message=message))


# --- the body --------------------------------------------------------------------------

Receive = Callable[[], Awaitable[dict[str, Any]]]
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Beyond the limit, up to this many bytes are read and discarded, because otherwise the
# client sees a connection reset instead of the 413.
_MAX_DISCARDED_BYTES = 256 * 1024 * 1024


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


async def read_body(
    receive: Receive,
    headers: Mapping[str, str],
    limit: int,
    count: Callable[[int], None] | None = None,
) -> bytes:
    """The whole body; `count` gets the size of a large one while it arrives.

    Raises GatewayError (413), ClientGone, or what `count` raises; the caller sets the deadline.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        if count is not None and len(body) >= offload.SCANNED_BYTES:
            count(len(body))
        return body
    chunks, size = [], 0
    async for chunk in _bounded_chunks(receive, message, headers, limit):
        chunks.append(chunk)
        size += len(chunk)
        if count is not None and size >= offload.SCANNED_BYTES:
            count(size)
    return await offload.run_scan(size, b"".join, chunks)


OVERLOADED_MESSAGE = "the gateway is at its limit of concurrent requests; try again shortly"


def declared_body_bytes(headers: Mapping[str, str]) -> int:
    """The length of a body, which it takes in memory; 0 for a form, whose files are on disk."""
    declared_length = headers["content-length"]
    if headers.get("content-type", "").lower().lstrip().startswith("multipart/"):
        return 0
    return int(declared_length[:20]) if declared_length.isdecimal() else 0


def has_memory_for(runtime: Runtime, size: int, own_bytes: int = 0) -> bool:
    """Whether `size` more bytes of a large body fit into the limit for all large bodies.

    `own_bytes` are already counted for the same body.
    """
    in_use = runtime.metrics.large_body_bytes
    return in_use == own_bytes or in_use + size <= runtime.config.max_large_body_bytes


def count_large_body(runtime: Runtime, exchange: Exchange, size: int) -> None:
    """Count the bytes of a large body that are in memory by now. Raises GatewayError (503)."""
    own_bytes = exchange.large_body_bytes
    if size <= own_bytes:  # its declared length
        return
    if not has_memory_for(runtime, size - own_bytes, own_bytes):
        runtime.metrics.count_shed()
        raise GatewayError(Error(kind="overloaded", message=OVERLOADED_MESSAGE, retry_after_s=1))
    exchange.large_body_bytes = size
    runtime.metrics.large_body_bytes += size - own_bytes


async def read_chunks(
    receive: Receive, headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """The body in chunks. Raises GatewayError (413) after the last chunk, or ClientGone."""
    async for chunk in _bounded_chunks(receive, await _next_message(receive), headers, limit):
        yield chunk


async def _bounded_chunks(
    receive: Receive, message: dict[str, Any], headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """Chunks of the body from `message` on, up to `limit` bytes. Raises GatewayError (413)."""
    declared_length = headers.get("content-length", "")
    exceeds_discard_limit = (
        declared_length.isdigit() and int(declared_length) > _MAX_DISCARDED_BYTES
    )
    size = 0
    while True:
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            yield chunk
        elif size > _MAX_DISCARDED_BYTES or exceeds_discard_limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            break
        message = await _next_message(receive)
    if size > limit:
        raise _too_large(limit)


async def _next_message(receive: Receive) -> dict[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _too_large(limit: int) -> GatewayError:
    message = f"the request body is larger than {limit} bytes"
    return GatewayError(Error(kind="too_large", message=message))


# The first bytes of gzip and zstd.
_COMPRESSED_STARTS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


async def decode_body(body: bytes) -> dict[str, msgspec.Raw]:
    """What `decode_object` returns, computed in a thread if that takes long."""
    size = len(body)
    if size < offload.SCANNED_BYTES and not offload.has_many_fields(body):
        return decode_object(body)
    return await offload.run(size, decode_object, body)


def decode_object(body: bytes) -> dict[str, msgspec.Raw]:
    """The top level of a JSON object, with values as raw JSON. Raises GatewayError.

    Raises GatewayError also for a field that is duplicate or in another case.
    """
    try:
        if len(body) >= offload.LARGE_BYTES:
            offload.check_fields(body)
        if not body.isascii():
            # Values are not decoded here, so their encoding is checked separately.
            offload.check_utf8(body)
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError:
        raise invalid("the request body must be a JSON object") from None
    except RecursionError:
        raise invalid("the request body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if body.startswith(_COMPRESSED_STARTS):
            message = "the request body is compressed, which is not supported; send it uncompressed"
            raise invalid(message, "content-encoding") from None
        raise invalid(f"the request body is not valid JSON: {error}") from None
    names = "".join(fields)
    if not (names.isascii() and names.islower()):
        check_case(fields)
    # A compact body that is exactly as long as its fields and their punctuation has no others.
    size = len(names) + sum(map(len, fields.values())) + 4 * len(fields) + 1
    if size != len(body) and fields and not _has_python_encoding(body, fields):
        _check_duplicates(body, fields)
    return fields


_VALUE_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    str: msgspec.json.Decoder(str | None),
    bool: msgspec.json.Decoder(bool | None),
}


def field_value(
    fields: dict[str, msgspec.Raw], name: str, field_type: type, *, default: Any
) -> Any:
    """One top-level value of type `field_type`. Raises GatewayError naming it."""
    raw = fields.get(name)
    if raw is None:
        return default
    try:
        value = _VALUE_DECODERS[field_type].decode(raw)
        return default if value is None else value
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        expected = {str: "a string", bool: "true or false"}[field_type]
        raise invalid(f"{name} must be {expected}", name) from None


# --- field names ------------------------------------------------------------------------

# Top-level fields of all dialects that affect routing, limits, price or the response format.
INTERPRETED_FIELDS = frozenset(
    {
        *("model", "name", "stream", "stream_options", "messages", "input", "prompt", "suffix"),
        *("system", "instructions", "tools", "tool_choice", "functions", "function_call"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "options"),
        *("temperature", "top_p", "top_k", "stop", "seed", "format", "response_format", "think"),
        *("thinking", "reasoning", "reasoning_effort", "service_tier", "user", "metadata"),
        *("previous_response_id", "conversation", "store", "background", "generate", "type"),
        *("input_file_id", "requests", "query", "documents", "images", "keep_alive", "raw"),
        *("contents", "content", "generateContentRequest", "generationConfig", "serviceTier"),
        *("systemInstruction", "toolConfig", "safetySettings", "cachedContent"),
        *("session_id", "tags", "cache", "dragoman", "models", "fallbacks", "plugins"),
    }
)
_CANONICAL_SPELLINGS = {name.casefold(): name for name in INTERPRETED_FIELDS}
_WHITESPACE = re.compile(rb"[ \t\r\n]*")
_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _has_python_encoding(body: bytes, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether Python's `json.dumps` wrote the object, so that no name can be duplicate."""
    # Without a loop: each request of a client in Python is compared.
    members = map(b'"%b": %b'.__mod__, zip(map(str.encode, fields), fields.values(), strict=True))
    return body == b"{%b}" % b", ".join(members)


def check_case(names: Iterable[str]) -> None:
    """Raises GatewayError (400) for names that differ, or differ from a known one, only in case."""
    spellings: dict[str, str] = {}
    for name in names:
        folded_name = name.casefold()
        first_spelling = spellings.setdefault(folded_name, name)
        if first_spelling == name:
            first_spelling = _CANONICAL_SPELLINGS.get(folded_name, name)
        if first_spelling != name:
            message = (
                f"`{name[:80]}` differs from `{first_spelling[:80]}` only in case; send one of them"
            )
            if name not in INTERPRETED_FIELDS and folded_name in _CANONICAL_SPELLINGS:
                message = f"`{name[:80]}` must be written `{_CANONICAL_SPELLINGS[folded_name]}`"
            raise invalid(message, name[:80])


def _check_duplicates(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Walk the top level: it must consist of exactly `fields`, in order."""
    offset = _skip_whitespace(body, body.index(b"{") + 1)
    last_index = len(fields) - 1
    for index, (name, raw) in enumerate(fields.items()):
        field_name, offset = _parse_name(body, offset)
        value = bytes(raw)
        end = _skip_whitespace(body, offset + len(value))
        # One number may be a prefix of another: the next character shows whether it is complete.
        if field_name != name or not body.startswith(value, offset) or body[end] not in b",}":
            raise _duplicate_field(field_name)
        offset = end
        if index < last_index:
            offset = _skip_whitespace(body, offset + 1)
    if body[offset : offset + 1] != b"}":
        raise _duplicate_field(_parse_name(body, _skip_whitespace(body, offset + 1))[0])


def _parse_name(body: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset` in a valid object, and the offset of its value."""
    match = _NAME.match(body, offset)
    assert match is not None
    colon = _skip_whitespace(body, match.end())
    return msgspec.json.decode(match[0], type=str), _skip_whitespace(body, colon + 1)


def _skip_whitespace(body: bytes, offset: int) -> int:
    match = _WHITESPACE.match(body, offset)
    assert match is not None
    return match.end()


def _duplicate_field(name: str) -> GatewayError:
    return invalid(f"`{name[:80]}` appears twice; send it once", name[:80])
