"""One client request on its way through the relay, and the client's end of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.canon.errors import Error
from gateway.canon.request import Request
from gateway.dialects.base import Dialect, Framing, Verb
from gateway.relay.cache_value import Passage
from gateway.relay.entry import Attempt, Entry
from gateway.relay.forwarded import Forwarded
from gateway.relay.holds import Hold
from gateway.relay.kept import Keeping, Native
from gateway.relay.kept import Kept as Response
from gateway.relay.media_fetch import Fetched
from gateway.relay.reasoning_turns import Kept
from gateway.relay.recorder import Recorder
from gateway.relay.tap import Tap
from gateway.routing.limits import Want
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

# `Call.lost` is what a target used that was given up for a faster one, beside the call's own.
NO_LOSS = Want()
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class Sink(Protocol):
    """Sees what a client gets."""

    def piece(self, status: int, data: bytes) -> None:
        """Some of the body, and the status before it."""

    def end(self, status: int, data: bytes) -> None:
        """The last of it, after which the client has got all."""


class Client:
    """The way back to the client. Counts what it sent; knows no dialect."""

    __slots__ = ("_send", "_sink", "first_byte_at", "headers", "sent_at", "started", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sink: Sink | None = None
        self.started = False
        self.status = 0
        self.headers: list[Header] = []
        self.first_byte_at: float | None = None
        self.sent_at = 0.0

    def show(self, sink: Sink) -> None:
        """Show each piece from now on to `sink` too, when the client has got it."""
        self._sink = sink

    async def head(self, status: int, headers: list[Header]) -> None:
        """Send status and headers; from here on there is no other target to try."""
        self.started = True
        self.status = status
        self.headers = headers
        self.first_byte_at = self.sent_at = time.perf_counter()
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send more of the body; waits while the client does not read."""
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
        """Send a whole answer."""
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self.head(status, headers)
        await self.end(body)


class Call:
    """What is known of a request from its arrival to its row in the log.

    `fields` is the body decoded one level deep: values stay as the client wrote
    them, which is what makes passthrough exact and cheap.
    """

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
        self.id = request_id
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
        self.new_tap: Callable[[], Tap] = Tap
        self.attempted: Callable[[Attempt], None] | None = None
        self.tap = Tap()
        self.recorder = Recorder()
        self.error: Error | None = None
        self.outcome = "ok"
        self.waited_s = 0.0
        self.sent_at = 0.0
        self.entry: Entry | None = None
        self.admitted = False
        self.holds: list[Hold] = []
        self.limit_headers: list[Header] = []
        self.lost = NO_LOSS
        # The request that this one repeats unseen; empty for a client's own.
        self.shadow_of = ""
        # Where two targets race: called when this one has something for the client.
        self.won: Callable[[], None] | None = None
        # Its way past the cache; None on a route that keeps no answers.
        self.passage: Passage | None = None
        # Earlier answers by id that the request goes on from; they do not pass through,
        # but to the provider that `native` says.
        self.kept: Mapping[str, Any] | None = None
        self.native: Native | None = None
        self.keeping: Keeping | None = None
        # The answer's id, where it is not the request's; what it tells back otherwise; what
        # the gateway itself has to report of the request.
        self.answer_id = ""
        self.told: dict[str, Any] = {}
        self.noted: list[dict[str, Any]] = []
        # The whole answer, or the last of its stream, as it is on its way to the client.
        self.last = b""
        # Answers that need not be looked for, and who hears of this one (a WebSocket's).
        self.known: Mapping[str, Response] = {}
        self.heard: Callable[[Response], None] | None = None
        # Whether it goes on when the client's request is over.
        self.detached = False
        # Reasoning that turns of the history lack, by place; None where nothing is lacking.
        self.recalled: Mapping[int, Kept] | None = None
        # The target that did not accept the reasoning state of this request.
        self.stateless: Target | None = None
        # Files fetched for targets that take no URLs, by URL; empty where that is off.
        self.media: dict[str, Fetched] = {}
        # Whether the client can not carry the reasoning of the answer.
        self.remembers = False
        # For calls that are passed on unread, whatever they are.
        self.forwarded: Forwarded | None = None
        self._request: Request | None = None

    @property
    def request(self) -> Request:
        """The canonical request; parsed once, when first asked for. Raises GatewayError."""
        if self._request is None:
            decoded = msgspec.json.decode(self.body)
            if self.dialect.model_in_path and isinstance(decoded, dict):
                decoded |= {"model": self.model, "stream": self.stream}
            headers = self.headers
            if self.verb == "count_tokens":
                headers = {**headers, "x-dragoman-verb": "count_tokens"}
            if self.kept is not None and self.dialect.resume is not None:
                self._request = self.dialect.resume(decoded, headers, self.kept)
            else:
                self._request = self.dialect.client.parse_request(decoded, headers)
        return self._request

    def fields_for(self, provider: str) -> dict[str, msgspec.Raw] | None:
        """The fields with which it passes through to a provider; None if it must not."""
        if self.native is not None and self.native.provider == provider:
            return self.native.fields
        return self.fields if self.kept is None else None

    @property
    def settled(self) -> bool:
        """Whether its row has been written."""
        return self.entry is not None

    def tell(self, attempt: Attempt) -> None:
        """Say to a caller inside the process what became of a target."""
        if self.attempted is not None:
            self.attempted(attempt)

    def end_wait(self) -> None:
        """Count the wait since the upstream was called, once: it is not our own part."""
        if self.sent_at:
            self.waited_s += time.perf_counter() - self.sent_at
            self.sent_at = 0.0

    def ms(self, at: float | None = None) -> float:
        """Milliseconds since the request arrived, at a perf_counter reading or now."""
        seconds = (time.perf_counter() if at is None else at) - self.started
        return int(seconds * 1e6 + 0.5) / 1000  # half of what `round` costs
