"""A small HTTP/1.1 server in its own thread, as a base for fake providers.

It records every request, detects when its client disconnects, and stops answering then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass
class RecordedRequest:
    """A recorded request. `left_at` is when its client disconnected before the response ended."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)
    left_at: float | None = None
    finished: bool = False

    @property
    def body(self) -> Any:
        """Return the JSON body; None if it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None


class ResponseWriter:
    """The response: `reply` sends it whole, or `begin`, `write` and `end` stream it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response; `body` is encoded as JSON, or bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"content-type": "application/json", "content-length": str(len(data))}
        await self.raw(_head(status, {**head, **(headers or {})}) + data)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send a head that is followed by a chunked body."""
        await self.raw(_head(status, {"transfer-encoding": "chunked", **headers}))

    async def write(self, data: bytes) -> None:
        """Send one chunk."""
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """Send the last chunk."""
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Close the connection immediately with a TCP reset."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Status'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Server:
    """A server on a free loopback port; subclasses implement `respond`."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.port = 0
        self._loop: asyncio.AbstractEventLoop  # from `start` on: some tests never start it
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Connections whose request is not answered yet, or which are about to be closed.
        self._busy: set[asyncio.Task[None]] = set()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request; returning False closes the connection."""
        await out.reply(200, {})
        return True

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_idle(self) -> bool:
        """Whether all requests are answered, and connections that do not stay open are closed."""
        return not self._busy

    def start(self) -> Self:
        """Start listening."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake server did not start")
        return self

    def close(self) -> None:
        """Stop, and close all connections."""
        if self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, limit=64 * 1024 * 1024, backlog=512
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connection(reader, writer, task)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._busy.discard(task)

    async def _connection(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: asyncio.Task[None],
    ) -> None:
        early = b""
        while True:
            recorded_request, early = await _request(reader, early)
            if recorded_request is None:
                return
            self._busy.add(task)
            self.requests.append(recorded_request)
            answering = asyncio.ensure_future(
                self.respond(recorded_request, ResponseWriter(writer))
            )
            watching = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done() and watching.result() == b"":
                    recorded_request.left_at = time.monotonic()
                    return
                keep = await answering
                recorded_request.finished = True
            except (ConnectionError, OSError):
                recorded_request.left_at = time.monotonic()
                return
            finally:
                early = await _ended(answering, watching)
            if not keep:
                return
            self._busy.discard(task)


async def _ended(answering: asyncio.Future[bool], watching: asyncio.Future[bytes]) -> bytes:
    """Stop both tasks and return what the watcher has read of the next request."""
    for future in (answering, watching):
        future.cancel()
    _, read = await asyncio.gather(answering, watching, return_exceptions=True)
    return read if isinstance(read, bytes) else b""


async def _request(
    reader: asyncio.StreamReader, early: bytes
) -> tuple[RecordedRequest | None, bytes]:
    try:
        head = early + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None, b""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "chunked" in headers.get("transfer-encoding", ""):
        raw = await _chunks(reader)
    else:
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return RecordedRequest(method, url.path, url.query, headers, raw), b""


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
