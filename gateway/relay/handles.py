"""Ids of what a provider keeps for a client (files, batches), as the client sees them.

An id of ours names the provider, the key it was made for and the provider's own id, with a
seal that only this gateway can make: whoever holds another key can neither guess nor bend
one, and any process of the gateway reads it without a table.

    file-abc  <->  file-dgm~Q1iK...      the prefix stays, as some clients look at it
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import msgspec

# A URL may hold the last of it as it is, and few texts have it: bodies are searched for it.
MARK = "dgm~"
_LAST, _REST = b"~", b"dgm"
_SEAL_BYTES = 12
# Ours: a prefix of letters, the mark, base64url. Theirs: anything without a path in it.
_OURS = re.compile(rf"([A-Za-z]{{1,20}}[-_]){MARK}([A-Za-z0-9_-]{{20,600}})")
_PREFIX = re.compile(r"[A-Za-z]{1,20}[-_]")
FOREIGN = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


class Handle(msgspec.Struct, frozen=True, array_like=True):
    """What an id stands for; `owner` is the id of a key, 0 where there was none."""

    provider: str
    owner: int
    id: str


def wrapped(handle: Handle, pepper: bytes) -> str:
    """The id that a client gets."""
    prefix = match[0] if (match := _PREFIX.match(handle.id)) else "id-"
    data = msgspec.msgpack.encode(handle)
    return f"{prefix}{MARK}{_text(data + _seal(data, pepper))}"


def unwrapped(text: str, pepper: bytes) -> Handle | None:
    """What an id of ours stands for; None for any other, and for one with a broken seal."""
    match = _OURS.fullmatch(text)
    if match is None:
        return None
    try:
        whole = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except (binascii.Error, ValueError):
        return None
    if _text(whole) != match[2]:  # the last letter may have bits that stand for nothing
        return None
    data, seal = whole[:-_SEAL_BYTES], whole[-_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _seal(data, pepper)):
        return None
    try:
        return msgspec.msgpack.decode(data, type=Handle)
    except msgspec.MsgspecError:
        return None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def may_hold(body: bytes) -> bool:
    """Whether an id of ours may stand in a body; a look for one byte, as every body gets it."""
    at = body.find(_LAST)
    while at >= 0:
        if body[max(0, at - len(_REST)) : at] == _REST:
            return True
        at = body.find(_LAST, at + 1)
    return False


def _seal(data: bytes, pepper: bytes) -> bytes:
    return hashlib.blake2b(data, key=pepper, digest_size=_SEAL_BYTES, person=b"dgm-handle").digest()
