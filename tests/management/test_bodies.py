"""Bodies to Django's part of the site are bounded before anything of it is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.config import bodies
from gateway.config.bodies import Bounded, limit_of

MIB = 1024 * 1024


async def asked(path: str, *pieces: bytes, declared: int | None = None) -> tuple[int, bytes, int]:
    """Status and body of the answer, and how many bytes the application was given."""
    given = 0
    waiting = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]
    told: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal given
        more = True
        while more:
            message = await receive()
            given += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    length = (b"content-length", b"%d" % declared) if declared is not None else None
    scope = {"path": path, "headers": [length or (b"transfer-encoding", b"chunked")]}
    await Bounded(application)(scope, receive, send)
    return told[0]["status"], told[1]["body"], given


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
async def test_a_body_is_bounded_by_its_path(path: str, limit: int) -> None:
    assert limit_of(path) == limit
    status, body, given = await asked(path, b"", declared=limit + 1)
    assert (status, given) == (413, 0)
    assert str(limit).encode() in body
    piece = b"a" * (limit // 4)
    assert (await asked(path, *[piece] * 4))[0] == 200
    status, _, given = await asked(path, *[piece] * 40)
    assert (status, given) == (413, limit)


async def test_a_body_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.settings, "BODY_TIMEOUT_S", 0.05)
    scope = {"path": "/console/sign-in", "headers": [(b"content-length", b"10")]}
    told: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await Bounded(application)(scope, receive, send)
    assert told[0]["status"] == 408
