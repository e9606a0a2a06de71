"""Disconnects of clients or upstreams at any time do not affect later pooled requests."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.relay.upstream.http1 import Transport

HANG_S = 5.0
HOST = httpx.Headers({"host": "upstream"})
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
BOTH_LOOPS = pytest.mark.parametrize("loop_name", LOOPS)
MOMENTS = ("before head", "in head", "after head", "in body", "after end")


@dataclass(frozen=True)
class ExchangeStep:
    """One exchange: how the upstream responds, and when either side disconnects."""

    framing: str
    size: int
    upstream_leaves: str | None
    reset: bool
    extra: bool
    client_leaves: str | None
    turns: int
    method: str


STEPS = st.builds(
    ExchangeStep,
    framing=st.sampled_from(["sized", "chunked", "until close"]),
    size=st.sampled_from([0, 2, 5_000, 300_000, 1_200_000]),
    upstream_leaves=st.none() | st.sampled_from(MOMENTS),
    reset=st.booleans(),
    extra=st.integers(0, 4).map(lambda n: n == 0),
    client_leaves=st.none() | st.sampled_from(["before head", "after head", "in body", "unread"]),
    turns=st.integers(0, 12),
    method=st.sampled_from(["POST", "POST", "GET"]),
)


def body_of(number: int, size: int) -> bytes:
    mark = b"<%d>" % number
    return (mark * (size // len(mark) + 1))[:size]


def pieces_of(number: int, step: ExchangeStep) -> list[tuple[str, bytes]]:
    """Return the response in chunks between which the upstream may disconnect."""
    body = body_of(number, step.size)
    middle = len(body) // 2
    framing = {
        "sized": b"content-length: %d\r\n" % len(body),
        "chunked": b"transfer-encoding: chunked\r\n",
        "until close": b"connection: close\r\n",
    }[step.framing]

    def framed(data: bytes) -> bytes:
        if step.framing == "chunked":
            return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        return data

    last = b"0\r\n\r\n" if step.framing == "chunked" else b""
    if step.extra:
        last += b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nWRONG"
    return [
        ("before head", b""),
        ("in head", b"HTTP/1.1 200 OK\r\n"),
        ("after head", b"x-number: %d\r\n%s\r\n" % (number, framing)),
        ("in body", framed(body[:middle])),
        ("after end", framed(body[middle:]) + last),
    ]


class Upstream:
    """An upstream that answers the request `/N` by step N."""

    def __init__(self) -> None:
        self.steps: list[ExchangeStep] = []
        self.seen: Counter[int] = Counter()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while await self._response(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _response(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        number = int(head.split(b" ")[1].strip(b"/"))
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
        self.seen[number] += 1
        step = self.steps[number]
        for moment, chunk in pieces_of(number, step):
            if chunk:
                writer.write(chunk)
                await writer.drain()
            if moment == step.upstream_leaves:
                if step.reset:
                    linger = struct.pack("ii", 1, 0)
                    socket_ = writer.get_extra_info("socket")
                    socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
        return step.framing != "until close"


def breaks_itself(step: ExchangeStep) -> bool:
    """Return whether the upstream may interrupt this exchange itself."""
    return step.upstream_leaves is not None or step.extra


async def exchange(transport: Transport, url: str, number: int, step: ExchangeStep) -> bytes | None:
    """Return the response body; None if the client disconnected or the upstream interrupted it."""
    target = httpx.URL(f"{url}/{number}")
    task = asyncio.ensure_future(transport.exchange(step.method, target, HOST, b"{}"))
    try:
        if step.client_leaves == "before head":
            for _ in range(step.turns):
                await asyncio.sleep(0)
            task.cancel()
        response = await task
    except (httpx.TransportError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError):
            assert step.client_leaves == "before head"
        return None
    try:
        assert dict(response.headers)[b"x-number"] == b"%d" % number, "another request's answer"
        if step.client_leaves == "after head":
            return None
        if step.client_leaves == "unread":
            await asyncio.sleep(0.002 * step.turns)  # the response arrives, and nobody reads it
            return None
        parts = []
        while data := await response.read():
            parts.append(data)
            if step.client_leaves == "in body":
                return None
        return b"".join(parts)
    except httpx.TransportError:
        return None
    finally:
        response.close()


async def run_schedule(steps: list[ExchangeStep]) -> None:
    upstream, transport = Upstream(), Transport()
    url = await upstream.start()
    complete_step = ExchangeStep("sized", 40, None, False, False, None, 0, "POST")
    # After each step, a request of somebody else.
    upstream.steps = [scheduled for step in steps for scheduled in (step, complete_step)]
    try:
        before: ExchangeStep | None = None
        for number, step in enumerate(upstream.steps):
            async with asyncio.timeout(HANG_S):
                test_exchange = await exchange(transport, url, number, step)
            expected = body_of(number, step.size)
            if test_exchange is not None:
                whole_body = not (step.framing == "until close" and breaks_itself(step))
                data = test_exchange[: len(expected)] if step.extra else test_exchange
                assert data == (expected if whole_body else expected[: len(data)])
            elif step.client_leaves is None and not breaks_itself(step):
                closes = before is not None and (
                    breaks_itself(before) or before.framing == "until close"
                )
                assert closes, "a request failed after an exchange whose client left"
            if step.method == "POST":
                assert upstream.seen[number] <= 1, "a request was sent twice"
            before = step
    finally:
        await transport.aclose()
        await upstream.stop()


@BOTH_LOOPS
def test_a_disconnect_does_not_affect_other_requests(loop_name: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:

        @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(steps=st.lists(STEPS, min_size=1, max_size=4))
        def check(steps: list[ExchangeStep]) -> None:
            runner.run(run_schedule(steps))

        check()


@BOTH_LOOPS
def test_an_unread_response_blocks_no_later_request(loop_name: str) -> None:
    abandoned_step = ExchangeStep("sized", 1_200_000, None, False, False, "unread", 12, "POST")
    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(run_schedule([abandoned_step]))


class BlockingUpstream:
    """A threaded server of one request per connection, which then does `after` when called."""

    def __init__(self, after: Callable[[socket.socket], None], *, reads: bool) -> None:
        self.requests: list[bytes] = []
        self._after, self._reads = after, reads
        self._go, self._done = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def act(self) -> None:
        """Perform the action and return when it is done; the caller's event loop is blocked."""
        self._go.set()
        assert self._done.wait(HANG_S)

    def close(self) -> None:
        # A close alone does not wake a thread that is in `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()

    def _request(self, client: socket.socket) -> None:
        data = b""
        while not data.endswith(b"{}"):
            if not (more := client.recv(65536)):
                return
            data += more
        self.requests.append(data.split(b" ")[1])

    def _serve(self) -> None:
        with self._listener.accept()[0] as client:
            self._request(client)
            client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst")
            if self._reads:
                self._request(client)
                self._after(client)
            else:
                self._go.wait(HANG_S)
                self._after(client)
            self._done.set()
            with suppress(OSError), self._listener.accept()[0] as second:  # closed at the end
                self._request(second)
                second.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond")
            client.close()


