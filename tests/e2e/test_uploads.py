"""Large uploads through a live gateway: memory, disk, and disconnecting clients."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.e2e.stack import Gateway, litellm_config
from tests.e2e.test_ollama import row
from tests.waits import wait_until

pytestmark = pytest.mark.e2e

MB = 1024 * 1024
BLOCK = bytes(range(256)) * 4096
BOUNDARY = "the-boundary"


class UploadSink:
    """A provider of `/v1/files` that stores only the length and the digest of a body.

    While `holds` is set, it reads no more than a body's first megabyte; with `refuses`, it
    responds 503.
    """

    def __init__(self) -> None:
        self.port = 0
        self.got: list[tuple[int, str]] = []
        self.requests = 0
        self.broken = 0
        self.refuses = False
        self.holds = False
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                await self._response(reader, writer)
            except (asyncio.IncompleteReadError, OSError):
                self.broken += 1

    async def _response(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = remaining_bytes = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        self.requests += 1
        digest = hashlib.sha256()
        while remaining_bytes:
            data = await reader.read(min(remaining_bytes, MB))
            if not data:
                raise asyncio.IncompleteReadError(b"", remaining_bytes)
            digest.update(data)
            remaining_bytes -= len(data)
            while self.holds:
                await asyncio.sleep(0.01)
        self.got.append((length, digest.hexdigest()))
        response = {"id": f"file-{len(self.got)}", "object": "file", "bytes": length}
        body = json.dumps(response).encode()
        status = "503 Busy" if self.refuses else "200 OK"
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()


@contextmanager
def running_gateway_with_sinks(directory: Path) -> Iterator[tuple[Gateway, UploadSink, UploadSink]]:
    """A gateway in front of a sink, and of a fallback sink."""
    with UploadSink() as sink, UploadSink() as second:
        name = "openai/whisper-1"
        rows = [
            row("ears", name, f"{sink.url}/v1", "key"),
            row("either", name, f"{sink.url}/v1", "key"),
            row("either", name, f"{second.url}/v1", "key"),
        ]
        for order, sink_row in enumerate(rows[1:]):
            sink_row["litellm_params"] |= {"order": order + 1, "max_retries": 0}
        gateway = Gateway(directory, litellm_config(rows)).start()
        try:
            yield gateway, sink, second
            gateway.stop()
        finally:
            gateway.kill()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Gateway, UploadSink, UploadSink]]:
    with running_gateway_with_sinks(tmp_path_factory.mktemp("uploads")) as test_stand:
        yield test_stand


def multipart_frame(model: str, size: int) -> tuple[bytes, int, bytes]:
    """Return a form's bytes before its file, its total length, and the bytes after the file."""
    mark = f"--{BOUNDARY}"
    field = 'content-disposition: form-data; name="model"'
    file = 'content-disposition: form-data; name="file"; filename="a.wav"'
    before = f"{mark}\r\n{field}\r\n\r\n{model}\r\n{mark}\r\n{file}\r\n\r\n".encode()
    after = f"\r\n{mark}--\r\n".encode()
    return before, len(before) + size + len(after), after


def upload(gateway: Gateway, model: str, size: int) -> httpx.Response:
    """Upload `size` bytes of audio, which are generated as they are sent."""
    before, length, after = multipart_frame(model, size)

    def body() -> Iterator[bytes]:
        yield before
        for start in range(0, size, len(BLOCK)):
            yield BLOCK[: size - start]
        yield after

    headers = {
        "authorization": f"Bearer {gateway.key}",
        "content-type": f"multipart/form-data; boundary={BOUNDARY}",
        "content-length": str(length),
    }
    url = f"{gateway.url}/v1/audio/transcriptions"
    return httpx.post(url, content=body(), headers=headers, timeout=120)


