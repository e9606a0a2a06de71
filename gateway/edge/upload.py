"""Reads a form incrementally: its fields into memory, its files into a spool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.framing.multipart import ByteRange, Decoder, MalformedForm, Part
from gateway.relay.exchange.spool import Spool

# A longer field is stored in the spool, and so is any field beyond the total of all fields.
MAX_FIELD_BYTES = 64 * 1024
MAX_ALL_FIELDS_BYTES = 1024 * 1024


async def read_form(body: AsyncIterator[bytes], boundary: str, spool: Spool) -> list[Part]:
    """The parts of a form in order.

    Raises GatewayError for an invalid form, but only after reading the whole body: a client
    that is still sending does not read a response.
    """
    form = _FormCollector(spool)
    decoder = Decoder(boundary)
    failure: GatewayError | None = None
    async for chunk in body:
        if failure is not None:
            continue
        try:
            for item in decoder.feed(chunk):
                await form.add(item)
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
    """The error for a body that is not a valid form."""
    return invalid(f"the body is not a valid form: {error}")


class _FormCollector:
    """The complete parts, and the current one."""

    def __init__(self, spool: Spool) -> None:
        self.parts: list[Part] = []
        self._spool = spool
        self._part: Part | None = None
        self._data = bytearray()
        self._fields = 0
        # Start of the current part in the spool; None while it is in memory.
        self._start: int | None = None

    async def add(self, item: Part | bytes) -> None:
        """Add an item of the decoder: the start of a part, or bytes of the current part."""
        if isinstance(item, Part):
            self.finish_part()
            self._part = item
            self._start = self._spool.size if item.filename is not None else None
            return
        if self._start is not None:
            await self._spool.write(item)
            return
        self._data += item
        self._fields += len(item)
        if len(self._data) > MAX_FIELD_BYTES or self._fields > MAX_ALL_FIELDS_BYTES:
            self._start = self._spool.size
            data, self._data = bytes(self._data), bytearray()
            await self._spool.write(data)

    def finish_part(self) -> None:
        """Complete the current part, if there is one."""
        if self._part is None:
            return
        if self._start is None:
            part = msgspec.structs.replace(self._part, data=bytes(self._data))
        else:
            byte_range = ByteRange(self._start, self._spool.size - self._start)
            part = msgspec.structs.replace(self._part, stored_range=byte_range)
        self.parts.append(part)
        self._data = bytearray()
        self._part = None
