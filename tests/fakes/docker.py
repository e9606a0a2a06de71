"""A Docker daemon without containers, for Docker's own command-line client.

It validates and records the client's requests (docs.docker.com/reference/api/engine).
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "1.41"
LOGS = b"Dragoman is running\n"


@dataclass
class Daemon:
    """The recorded requests of the client.

    Attributes:
        url: the value of `DOCKER_HOST`.
        images: the files of each build context by tag.
        containers: the configuration of each container by name; `State` is set at its start.
    """

    url: str = ""
    images: dict[str, set[str]] = field(default_factory=dict)
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def build(self, query: dict[str, str], context: bytes) -> None:
        """Record a build; asserts that the Dockerfile is in its context."""
        with tarfile.open(fileobj=io.BytesIO(context)) as archive:
            names = {member.name for member in archive.getmembers() if member.isfile()}
        assert query["dockerfile"] in names, query
        self.images[query["t"]] = names

    def create(self, name: str, configuration: dict[str, Any]) -> None:
        """Record a container of a built image."""
        assert configuration["Image"] in self.images, configuration["Image"]
        assert name not in self.containers, name
        self.containers[name] = configuration


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    daemon: Daemon

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _response(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Api-Version", API)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self._response(200, b"")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        name = path.split("/")[3] if path.count("/") > 3 else ""
        if name not in self.daemon.containers:
            self._response(404, json.dumps({"message": f"No such object: {path}"}).encode())
        elif path.endswith("/logs"):
            assert "State" in self.daemon.containers[name]
            self._response(200, struct.pack(">BxxxL", 1, len(LOGS)) + LOGS)
        else:
            state = {"Id": name, "Name": f"/{name}", "Config": {"Tty": False}, "State": {}}
            self._response(200, json.dumps(state).encode())

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self._body()
        if url.path.endswith("/build"):
            self.daemon.build(query, body)
            self._response(200, json.dumps({"stream": "built\n"}).encode())
        elif url.path.endswith("/containers/create"):
            self.daemon.create(query["name"], json.loads(body))
            self._response(201, json.dumps({"Id": query["name"], "Warnings": []}).encode())
        elif url.path.endswith("/start"):
            self.daemon.containers[url.path.split("/")[3]]["State"] = "running"
            self._response(204, b"")
        else:
            self._response(501, json.dumps({"message": url.path}).encode())


@contextmanager
def docker_daemon() -> Iterator[Daemon]:
    """Run a daemon on a free port."""
    daemon = Daemon()
    handler = type("Handler", (_Handler,), {"daemon": daemon})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        daemon.url = f"tcp://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
