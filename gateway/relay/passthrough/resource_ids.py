"""Ids of resources that a provider stores for a client (files, batches), as the client sees them.

A gateway id contains the provider, the key it was issued to and the provider's own id, encrypted
with a key of this gateway: the holder of another API key can neither guess, modify nor read it, and
any process of the gateway can decode it without a table.

    file-abc  <->  file-dgm~Q1iK...      the prefix is preserved, because some clients check it
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.relay.event_loop import offload

# `~` needs no escaping in a URL, and is rare in text: bodies are searched for it.
ID_MARKER = "dgm~"
# One byte that few bodies contain, so that few are searched for the whole marker.
ID_MARKER_END = b"~"
_MAX_PREFIX_CHARS, _MAX_PAYLOAD_CHARS = 21, 600
# Gateway ids: a prefix of letters, the marker, base64url. Provider ids: no path in them.
_GATEWAY_ID = re.compile(rf"([A-Za-z]{{1,20}}[-_]){ID_MARKER}([A-Za-z0-9_-]{{20,600}})")
# In a body, the marker is searched for first: a search that begins with the prefix would look at
# each letter of the body twenty times.
_MARKED_PAYLOAD = re.compile(rb"dgm~(?=([A-Za-z0-9_-]{20,600}))")
_PREFIX_BEFORE = re.compile(rb"[A-Za-z]{1,20}[-_]\Z")
_PREFIX = re.compile(r"[A-Za-z]{1,20}[-_]")
PROVIDER_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,199}")


class ResourceId(msgspec.Struct, frozen=True, array_like=True):
    """The content of a gateway id; `owner` is the id of a key, 0 if there was none."""

    provider: str
    owner: int
    id: str


def encode_id(resource: ResourceId, pepper: bytes) -> str:
    """The gateway id of a resource."""
    prefix = match[0] if (match := _PREFIX.match(resource.id)) else "id-"
    payload = _cipher(pepper).encrypt(msgspec.msgpack.encode(resource), None)
    return f"{prefix}{ID_MARKER}{_encode_base64url(payload)}"


def decode_id(gateway_id: str, pepper: bytes) -> ResourceId | None:
    """Decode a gateway id; None for any other id, and for one of another gateway."""
    match = _GATEWAY_ID.fullmatch(gateway_id)
    if match is None:
        return None
    try:
        payload = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except (binascii.Error, ValueError):
        return None
    if _encode_base64url(payload) != match[2]:  # the last letter may have unused bits
        return None
    try:
        data = _cipher(pepper).decrypt(payload, None)
        return msgspec.msgpack.decode(data, type=ResourceId)
    except (InvalidTag, msgspec.MsgspecError):
        return None


def to_provider_id(text: str, resource: ResourceId, pepper: bytes) -> str:
    """`text`, which ends with a gateway id of the resource, with the provider's id instead.

    Letters before the id stay, such as the `n` of an escaped line break in JSON.
    """
    gateway_id = encode_id(resource, pepper)
    return text.removesuffix(gateway_id) + resource.id if text.endswith(gateway_id) else resource.id


def _encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def replace_ids(body: bytes, replace: Callable[[bytes], bytes]) -> bytes:
    """The body with `replace` applied to each text that looks like a gateway id.

    Searches a large body in chunks, so that one call does not block other threads.
    """
    parts, offset = [], 0
    for start in range(0, len(body), offload.CHUNK_BYTES):
        chunk_end = start + offload.CHUNK_BYTES
        search_end = chunk_end + len(ID_MARKER) + _MAX_PAYLOAD_CHARS
        for match in _MARKED_PAYLOAD.finditer(body, max(start, offset), search_end):
            if match.start() >= chunk_end:
                break
            if match.start() < offset:  # inside of the previous id
                continue
            before = body[max(offset, match.start() - _MAX_PREFIX_CHARS) : match.start()]
            prefix = _PREFIX_BEFORE.search(before)
            if prefix is None:
                continue
            id_start, id_end = match.start() - len(prefix[0]), match.end(1)
            parts += [body[offset:id_start], replace(body[id_start:id_end])]
            offset = id_end
    return b"".join([*parts, body[offset:]]) if parts else body


@lru_cache(maxsize=4)
def _cipher(pepper: bytes) -> AESSIV:
    """Encrypt without a random nonce, so that a resource has one id (RFC 5297)."""
    return AESSIV(hashlib.blake2b(key=pepper, digest_size=64, person=b"dgm-resource-id").digest())
