"""Takes a form in as it comes: its fields into memory, its files into a spool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.framing.multipart import ByteRange, Decoder, MalformedForm, Part
from gateway.relay.exchange.spool import Spool

# A field that is longer is treated as a file, and so are all when they are more together.
MAX_FIELD_BYTES = 64 * 1024
MAX_ALL_FIELDS_BYTES = 1024 * 1024


async def read_form(body: AsyncIterator[bytes], boundary: str, spool: Spool) -> list[Part]:
    """The parts of a form in their order.

    Raises GatewayError for what is no form, when all of it has been read: a client that still
    sends does not hear an answer.
    """
    form = _FormCollector(spool)
    decoder = Decoder(boundary)
    failure: GatewayError | None = None
    async for data in body:
        if failure is not None:
            continue
        try:
            for parsed in decoder.feed(data):
                await form.add(parsed)
        except MalformedForm as error:
            failure = malformed_form(error)
        except GatewayError as error:
            failure = error
    try:
        decoder.close()
    except MalformedForm as error:
        failure = failure or malformed_form(error)
    if failure is not None:
        raise failure
    form.finish_part()
    return form.parts


def malformed_form(error: MalformedForm) -> GatewayError:
    """The error for a body that is no form."""
    return invalid(f"the body is not a legal form: {error}")


class _FormCollector:
    """The parts that have come, and the one that is under way."""

    def __init__(self, spool: Spool) -> None:
        self.parts: list[Part] = []
        self._spool = spool
        self._part: Part | None = None
        self._data = bytearray()
        self._fields = 0
        # Where the part under way begins in the spool; None while it is in memory.
        self._start: int | None = None

    async def add(self, parsed: Part | bytes) -> None:
        """Take what the decoder has found."""
        if isinstance(parsed, Part):
            self.finish_part()
            self._part = parsed
            self._start = self._spool.size if parsed.filename is not None else None
            return
        if self._start is not None:
            await self._spool.write(parsed)
            return
        self._data += parsed
        self._fields += len(parsed)
        if len(self._data) > MAX_FIELD_BYTES or self._fields > MAX_ALL_FIELDS_BYTES:
            self._start = self._spool.size
            data, self._data = bytes(self._data), bytearray()
            await self._spool.write(data)

    def finish_part(self) -> None:
        """The part under way is whole."""
        if self._part is None:
            return
        if self._start is None:
            part = msgspec.structs.replace(self._part, data=bytes(self._data))
        else:
            stretch = ByteRange(self._start, self._spool.size - self._start)
            part = msgspec.structs.replace(self._part, stored_range=stretch)
        self.parts.append(part)
        self._data = bytearray()
        self._part = None
