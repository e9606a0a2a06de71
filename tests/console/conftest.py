"""Fixtures of all console tests."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.pages.requests import histogram, log_search, sessions


@pytest.fixture(autouse=True)
def long_search_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the time limit of searches for busy machines."""
    for module in (histogram, log_search, sessions):
        monkeypatch.setattr(module, "BUDGET_S", 30.0)
    monkeypatch.setattr(log_search, "SORT_BUDGET_S", 30.0)


@pytest.fixture
def admin_client(db: None) -> Client:
    """A client of the admin `ada`."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def viewer_client(db: None) -> Client:
    """A client of the viewer `vic`."""
    client = Client()
    client.force_login(User.objects.create_user("vic"))
    return client


@pytest.fixture
def upstream() -> Iterator[Callable[..., tuple[str, list[Any]]]]:
    """A function that starts a server with one response; returns its URL and its requests."""
    servers = []

    def started(status: int, body: Any) -> tuple[str, list[Any]]:
        rows: list[Any] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rows.append((self.command, self.path, dict(self.headers)))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_args: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", rows

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()
