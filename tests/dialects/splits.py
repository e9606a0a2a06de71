"""The same streams in other pieces, and responses without what only their dialect has."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.events import Delta, Event
from gateway.canon.response import Response


def split_deltas(events: list[Event], data: st.DataObject) -> list[Event]:
    """Return the same stream in smaller deltas."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, Delta) and len(event.text) > 1:
            position = data.draw(st.integers(1, len(event.text) - 1))
            out += [Delta(event.text[:position]), Delta(event.text[position:])]
        else:
            out.append(event)
    return out


def split_bytes(wire: bytes, data: st.DataObject) -> list[bytes]:
    """Return the same bytes in chunks of one size."""
    size = data.draw(st.sampled_from([1, 2, 7, 64, 1000, 10**6]))
    return [wire[i : i + size] for i in range(0, len(wire), size)]


def without_native_usage(response: Response) -> Response:
    """Return the response without the provider's usage object."""
    if response.usage is None:
        return response
    return replace(response, usage=replace(response.usage, native={}))
