"""One client request on its way through the relay, and the client's end of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.canon.errors import Error, invalid
from gateway.canon.request import Request
from gateway.dialects.base import Dialect, Framing, Verb
from gateway.relay.event_loop import offload
from gateway.relay.exchange.cached_response import CacheLookup
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.exchange.passthrough import PassthroughState
from gateway.relay.exchange.reasoning_turns import ReasoningState
from gateway.relay.exchange.recorder import Recorder
from gateway.relay.exchange.reservation import Reservation
from gateway.relay.exchange.stored_response import NativeRequest, StorePolicy
from gateway.relay.exchange.stored_response import StoredResponse as Response
from gateway.relay.exchange.usage import UsageTap
from gateway.relay.upstream.media_fetch import Fetched
from gateway.routing.limits import Estimate
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

# `Call.hedge_loss` is what a target used that was given up for a faster one, beside the call's own.
NO_HEDGE_LOSS = Estimate()
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
# No browser is to take an answer for anything else than it says.
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")


class ResponseSink(Protocol):
    """Receives a copy of what is sent to a client."""

    def piece(self, status: int, data: bytes) -> None:
        """Some of the body, and the status before it."""

    def end(self, status: int, data: bytes) -> None:
        """The last of it, after which the client has got all."""


class Client:
    """Sends the response to the client, and records what was sent; knows no dialect."""

    __slots__ = (
        "_send",
        "_sink",
        "chunks",
        "first_byte_at",
        "headers",
        "sent_at",
        "started",
        "status",
    )

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sink: ResponseSink | None = None
        self.started = False
        self.status = 0
        self.headers: list[Header] = []
        self.first_byte_at: float | None = None
        self.sent_at = 0.0
        self.chunks = 0

    def show(self, sink: ResponseSink) -> None:
        """Copy each further chunk to `sink` after it was sent to the client."""
        self._sink = sink

    async def head(self, status: int, headers: list[Header]) -> None:
        """Send status and headers; from here on there is no other target to try."""
        self.started = True
        self.status = status
        self.headers = headers
        self.first_byte_at = self.sent_at = time.perf_counter()
        sent = [*headers, _NOSNIFF]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})

    async def write(self, data: bytes) -> None:
        """Send more of the body; waits while the client does not read."""
        self.chunks += 1
        self.sent_at = time.perf_counter()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        if self._sink is not None:
            self._sink.piece(self.status, data)

    async def end(self, data: bytes = b"") -> None:
        """Send the last of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        if self._sink is not None:
            self._sink.end(self.status, data)
            self._sink = None  # it may hold on to this

    async def reply(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a complete response."""
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self.head(status, headers)
        await self.end(body)


class Call:
    """The state of a request from its arrival to its log record.

    `fields` is the body decoded one level deep: values stay as the client wrote
    them, which is what makes passthrough exact and cheap. `id` is the gateway's own, and
    `client_request_id` the one that the client chose, which it is told back.
    """

    # Messages, parts, calls, results and tools that a request may hold in all.
    max_items = offload.MAX_ITEMS

    def __init__(
        self,
        *,
        request_id: str,
        endpoint: str,
        verb: Verb,
        dialect: Dialect,
        snapshot: Snapshot,
        headers: Mapping[str, str],
        started: float,
    ) -> None:
        self.id, self.client_request_id = request_id, ""
        self.endpoint = endpoint
        self.verb: Verb = verb
        self.dialect = dialect
        self.snapshot = snapshot
        self.headers = headers
        self.started = started
        self.started_at = time.time()
        self.query = b""
        self.client_ip = ""
        self.key: ApiKey | None = None
        self.body = b""
        self.fields: dict[str, msgspec.Raw] = {}
        self.model = ""
        self.stream = False
        self.framing: Framing = dialect.framing
        self.route: Route | None = None
        self.target: Target | None = None
        self.passthrough = False
        self.attempts: list[Attempt] = []
        self.adaptations: list[dict[str, Any]] = []
        # A caller inside the process listens to both; a client of the edge to neither.
        self.new_tap: Callable[[], UsageTap] = UsageTap
        self.on_attempt: Callable[[Attempt], None] | None = None
        self.tap = UsageTap()
        self.recorder = Recorder()
        self.error: Error | None = None
        self.outcome = "ok"
        self.upstream_wait_s = 0.0
        self.upstream_sent_at = 0.0
        self.entry: LogRecord | None = None
        self.limits_reserved = False
        self.reservations: list[Reservation] = []
        self.limit_headers: list[Header] = []
        self.hedge_loss = NO_HEDGE_LOSS
        # The request that this one repeats unseen; empty for a client's own.
        self.shadow_of = ""
        # Where two targets race: called when this one has something for the client.
        self.claim_win: Callable[[], None] | None = None
        # Its way past the cache; None on a route that keeps no answers.
        self.cache_lookup: CacheLookup | None = None
        # Earlier answers by id that the request goes on from; they do not pass through,
        # but to the provider that `native` says.
        self.earlier_responses: Mapping[str, Any] | None = None
        self.native_continuation: NativeRequest | None = None
        self.store_policy: StorePolicy | None = None
        # The answer's id, where it is not the request's; what it tells back otherwise; what
        # the gateway itself has to report of the request.
        self.response_id = ""
        self.echoed_fields: dict[str, Any] = {}
        self.gateway_adaptations: list[dict[str, Any]] = []
        # The whole answer, or the last of its stream, as it is on its way to the client.
        self.final_bytes = b""
        # Answers that need not be looked for, and who hears of this one (a WebSocket's).
        self.connection_responses: Mapping[str, Response] = {}
        self.on_response: Callable[[Response], None] | None = None
        # Whether it goes on when the client's request is over.
        self.detached = False
        # Reasoning that turns of the history lack, by place; None where nothing is lacking.
        self.recalled_reasoning: Mapping[int, ReasoningState] | None = None
        # The target that did not accept the reasoning state of this request.
        self.state_rejected_by: Target | None = None
        # Files fetched for targets that take no URLs, by URL; empty where that is off.
        self.fetched_media: dict[str, Fetched] = {}
        # Whether the client can not carry the reasoning of the answer.
        self.remembers_reasoning = False
        # For calls that are passed on unread, whatever they are.
        self.passthrough_state: PassthroughState | None = None
        self._request: Request | None = None

    @property
    def is_parsed(self) -> bool:
        """Whether `request` has been parsed."""
        return self._request is not None

    @property
    def offload_size(self) -> int:
        """Bytes that count for `offload.run`: those of a body that is translated or huge."""
        size = len(self.body)
        translated = self._request is not None or self.verb == "embed"
        return size if translated or size >= offload.SCANNED_BYTES else 0

    async def parse(self) -> None:
        """Parse the request, off the event loop if it is large. Raises GatewayError."""
        if self._request is None and len(self.body) >= offload.LARGE_BYTES:
            await offload.run(len(self.body), lambda: self.request)

    @property
    def request(self) -> Request:
        """The canonical request; parsed once, when first asked for. Raises GatewayError.

        On the event loop `parse` comes first.
        """
        if self._request is None:
            decoded = self._decoded()
            if self.dialect.model_in_path and isinstance(decoded, dict):
                decoded |= {"model": self.model, "stream": self.stream}
            headers = self.headers
            if self.verb == "count_tokens":
                headers = {**headers, "x-dragoman-verb": "count_tokens"}
            if self.earlier_responses is not None and self.dialect.parse_continuation is not None:
                self._request = self.dialect.parse_continuation(
                    decoded, headers, self.earlier_responses
                )
            else:
                self._request = self.dialect.client.parse_request(decoded, headers)
        return self._request

    def _decoded(self) -> Any:
        try:
            return offload.decode(self.body, self.max_items)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(f"the request body cannot be parsed: {error}") from None

    def fields_for(self, provider: str) -> dict[str, msgspec.Raw] | None:
        """The fields with which it passes through to a provider; None if it must not."""
        if self.native_continuation is not None and self.native_continuation.provider == provider:
            return self.native_continuation.fields
        return self.fields if self.earlier_responses is None else None

    @property
    def echoed_id(self) -> str:
        """The request id in responses: the client's own, if it sent one."""
        return self.client_request_id or self.id

    @property
    def settled(self) -> bool:
        """Whether the log record has been written."""
        return self.entry is not None

    def report_attempt(self, attempt: Attempt) -> None:
        """Report the outcome of an attempt to a caller inside the process."""
        if self.on_attempt is not None:
            self.on_attempt(attempt)

    def end_upstream_wait(self) -> None:
        """Add the time since the upstream was called to `upstream_wait_s`, once."""
        if self.upstream_sent_at:
            self.upstream_wait_s += time.perf_counter() - self.upstream_sent_at
            self.upstream_sent_at = 0.0

    def elapsed_ms(self, timestamp: float | None = None) -> float:
        """Milliseconds since the request arrived, at a perf_counter reading or now."""
        seconds = (time.perf_counter() if timestamp is None else timestamp) - self.started
        return int(seconds * 1e6 + 0.5) / 1000  # half of what `round` costs
