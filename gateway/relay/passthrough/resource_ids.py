"""Ids of resources that a provider stores for a client (files, batches), as the client sees them.

A gateway id contains the provider, the key it was issued to and the provider's own id, with a
seal that only this gateway can create: the holder of another key can neither guess nor modify
it, and any process of the gateway can decode it without a table.

    file-abc  <->  file-dgm~Q1iK...      the prefix is preserved, because some clients check it
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import msgspec

# `~` needs no escaping in a URL, and is rare in text: bodies are searched for it.
ID_MARKER = "dgm~"
# One byte that few bodies contain, so that few are searched for the whole marker.
ID_MARKER_END = b"~"
_MARKER_START = b"dgm"
_SEAL_BYTES = 12
# Gateway ids: a prefix of letters, the marker, base64url. Provider ids: no path in them.
_GATEWAY_ID = re.compile(rf"([A-Za-z]{{1,20}}[-_]){ID_MARKER}([A-Za-z0-9_-]{{20,600}})")
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
    data = msgspec.msgpack.encode(resource)
    return f"{prefix}{ID_MARKER}{_encode_base64url(data + _compute_seal(data, pepper))}"


def decode_id(gateway_id: str, pepper: bytes) -> ResourceId | None:
    """Decodes a gateway id; None for any other id, and for one with an invalid seal."""
    match = _GATEWAY_ID.fullmatch(gateway_id)
    if match is None:
        return None
    try:
        payload = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except (binascii.Error, ValueError):
        return None
    if _encode_base64url(payload) != match[2]:  # the last letter may have unused bits
        return None
    data, seal = payload[:-_SEAL_BYTES], payload[-_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _compute_seal(data, pepper)):
        return None
    try:
        return msgspec.msgpack.decode(data, type=ResourceId)
    except msgspec.MsgspecError:
        return None


def _encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def may_contain_id(body: bytes) -> bool:
    """Whether a body may contain a gateway id. Searches for one byte: every body is checked."""
    offset = body.find(ID_MARKER_END)
    while offset >= 0:
        if body[max(0, offset - len(_MARKER_START)) : offset] == _MARKER_START:
            return True
        offset = body.find(ID_MARKER_END, offset + 1)
    return False


def _compute_seal(data: bytes, pepper: bytes) -> bytes:
    return hashlib.blake2b(data, key=pepper, digest_size=_SEAL_BYTES, person=b"dgm-handle").digest()
