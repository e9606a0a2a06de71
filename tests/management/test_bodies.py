"""Request bodies of Django's views are limited before the view runs."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import Client

from console.middleware import AUTHENTICATED
from gateway.config import bodies, capacity
from gateway.config.bodies import BodyLimits, limit_of

MIB = 1024 * 1024


async def send_body(
    path: str, *pieces: bytes, declared: int | None = None
) -> tuple[int, bytes, int]:
    """Return status and body of the response, and how many bytes the application received."""
    received_bytes = 0
    waiting = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]
    messages: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received_bytes
        more = True
        while more:
            message = await receive()
            received_bytes += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    length = (b"content-length", b"%d" % declared) if declared is not None else None
    scope = {"path": path, "headers": [length or (b"transfer-encoding", b"chunked")]}
    await BodyLimits(application)(scope, receive, send)
    return messages[0]["status"], messages[1]["body"], received_bytes


PATHS = {
    "/console/sign-in": MIB,
    "/": MIB,
    "/nowhere": MIB,
    "/admin/login/": MIB,
    "/api/routes": 2 * MIB,
    "/console/routes/add": 3 * MIB,
    "/console/cost/bill": 9 * MIB,
    "/console/playground/runs": 32 * MIB,
}


@pytest.mark.parametrize(("path", "limit"), PATHS.items(), ids=PATHS)
async def test_the_body_size_limit_depends_on_the_path(path: str, limit: int) -> None:
    assert limit_of(path) == limit
    status, body, received_bytes = await send_body(path, b"", declared=limit + 1)
    assert (status, received_bytes) == (413, 0)
    assert str(limit).encode() in body
    chunk = b"a" * (limit // 4)
    assert (await send_body(path, *[chunk] * 4))[0] == 200
    status, _, received_bytes = await send_body(path, *[chunk] * 40)
    assert (status, received_bytes) == (413, limit)


async def test_a_body_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.settings, "BODY_TIMEOUT_S", 0.05)
    scope = {"path": "/console/sign-in", "headers": [(b"content-length", b"10")]}
    messages: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await BodyLimits(application)(scope, receive, send)
    assert messages[0]["status"] == 408


class GatedApplication:
    """An application that waits until it is released; it may accept a caller's credential."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.bounded = BodyLimits(self._application)

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        scope[AUTHENTICATED] = b"good" in dict(scope["headers"]).get(b"cookie", b"")
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def ask(self, path: str = "/console/sign-in", **headers: str) -> tuple[int, Any]:
        """Return status and headers of the response."""
        messages: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.bounded({"path": path, "headers": pairs}, asyncio.Event().wait, send)
        return messages[0]["status"], dict(messages[0]["headers"])


@pytest.mark.parametrize(
    "headers", [{}, {"cookie": "sessionid=made-up"}, {"authorization": "Bearer made-up"}]
)
async def test_anonymous_uploads_do_not_occupy_all_threads(headers: dict[str, str]) -> None:
    application = GatedApplication()
    waiting = [asyncio.create_task(application.ask(**headers)) for _ in range(bodies.MAX_ANONYMOUS)]
    await asyncio.sleep(0)
    status, result = await application.ask("/api/routes", **headers)
    assert (status, result[b"retry-after"]) == (503, b"1")
    application.go_on.set()
    assert {status for status, _ in await asyncio.gather(*waiting)} == {200}
    assert (await application.ask(**headers))[0] == 200


@pytest.mark.parametrize(("workers", "limit"), [("", 64), ("2", 32), ("8", 8), ("64", 4)])
def test_all_workers_together_serve_fewer_anonymous_requests_than_postgresql_has_connections(
    monkeypatch: pytest.MonkeyPatch, workers: str, limit: int
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    assert capacity.anonymous_requests() == limit


async def test_signed_in_callers_have_separate_upload_capacity() -> None:
    application = GatedApplication()
    application.go_on.set()
    await application.ask(cookie="sessionid=good")
    application.go_on.clear()
    waiting = [asyncio.create_task(application.ask()) for _ in range(bodies.MAX_ANONYMOUS)]
    own_request = asyncio.create_task(application.ask("/console/", cookie="sessionid=good"))
    await asyncio.sleep(0)
    assert (await application.ask())[0] == 503
    application.go_on.set()
    assert (await own_request)[0] == 200
    await asyncio.gather(*waiting)


async def test_an_accepted_credential_expires_from_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "REMEMBERED_S", 0.0)
    monkeypatch.setattr(bodies, "MAX_ANONYMOUS", 0)
    assert (await GatedApplication().ask(cookie="sessionid=good"))[0] == 503


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("token", "accepted"), [("sk-the-master-key-of-tests", True), ("sk-another", False)]
)
async def test_django_returns_the_owner_of_an_accepted_credential(
    settings: Any, token: str, *, accepted: bool
) -> None:
    settings.MASTER_KEY = "sk-the-master-key-of-tests"
    headers = {"authorization": f"Bearer {token}"}
    assert await accepts_credential("/api/warnings", headers) is accepted


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("signed_in", [True, False])
def test_django_returns_the_user_of_an_accepted_session(*, signed_in: bool) -> None:
    client = Client()
    if signed_in:
        client.force_login(User.objects.create_superuser("ada", password="x"))
    cookies = client.cookies.output(attrs=[], header="", sep=";").strip()
    headers = {"cookie": cookies or "sessionid=made-up"}
    assert asyncio.run(accepts_credential("/console/settings", headers)) is signed_in


async def accepts_credential(path: str, headers: dict[str, str]) -> bool:
    """Return whether Django accepts the credential of a request."""
    scopes: list[Any] = []
    application = get_asgi_application()

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await application(scope, receive, send)

    transport = httpx.ASGITransport(noted)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get(path, headers=headers)
    return bool(scopes[0].get(AUTHENTICATED))