def start_upload(gateway: Gateway, size: int, sent_bytes: int, key: str = "") -> socket.socket:
    """Open a connection and send the first `sent` bytes of an upload."""
    before, length, _ = multipart_frame("ears", size)
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {key or gateway.key}\r\ncontent-length: {length}\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    connection.sendall(head.encode() + before)
    for start in range(0, sent_bytes, len(BLOCK)):
        connection.sendall(BLOCK[: sent_bytes - start])
    return connection


def worker_pid(gateway: Gateway) -> int:
    assert gateway._process is not None
    return gateway._process.pid


def memory_bytes(gateway: Gateway) -> int:
    """Return the gateway's resident memory in bytes."""
    status = Path(f"/proc/{worker_pid(gateway)}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def count_open_uploads(gateway: Gateway) -> int:
    """Return how many upload files the gateway has open."""
    open_files = 0
    for link in Path(f"/proc/{worker_pid(gateway)}/fd").iterdir():
        try:
            open_files += "/uploads/" in str(link.readlink())
        except FileNotFoundError:
            continue
    return open_files


def test_concurrent_uploads_do_not_fill_memory(
    stack: tuple[Gateway, UploadSink, UploadSink],
) -> None:
    gateway, sink, _ = stack
    upload(gateway, "ears", 2 * MB)
    before, count, size = memory_bytes(gateway), 12, 32 * MB
    peak, finished = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.05):
            peak = max(peak, memory_bytes(gateway))

    watching = threading.Thread(target=watch)
    sink.holds = True
    statuses: list[int] = []
    sending = [
        threading.Thread(target=lambda: statuses.append(upload(gateway, "ears", size).status_code))
        for _ in range(count)
    ]
    for thread in (watching, *sending):
        thread.start()
    wait_until(lambda: count_open_uploads(gateway) == count)
    sink.holds = False
    for thread in sending:
        thread.join()
    finished.set()
    watching.join()
    assert statuses == [200] * count
    assert len({digest for _, digest in sink.got[-count:]}) == 1
    assert peak - before < 100 * MB, f"{(peak - before) // MB} MB for {count * size // MB} MB"
    wait_until(lambda: count_open_uploads(gateway) == 0)


def test_the_next_target_gets_the_complete_upload(
    stack: tuple[Gateway, UploadSink, UploadSink],
) -> None:
    gateway, first, second = stack
    first.refuses = True
    try:
        response = upload(gateway, "either", 5 * MB + 3)
    finally:
        first.refuses = False
    assert response.status_code == 200
    assert first.got[-1] == second.got[-1]
    logged = gateway.row(response.headers["x-request-id"])
    assert [attempt["status"] for attempt in logged["attempts"]] == [503, 200]


def test_an_interrupted_upload_leaves_no_temporary_file(
    stack: tuple[Gateway, UploadSink, UploadSink],
) -> None:
    gateway, sink, _ = stack
    received_count, broken = len(sink.got), sink.broken
    with start_upload(gateway, 30 * MB, 20 * MB):
        wait_until(lambda: count_open_uploads(gateway) == 1)
    wait_until(lambda: count_open_uploads(gateway) == 0)
    assert (len(sink.got), sink.broken) == (received_count, broken)


def test_a_client_that_disconnects_closes_the_upstream_request(
    stack: tuple[Gateway, UploadSink, UploadSink],
) -> None:
    gateway, sink, _ = stack
    requests, broken, sink.holds = sink.requests, sink.broken, True
    size = 30 * MB
    with start_upload(gateway, size, size) as connection:
        connection.sendall(multipart_frame("ears", size)[2])
        wait_until(lambda: sink.requests == requests + 1)
        assert count_open_uploads(gateway) == 1
    try:
        wait_until(lambda: count_open_uploads(gateway) == 0)
    finally:
        sink.holds = False
    wait_until(lambda: sink.broken == broken + 1)


def test_a_wrong_key_is_refused_before_its_upload(
    stack: tuple[Gateway, UploadSink, UploadSink],
) -> None:
    with start_upload(stack[0], 30 * MB, 0, key="sk-wrong") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
    assert count_open_uploads(stack[0]) == 0
