"""Headers by which a request can be followed to its upstream: W3C Trace Context and its id.

A client's `traceparent` is passed on as it is, with its `tracestate`; where it has none, or
none that is valid, one is made that says "not sampled", as the gateway records no spans.
"""

from __future__ import annotations

import random
import re

from gateway.relay.exchange.call import Call, Header

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACEPARENT_CHARS = 55
MAX_TRACESTATE_CHARS = 512


def trace_headers(call: Call) -> tuple[Header, ...]:
    """`x-request-id`, `traceparent` and a client's `tracestate`."""
    request_id = (b"x-request-id", call.id.encode("ascii", "replace"))
    traceparent = call.headers.get("traceparent", "")
    if len(traceparent) != _TRACEPARENT_CHARS or not _TRACEPARENT.fullmatch(traceparent):
        new_traceparent = (
            f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"
        )
        return request_id, (b"traceparent", new_traceparent.encode())
    traceparent_header = (b"traceparent", traceparent.encode())
    tracestate = call.headers.get("tracestate", "")
    if not tracestate or len(tracestate) > MAX_TRACESTATE_CHARS or not tracestate.isascii():
        return request_id, traceparent_header
    if not tracestate.isprintable():
        return request_id, traceparent_header
    return request_id, traceparent_header, (b"tracestate", tracestate.encode())
