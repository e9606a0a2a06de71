"""Live gateways configured by LiteLLM files, with their providers and requests."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx

from tests.e2e.stack import Gateway
from tests.fakes import RecordedRequest, Refusal, ScriptedResponse, StrictOpenAI
from tests.fakes.server import ResponseWriter

MODELS = ("gpt-4o", "gpt-4o-mini", "o1", "o1-mini", "gpt-4", "gpt-3.5-turbo", "gpt-4.1")
DOWN = Refusal(503, "server_error", "The server is overloaded or not ready yet.")
BUSY = Refusal(429, "rate_limit_exceeded", "Rate limit reached", "rate_limit_exceeded")


class Upstream(StrictOpenAI):
    """A strict OpenAI that can fail: `fails` has the refusal and how often to send it."""

    models = MODELS

    def __init__(self) -> None:
        super().__init__()
        self.fails: Refusal | None = None
        self.times = 0

    def fail(self, refusal: Refusal, times: int = 10**9) -> None:
        """Refuse the next `times` requests."""
        self.fails, self.times = refusal, times

    def recover(self) -> None:
        """Stop refusing, and clear the recorded requests."""
        self.times = 0
        self.requests.clear()

    def request_count(self, text: str = "") -> int:
        """Return how many chat requests contained this text."""
        return sum(
            request.path.endswith("/completions") and text.encode() in request.raw
            for request in self.requests
        )

    async def respond(self, recorded_request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond as OpenAI does, unless the next request is to be refused."""
        if self.times > 0 and self.fails is not None and recorded_request.method == "POST":
            self.times -= 1
            refusal = self.fails
            error = {"message": refusal.message, "type": refusal.type, "code": refusal.code}
            await out.reply(refusal.status, {"error": error}, dict(refusal.headers))
            return True
        return await super().respond(recorded_request, out)


class AzureUpstream(Upstream):
    """A strict OpenAI with the paths and the key header of Azure."""

    async def respond(self, recorded_request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond as the deployment `gpt-4`."""
        if recorded_request.path != "/openai/deployments/gpt-4/chat/completions":
            await out.reply(404, {"error": {"code": "404", "message": "Resource not found"}})
            return True
        if (
            recorded_request.headers.get("api-key") != self.key
            or "api-version" not in recorded_request.query
        ):
            await out.reply(401, {"error": {"code": "401", "message": "Access denied"}})
            return True
        recorded_request.path = "/v1/chat/completions"
        recorded_request.headers["authorization"] = f"Bearer {self.key}"
        return await super().respond(recorded_request, out)


class FileConfiguredGateway(Gateway):
    """A gateway whose configuration file has a given text."""

    def __init__(self, directory: Path, text: str, key: str, **environment: str) -> None:
        super().__init__(directory, {})
        self._config.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        self.key = key
        self._more = environment

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self._more}

    def ask(self, model: str, text: str = "Hello", *, key: str = "", **more: Any) -> httpx.Response:
        """Send a Chat request."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.send("POST", "/v1/chat/completions", body, key=key)

    def response_text(self, model: str, text: str = "Hello", **more: Any) -> str:
        """Return the text of a response; asserts status 200."""
        response = self.ask(model, text, **more)
        assert response.status_code == 200, response.text
        return str(response.json()["choices"][0]["message"]["content"])

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Send a request with the master key, or another key."""
        token = {"authorization": f"Bearer {key or self.key}"}
        url = f"{self.url}{path}"
        request_headers = {**token, **(headers or {})}
        return httpx.request(
            method, url, json=body, headers=request_headers, params=dict(params or {}), timeout=60
        )

    def new_key(self, **fields: Any) -> str:
        """Create a key with /key/generate and wait until the gateway accepts it."""
        response = self.send("POST", "/key/generate", fields)
        assert response.status_code == 200, response.text
        return self.wait_for_key(str(response.json()["key"]))


@contextmanager
def running_gateway(
    directory: Path, text: str, key: str = "sk-1234", **environment: str
) -> Iterator[FileConfiguredGateway]:
    """Start a gateway with this file; stop it when the block ends."""
    gateway = FileConfiguredGateway(directory, text, key, **environment)
    try:
        yield gateway.start()
        gateway.stop()
    finally:
        gateway.kill()


@contextmanager
def upstreams(*names: str) -> Iterator[dict[str, Upstream]]:
    """Start providers that each answer with their own name."""
    with ExitStack() as stack:
        upstreams_by_name = {}
        for name in names:
            upstreams_by_name[name] = stack.enter_context(Upstream())
            upstreams_by_name[name].script.on("", ScriptedResponse(text=name))
        yield upstreams_by_name


def count_responses(gateway: FileConfiguredGateway, model: str, count: int) -> Counter[str]:
    """Return how often each provider answered."""
    return Counter(gateway.response_text(model, f"Draw {number}") for number in range(count))


@contextmanager
def forwarded_port(port: int, target_port: int) -> Iterator[bool]:
    """Forward a fixed local port to another one; returns False if the port is in use."""
    with ExitStack() as stack:
        server = stack.enter_context(closing(socket.socket()))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            yield False
            return
        server.listen()
        threading.Thread(target=_accept, args=(server, target_port), daemon=True).start()
        yield True
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, target_port: int) -> None:
    with suppress(OSError):
        while True:
            client_socket, _ = server.accept()
            try:
                upstream_socket = socket.create_connection(("127.0.0.1", target_port))
            except OSError:
                client_socket.close()
                continue
            for source, target in (
                (client_socket, upstream_socket),
                (upstream_socket, client_socket),
            ):
                threading.Thread(target=_copy_bytes, args=(source, target), daemon=True).start()


def _copy_bytes(source: socket.socket, target: socket.socket) -> None:
    with source, suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
