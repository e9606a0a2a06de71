"""Takes a form in as it comes: its fields into memory, its files into a spool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.framing.multipart import Decoder, Malformed, Part, Stretch
from gateway.relay.spool import Spool

# A field that is longer is treated as a file, and so are all when they are more together.
MOST_FIELD_BYTES = 64 * 1024
MOST_FIELDS_BYTES = 1024 * 1024


async def read(body: AsyncIterator[bytes], boundary: str, spool: Spool) -> list[Part]:
    """The parts of a form in their order.

    Raises GatewayError for what is no form, when all of it has been read: a client that still
    sends does not hear an answer.
    """
    form = _Form(spool)
    decoder = Decoder(boundary)
    failure: GatewayError | None = None
    async for data in body:
        if failure is not None:
            continue
        try:
            for found in decoder.feed(data):
                await form.take(found)
        except Malformed as error:
            failure = refused(error)
        except GatewayError as error:
            failure = error
    try:
        decoder.close()
    except Malformed as error:
        failure = failure or refused(error)
    if failure is not None:
        raise failure
    form.end()
    return form.parts


def refused(error: Malformed) -> GatewayError:
    """The error for a body that is no form."""
    return invalid(f"the body is not a legal form: {error}")


class _Form:
    """The parts that have come, and the one that is under way."""

    def __init__(self, spool: Spool) -> None:
        self.parts: list[Part] = []
        self._spool = spool
        self._part: Part | None = None
        self._data = bytearray()
        self._fields = 0
        # Where the part under way begins in the spool; None while it is in memory.
        self._start: int | None = None

    async def take(self, found: Part | bytes) -> None:
        """Take what the decoder has found."""
        if isinstance(found, Part):
            self.end()
            self._part = found
            self._start = self._spool.size if found.filename is not None else None
            return
        if self._start is not None:
            await self._spool.write(found)
            return
        self._data += found
        self._fields += len(found)
        if len(self._data) > MOST_FIELD_BYTES or self._fields > MOST_FIELDS_BYTES:
            self._start = self._spool.size
            data, self._data = bytes(self._data), bytearray()
            await self._spool.write(data)

    def end(self) -> None:
        """The part under way is whole."""
        if self._part is None:
            return
        if self._start is None:
            part = msgspec.structs.replace(self._part, data=bytes(self._data))
        else:
            kept = Stretch(self._start, self._spool.size - self._start)
            part = msgspec.structs.replace(self._part, kept=kept)
        self.parts.append(part)
        self._data = bytearray()
        self._part = None
