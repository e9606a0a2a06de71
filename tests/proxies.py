"""Real forward proxies for tests: tinyproxy, and a small strict SOCKS5 server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.ports import accepts_connections, free_port
from tests.servers import listening_port
from tests.waits import wait_until

# tinyproxy takes no other characters.
USER, PASSWORD = "relay", "proxyPass-word_1"


class Tinyproxy:
    """A running tinyproxy."""

    def __init__(self, folder: Path, *, auth: bool, refused_host: str) -> None:
        self.port = free_port()
        self.log = folder / "tinyproxy.log"
        lines = [
            f"Port {self.port}",
            "Listen 127.0.0.1",
            "Timeout 60",
            "MaxClients 50",
            f'LogFile "{self.log}"',
            "LogLevel Connect",
            "DisableViaHeader Yes",
        ]
        if auth:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        if refused_host:
            (folder / "filter").write_text(refused_host)
            lines += [f'Filter "{folder / "filter"}"']
        (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            ["tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        """The URL without credentials."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url_with_credentials(self) -> str:
        """The URL with the required credentials."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def lines(self) -> list[str]:
        """Return the requests in its log, such as `CONNECT 127.0.0.1:1234 HTTP/1.1`."""
        with suppress(FileNotFoundError):
            return [line for line in self.log.read_text().splitlines() if "Request" in line]
        return []

    def stop(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait(10)


@contextmanager
def tinyproxy(folder: Path, *, auth: bool = False, refused_host: str = "") -> Iterator[Tinyproxy]:
    """Run a tinyproxy until the block ends. Skip the test if it is not installed."""
    if shutil.which("tinyproxy") is None:
        pytest.skip("tinyproxy is not installed; `apt-get install tinyproxy-bin`")
    server = Tinyproxy(folder, auth=auth, refused_host=refused_host)
    try:
        wait_until(lambda: accepts_connections(server.port))
        yield server
    finally:
        server.stop()


class SocksProxy:
    """A SOCKS5 server (RFC 1928) that resolves some host names; it validates every byte.

    Attributes:
        requests: (type of address, address, port) of each CONNECT.
        open_tunnels: number of currently open tunnels.
    """

    def __init__(self, *, auth: bool, reply: int, names: dict[str, str]) -> None:
        self.requests: list[tuple[int, str, int]] = []
        self.open_tunnels = 0
        self.port = 0
        self._auth, self._reply, self._names = auth, reply, names

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        version, count = await reader.readexactly(2)
        assert version == 5
        method = 2 if self._auth else 0
        if method not in await reader.readexactly(count):
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if self._auth and not await self._authenticate(reader, writer):
            return
        version, command, reserved, kind = await reader.readexactly(4)
        assert (version, command, reserved) == (5, 1, 0)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(size)
        address = raw.decode() if kind == 3 else socket.inet_ntoa(raw)
        port = int.from_bytes(await reader.readexactly(2))
        self.requests.append((kind, address, port))
        # A reply in pieces, as a network may deliver it.
        for chunk in (bytes([5, self._reply]), b"\0\x03\x05", b"proxy", b"\0\0"):
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        if self._reply == 0:
            await self._tunnel(reader, writer, self._names.get(address, address), port)

    async def _authenticate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        version, size = await reader.readexactly(2)
        assert version == 1
        user = await reader.readexactly(size)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        right = (user.decode(), password.decode()) == (USER, PASSWORD)
        writer.write(b"\x01\x00" if right else b"\x01\x01")
        return right

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, port)
        self.open_tunnels += 1
        pumps = [
            asyncio.ensure_future(_pump(reader, up_writer)),
            asyncio.ensure_future(_pump(up_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            up_writer.close()
            self.open_tunnels -= 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def socks_proxy(
    *, auth: bool = False, reply: int = 0, names: dict[str, str] | None = None
) -> AsyncIterator[SocksProxy]:
    """Run a SOCKS5 proxy until the block ends; `names` are the hosts that it resolves."""
    proxy = SocksProxy(auth=auth, reply=reply, names=names or {})
    async with listening_port(proxy.serve) as proxy.port:
        yield proxy