@contextmanager
def blocking(after: Callable[[socket.socket], None], *, reads: bool) -> Iterator[BlockingUpstream]:
    upstream = BlockingUpstream(after, reads=reads)
    try:
        yield upstream
    finally:
        upstream.close()


async def fetch(transport: Transport, url: str, method: str = "POST") -> bytes:
    response = await transport.exchange(method, httpx.URL(url), HOST, b"{}")
    try:
        parts = []
        while data := await response.read():
            parts.append(data)
        return b"".join(parts)
    finally:
        response.close()


def run(loop_name: str, main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(HANG_S):
            await main()

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(bounded())


def send_unsolicited(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nWRONG")


def send_one_byte(client: socket.socket) -> None:
    client.sendall(b"H")


def close_with_reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


WAITING = {
    "an unsolicited answer": send_unsolicited,
    "one byte": send_one_byte,
    "the end of the connection": socket.socket.close,
    "a reset": close_with_reset,
}


@BOTH_LOOPS
@pytest.mark.parametrize("waiting", WAITING)
def test_a_connection_with_unread_bytes_is_not_reused(loop_name: str, waiting: str) -> None:
    """The bytes wait in the socket; the event loop has not read them when the request is sent."""
    with blocking(WAITING[waiting], reads=False) as upstream:

        async def main() -> None:
            transport = Transport()
            assert await fetch(transport, upstream.url + "/a") == b"first"
            upstream.act()
            assert await fetch(transport, upstream.url + "/b") == b"second"
            await transport.aclose()

        run(loop_name, main)
        assert upstream.requests == [b"/a", b"/b"]


@BOTH_LOOPS
@pytest.mark.parametrize("remaining", ["the end of the connection", "a reset"])
def test_a_request_that_was_read_is_not_retried(loop_name: str, remaining: str) -> None:
    with blocking(WAITING[remaining], reads=True) as upstream:

        async def main() -> None:
            transport = Transport()
            assert await fetch(transport, upstream.url + "/a") == b"first"
            with pytest.raises(httpx.TransportError):
                await fetch(transport, upstream.url + "/b")
            await transport.aclose()

        run(loop_name, main)
        assert upstream.requests == [b"/a", b"/b"]


@BOTH_LOOPS
def test_an_idempotent_request_is_retried(loop_name: str) -> None:
    with blocking(socket.socket.close, reads=True) as upstream:

        async def main() -> None:
            transport = Transport()
            assert await fetch(transport, upstream.url + "/a", "GET") == b"first"
            assert await fetch(transport, upstream.url + "/b", "GET") == b"second"
            await transport.aclose()

        run(loop_name, main)
        assert upstream.requests == [b"/a", b"/b", b"/b"]
