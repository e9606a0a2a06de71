"""Bodies of a request <-> the blob in which they are kept."""

from __future__ import annotations

import zlib

import msgspec

from gateway.models import RequestBody
from gateway.relay.exchange.log_record import Bodies

# Less gains little, and costs 30 us where an event loop is busy: zlib gives Python's lock away.
COMPRESS_BYTES = 2048
# What a blob may unpack to, whatever it says of itself.
UNPACK_BYTES = 256 * 1024 * 1024
# The first byte of a zlib stream; a msgpack map never starts with it.
_ZLIB = 0x78

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Bodies)


def packed(bodies: Bodies) -> bytes:
    """The bodies as one blob, compressed where that is worth it."""
    plain = _encoder.encode(bodies)
    return zlib.compress(plain, 1) if len(plain) > COMPRESS_BYTES else plain


def unpacked(blob: bytes) -> Bodies:
    """The bodies of a blob.

    Raises:
        ValueError: it is damaged, or unpacks to more than UNPACK_BYTES.
    """
    try:
        return _decoder.decode(_inflated(blob) if blob[:1] == bytes([_ZLIB]) else blob)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"the stored bodies can not be read: {error}") from None


def _inflated(blob: bytes) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(blob, UNPACK_BYTES)
    if not inflater.eof:
        raise ValueError("the stored bodies are cut short or too large to be shown")
    return plain


def load_bodies(log_id: int) -> Bodies | None:
    """The bodies of a request of the log; None if none are kept. Raises ValueError."""
    row = RequestBody.objects.filter(pk=log_id).values_list("blob", flat=True).first()
    return None if row is None else unpacked(bytes(row))
