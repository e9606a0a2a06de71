"""W3C trace context of one request, and the interface through which its log record is exported.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.framing.headers import Header
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import Snapshot

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})"
)
TRACEPARENT_CHARS = 55
MAX_TRACESTATE_CHARS = 512


class TraceContext(msgspec.Struct, frozen=True):
    """The span of one sampled request.

    Attributes:
        trace_id, span_id: lower-case hex.
        parent_span_id: the client's span; empty if the trace starts here.
    """

    trace_id: str
    span_id: str
    parent_span_id: str

    def child(self) -> TraceContext:
        """A span below this one."""
        return TraceContext(self.trace_id, new_span_id(), self.span_id)


class Telemetry(Protocol):
    """Exports log records; `gateway.telemetry` has the implementation."""

    def is_sampled(self, trace_id: int, *, parent: bool | None) -> bool:
        """Whether to export the spans of a trace; `parent` is the client's decision, if any."""

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Set the providers by which spans are labeled."""

    def export(self, record: LogRecord, *, sampled: bool) -> None:
        """Queue one record; never waits."""

    def close(self) -> None:
        """Export what is queued, within a few seconds. Blocks."""


def sample_trace(
    headers: Mapping[str, str], telemetry: Telemetry
) -> tuple[TraceContext | None, bytes]:
    """Decide whether the spans of a request are recorded, before anything is made for them.

    Return its span, in the client's trace or in a new one. Without spans, None and the
    `traceparent` for its upstreams, with the flag "not sampled".
    """
    traceparent = headers.get("traceparent", "")
    match = len(traceparent) == TRACEPARENT_CHARS and TRACEPARENT.fullmatch(traceparent)
    if match:
        trace_id, parent_span_id = match[1], match[2]
        if telemetry.is_sampled(int(trace_id, 16), parent=bool(int(match[3], 16) & 1)):
            return TraceContext(trace_id, new_span_id(), parent_span_id), b""
        return None, f"00-{trace_id}-{parent_span_id}-00".encode()
    number = random.getrandbits(128) or 1
    if telemetry.is_sampled(number, parent=None):
        return TraceContext(f"{number:032x}", new_span_id(), ""), b""
    return None, f"00-{number:032x}-{random.getrandbits(64) or 1:016x}-00".encode()


def client_trace(headers: Mapping[str, str]) -> tuple[str, str]:
    """The trace and span of a client's `traceparent`; both empty if it is not valid."""
    traceparent = headers.get("traceparent", "")
    match = len(traceparent) == TRACEPARENT_CHARS and TRACEPARENT.fullmatch(traceparent)
    return (match[1], match[2]) if match else ("", "")


def new_span_id() -> str:
    """A random span id."""
    return f"{random.getrandbits(64) or 1:016x}"


def traced_headers(
    headers: Mapping[str, str], context: TraceContext, span_id: str
) -> tuple[Header, ...]:
    """`traceparent` with `span_id` as the parent, and the client's `tracestate`."""
    traceparent = (b"traceparent", f"00-{context.trace_id}-{span_id}-01".encode())
    state = headers.get("tracestate", "")
    if context.parent_span_id and is_tracestate(state):
        return traceparent, (b"tracestate", state.encode())
    return (traceparent,)


def unsampled_headers(headers: Mapping[str, str], traceparent: bytes) -> tuple[Header, ...]:
    """The `traceparent` of an unsampled request, and `tracestate` if the trace is the client's."""
    header = (b"traceparent", traceparent)
    if headers.get("traceparent", "")[3:35].encode("latin-1", "replace") == traceparent[3:35]:
        state = headers.get("tracestate", "")
        if is_tracestate(state):
            return header, (b"tracestate", state.encode())
    return (header,)


def is_tracestate(state: str) -> bool:
    """Whether a client's `tracestate` is not empty and safe to pass on."""
    return 0 < len(state) <= MAX_TRACESTATE_CHARS and state.isascii() and state.isprintable()
