"""The listening socket and the server's configuration."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest
import uvicorn
import uvloop
from django.core.management.base import CommandError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.management.start.connection_deadlines import GRACE_S
from gateway.management.start.protocol import Protocol
from gateway.management.start.serve import Server, bind, config
from gateway.management.start.websocket_protocol import SocketProtocol


class Application:
    """An ASGI application whose startup takes until `ready` is set."""

    def __init__(self) -> None:
        self.starting, self.ready = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        self.starting.set()
        await self.ready.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def test_connections_are_refused_until_the_application_can_answer() -> None:
    """A proxy then uses another node; in the backlog, a request would wait for the whole start."""
    announced: list[bool] = []

    async def start(listener: socket.socket) -> None:
        application = Application()
        server = Server(uvicorn.Config(application, lifespan="on", log_config=None))
        server.announce = lambda: announced.append(can_connect(listener))
        running = asyncio.create_task(server.serve([listener]))
        await asyncio.wait_for(application.starting.wait(), 10)
        assert not can_connect(listener)
        application.ready.set()
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        server.should_exit = True
        await running

    with bind("127.0.0.1", 0) as listener:
        assert listener.get_inheritable()
        asyncio.run(start(listener))
    assert announced == [True]


def can_connect(listener: socket.socket) -> bool:
    try:
        socket.create_connection(listener.getsockname(), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_port_occupied_during_the_start_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def start(listener: socket.socket) -> None:
        application = Application()
        application.ready.set()
        await Server(uvicorn.Config(application, lifespan="on", log_config=None)).serve([listener])

    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as second:
        first.listen()
        with pytest.raises(SystemExit) as error:
            asyncio.run(start(second))
    assert error.value.code == 3
    assert "cannot listen" in caplog.text


def test_a_port_in_use_error_names_the_remedy() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(
            CommandError, match=f"127.0.0.1:{port}: another program uses this port; .* --port"
        ):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("127.0.0.1", 70000, "the port must be a number"),
        ("192.0.2.1", 0, "assign requested address"),
    ],
)
def test_an_invalid_bind_address_is_named(host: str, port: int, reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as error:
        bind(host, port)
    assert error.value.returncode == 1


def test_the_uvicorn_configuration_is_set() -> None:
    parsed_config = config("127.0.0.1", 4000, 2, 30.0)
    # httptools refuses a body with two lengths; h11 carries it out.
    assert isinstance(parsed_config.http, type)
    assert issubclass(parsed_config.http, HttpToolsProtocol)
    assert (parsed_config.ws, parsed_config.lifespan) == (SocketProtocol, "on")
    assert (parsed_config.access_log, parsed_config.server_header, parsed_config.proxy_headers) == (
        False,
        False,
        False,
    )
    assert (parsed_config.workers, parsed_config.timeout_graceful_shutdown) == (2, 30)


def test_a_shutdown_reads_what_arrived_while_the_process_was_stalled() -> None:
    """uvloop calls due timers before it reads: after a stall, the grace period is over at once."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    signal, other = socket.socketpair()

    def stall() -> None:  # while it handles what it has read, as then a timer comes first
        other.recv(1)
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(GRACE_S * 2)

    async def serve(listener: socket.socket, client: socket.socket) -> bytes:
        response = b""
        server = Server(uvicorn.Config(application, http=Protocol, lifespan="off", log_config=None))
        running = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
            client.connect(listener.getsockname())
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
            for connection in server.server_state.connections:
                connection.shutdown()
            asyncio.get_running_loop().add_reader(other, stall)
            signal.send(b"!")
            with contextlib.suppress(ConnectionResetError):
                response = await asyncio.to_thread(client.recv, 100)
        server.should_exit = True
        await running
        return response

    with signal, other, bind("127.0.0.1", 0) as listener, socket.socket() as client:
        client.settimeout(10)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            response = runner.run(serve(listener, client))
    assert response.startswith(b"HTTP/1.1 204")
