"""How much code one request runs through: a reader has to follow no more than this."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

from gateway.edge.path_aliases import resolve_path
from tests.relay.harness import completion, gateway, provider, route, snapshot

ROOT = Path(__file__).resolve().parents[2]
CHAT = {"model": "r", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


def message(_: httpx.Request) -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "hello"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 3},
        },
    )


async def functions_entered(tmp_path: Path, dialect: str) -> set[tuple[str, str]]:
    """The functions of the gateway that each request of a route enters, with their files.

    The first request fills caches. What runs beside a request now and then (the ticks of
    deadlines and of the monitor) is not in each of the twenty that follow.
    """
    response = message if dialect == "anthropic_messages" else lambda _: completion()
    model = "claude-sonnet-4-5" if dialect == "anthropic_messages" else "gpt-4.1"
    registry = snapshot(route("r", provider("one", dialect), model=model))
    measured: list[set[tuple[str, str]]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(ROOT / "gateway")):
            measured[-1].add((path, frame.f_code.co_qualname))

    # The journal's thread waits after its first batch: on a busy machine it would otherwise empty
    # the journal between two requests, and each of them would begin a new segment.
    done = threading.Event()
    async with gateway(
        tmp_path, registry, checkpoint=lambda _: done.wait(60), one=response
    ) as live:
        await live.post("/v1/chat/completions", CHAT)
        for _ in range(20):
            measured.append(set())
            sys.setprofile(note)
            try:
                reply = await live.post("/v1/chat/completions", CHAT)
            finally:
                sys.setprofile(None)
            assert reply.json()["choices"][0]["message"]["content"] == "hello"
        done.set()
    entered = set.intersection(*measured)
    # What Python makes of a comprehension or a generator is part of the function around it.
    return {(path, name) for path, name in entered if "<" not in name.rpartition(".")[2]}


@pytest.mark.parametrize(
    ("dialect", "max_functions", "max_modules"),
    # Lower these, never raise them.
    [("openai_chat", 100, 22), ("anthropic_messages", 160, 35)],
    ids=["passthrough", "translated"],
)
async def test_a_request_enters_few_functions(
    tmp_path: Path, dialect: str, max_functions: int, max_modules: int
) -> None:
    # As after an earlier request: the text of a path is a new object each time.
    resolve_path("".join(["/v1/chat", "/completions"]))
    entered = await functions_entered(tmp_path, dialect)
    modules = {path for path, _ in entered}
    names = "\n".join(f"{Path(path).relative_to(ROOT)} {name}" for path, name in sorted(entered))
    assert len(entered) <= max_functions, names
    assert len(modules) <= max_modules, names
