"""Bodies of a request <-> the blob in which they are kept."""

from __future__ import annotations

import zlib

import msgspec

from gateway.models import RequestBody
from gateway.relay.exchange.log_record import Bodies

# Less gains little, and costs 30 us where an event loop is busy: zlib gives Python's lock away.
MIN_COMPRESS_BYTES = 2048
# What a blob may unpack to, whatever it says of itself.
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
# The first byte of a zlib stream; a msgpack map never starts with it.
_ZLIB = 0x78

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Bodies)


def pack_bodies(bodies: Bodies) -> bytes:
    """The bodies as one blob, compressed where that is worth it."""
    encoded = _encoder.encode(bodies)
    return zlib.compress(encoded, 1) if len(encoded) > MIN_COMPRESS_BYTES else encoded


def unpack_bodies(blob: bytes) -> Bodies:
    """The bodies of a blob.

    Raises:
        ValueError: it is damaged, or unpacks to more than UNPACK_BYTES.
    """
    try:
        return _decoder.decode(_inflate(blob) if blob[:1] == bytes([_ZLIB]) else blob)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"the stored bodies can not be read: {error}") from None


def _inflate(blob: bytes) -> bytes:
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(blob, MAX_UNPACKED_BYTES)
    if not inflater.eof:
        raise ValueError("the stored bodies are cut short or too large to be shown")
    return inflated


def load_bodies(log_id: int) -> Bodies | None:
    """The bodies of a request of the log; None if none are kept. Raises ValueError."""
    row = RequestBody.objects.filter(pk=log_id).values_list("blob", flat=True).first()
    return None if row is None else unpack_bodies(bytes(row))
