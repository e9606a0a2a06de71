"""The same streams in other pieces, and responses without what only their dialect has."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.events import Delta, Event
from gateway.canon.fold import fold_events
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect, RenderedRequest
from gateway.framing.formats import STREAM_FORMATS
from tests.stream_grammar import check_stream


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
    """Return the same bytes in chunks of one size, or cut at random offsets."""
    equal = st.sampled_from([1, 2, 7, 64, 1000, 10**6]).map(lambda n: [*range(0, len(wire), n)])
    cuts = sorted(data.draw(equal | st.lists(st.integers(0, len(wire)), max_size=6)))
    return [wire[start:end] for start, end in pairwise([0, *cuts, len(wire)])]


def parse_split_stream(
    dialect: Dialect,
    wire: bytes,
    data: st.DataObject,
    traits: Traits,
    rendered_request: RenderedRequest | None = None,
) -> Response:
    """Return the response of a stream that arrives in random pieces, with its grammar checked."""
    decoder = STREAM_FORMATS[dialect.framing].new_decoder()
    parser = dialect.provider.stream_parser(traits, rendered_request)
    events: list[Event] = []
    for chunk in split_bytes(wire, data):
        for frame in decoder.feed(chunk):
            events += parser.feed(frame)
    events += parser.close()
    check_stream(events)
    return fold_events(events)


def without_native_usage(response: Response) -> Response:
    """Return the response without the provider's usage object."""
    if response.usage is None:
        return response
    return replace(response, usage=replace(response.usage, native={}))
