"""The listening socket and how the server is set up."""

from __future__ import annotations

import socket

import pytest
from django.core.management.base import CommandError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.management.start.protocol import SocketProtocol
from gateway.management.start.serve import config, listen


def test_a_socket_listens_before_anything_is_made() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), 1):
        assert listener.get_inheritable()


def test_a_port_in_use_says_what_to_do() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            CommandError, match=f"127.0.0.1:{port}: another program uses this port; .* --port"
        ):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("127.0.0.1", 70000, "the port must be a number"),
        ("192.0.2.1", 0, "assign requested address"),
    ],
)
def test_an_address_that_can_not_be_is_a_clear_message(host: str, port: int, why: str) -> None:
    with pytest.raises(CommandError, match=why) as caught:
        listen(host, port)
    assert caught.value.returncode == 1


def test_the_server_is_set_up_for_the_job() -> None:
    found = config("127.0.0.1", 4000, 2, 30.0)
    # httptools refuses a body with two lengths; h11 carries it out.
    assert isinstance(found.http, type)
    assert issubclass(found.http, HttpToolsProtocol)
    assert (found.ws, found.lifespan) == (SocketProtocol, "on")
    assert (found.access_log, found.server_header, found.proxy_headers) == (False, False, False)
    assert (found.workers, found.timeout_graceful_shutdown) == (2, 30)
