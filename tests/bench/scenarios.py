"""What is measured: shapes of load, the lanes they are sent through, and the goals."""

from __future__ import annotations

from typing import Literal

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A load. `args` are those of load.c; a unit is an answer or a streamed chunk.

    Attributes:
        lanes: through which lanes it is sent; all if empty.
        secs: how long it is measured, where the usual time does not do.
        ramp_s: how long its connections take to come, before anything is measured.
        direct: whether it is also sent past all proxies, for the time they add.
    """

    name: str
    about: str
    args: str
    unit: Literal["ok", "chunks"] = "ok"
    pairs: tuple[str, ...] = ()
    secs: float | None = None
    ramp_s: float = 0.0
    direct: bool = False


class DialectPair(msgspec.Struct, frozen=True, kw_only=True):
    """A way through the gateway: what the client speaks and which route it asks for."""

    name: str
    client: Literal["chat", "messages"]
    model: Literal["mock", "mock-anthropic"]
    translated: bool


DIALECT_PAIRS = {
    pair.name: pair
    for pair in (
        DialectPair(name="chat", client="chat", model="mock", translated=False),
        DialectPair(name="messages", client="messages", model="mock-anthropic", translated=False),
        DialectPair(name="chat>messages", client="chat", model="mock-anthropic", translated=True),
        DialectPair(name="messages>chat", client="messages", model="mock", translated=True),
    )
}
_FEW = ("chat", "chat>messages")
SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            name="unary-1",
            about="one request after the other",
            args="-c 1 -b n=20,d=0,s=5",
            pairs=_FEW,
            direct=True,
        ),
        Shape(name="unary-16", about="16 at a time", args="-c 16 -b n=20,d=0,s=5"),
        Shape(name="unary-64", about="64 at a time", args="-c 64 -b n=20,d=0,s=5"),
        Shape(
            name="unary-100k",
            about="16 at a time, prompts of 100 kB that differ at their end, as an agent's",
            args="-c 16 -U -x 100000 -b n=20,d=0,s=5",
            pairs=_FEW,
        ),
        Shape(
            name="stream-first",
            about="one short stream after the other",
            args="-c 1 -s -b n=5,d=2,s=20",
            unit="chunks",
            pairs=_FEW,
            direct=True,
        ),
        Shape(
            name="stream-4x20",
            about="4 streams, a chunk each 20 ms",
            args="-c 4 -s -b n=50,d=20,s=20",
            unit="chunks",
            pairs=_FEW,
            direct=True,
        ),
        Shape(
            name="stream-10ms",
            about="32 streams, a chunk each 10 ms",
            args="-c 32 -s -b n=100,d=10,s=20",
            unit="chunks",
        ),
        Shape(
            name="hold-1000",
            about="1,000 streams, a chunk each second",
            args="-c 1000 -R 4 -s -b n=12,d=1000,s=20",
            unit="chunks",
            pairs=_FEW,
            secs=6.0,
            ramp_s=5.0,
        ),
    )
}


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A ceiling: `what` of a result at a shape, in the lanes of one kind."""

    shape: str
    what: str
    translated: bool | None
    maximum: float
    unit: str


def goals() -> list[Goal]:
    """The ceilings of this project; README tells how far below them a run was."""
    cpuses = []
    for shape in ("unary-16", "unary-64"):
        cpuses += [_cpu(shape, 15, translated=False), _cpu(shape, 25, translated=True)]
    cpuses += [_cpu("stream-10ms", 6, translated=False), _cpu("stream-10ms", 12, translated=True)]
    for shape, what, maximum, unit in (
        ("unary-1", "added_ms", 1.0, "ms"),
        ("stream-first", "first_added_ms", 2.0, "ms"),
        # Nagle's algorithm against delayed acknowledgements would add 40 ms.
        ("stream-first", "added_ms", 10.0, "ms"),
        ("stream-4x20", "chunk_added_ms", 10.0, "ms"),
        ("hold-1000", "kb_each", 50.0, "kB"),
        ("leave-stream", "seconds", 0.2, "s"),
        ("leave-unary", "seconds", 0.2, "s"),
        ("start", "seconds", 3.0, "s"),
        ("start", "idle_mb", 120.0, "MB"),
    ):
        cpuses.append(Goal(shape=shape, what=what, translated=None, maximum=maximum, unit=unit))
    return cpuses


def _cpu(shape: str, maximum: float, *, translated: bool) -> Goal:
    return Goal(
        shape=shape, what="cpu_ratio", translated=translated, maximum=maximum, unit="x nginx"
    )
