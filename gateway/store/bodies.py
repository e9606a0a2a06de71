"""Request bodies <-> the blob in which they are stored."""

from __future__ import annotations

import zlib

import msgspec

from gateway.models import RequestBody
from gateway.relay.exchange.log_record import Bodies

# Compressing less gains little and costs 30 us under a busy event loop: zlib releases the GIL.
MIN_COMPRESS_BYTES = 2048
# Limit on the unpacked size of a blob, against decompression bombs.
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
# The first byte of a zlib stream; a msgpack map never starts with it.
_ZLIB = 0x78

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Bodies)


def pack_bodies(bodies: Bodies) -> bytes:
    """The bodies as one blob, compressed above MIN_COMPRESS_BYTES."""
    encoded_bodies = _encoder.encode(bodies)
    return (
        zlib.compress(encoded_bodies, 1)
        if len(encoded_bodies) > MIN_COMPRESS_BYTES
        else encoded_bodies
    )


def unpack_bodies(blob: bytes) -> Bodies:
    """The bodies in a blob.

    Raises:
        ValueError: it is damaged, or unpacks to more than MAX_UNPACKED_BYTES.
    """
    try:
        stored_bodies = _decoder.decode(_decompress(blob) if blob[:1] == bytes([_ZLIB]) else blob)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"the stored bodies cannot be read: {error}") from None
    return stored_bodies.restored()


def _decompress(blob: bytes) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(blob, MAX_UNPACKED_BYTES)
    if not inflater.eof:
        raise ValueError("the stored bodies are incomplete or too large to display")
    return content


def load_bodies(log_id: int) -> Bodies | None:
    """The bodies of a logged request; None if none are stored. Raises ValueError."""
    row = RequestBody.objects.filter(pk=log_id).values_list("blob", flat=True).first()
    return None if row is None else unpack_bodies(bytes(row))


def body_texts(bodies: Bodies) -> dict[str, str | None]:
    """The four bodies as text, by name; bytes that are not UTF-8 are replaced."""
    same_response = bodies.same_response
    contents = {
        "client_request": bodies.client_request,
        "upstream_request": bodies.upstream_request,
        "upstream_response": bodies.upstream_response,
        "client_response": bodies.upstream_response if same_response else bodies.client_response,
    }
    return {
        name: None if content is None else content.decode("utf-8", "replace")
        for name, content in contents.items()
    }
