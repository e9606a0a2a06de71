"""Load shapes, the pairs of client and provider dialects they run on, and the goals."""

from __future__ import annotations

from typing import Literal

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A load: its command-line arguments for load.c and what is counted.

    Attributes:
        args: arguments of load.c.
        unit: what CPU time is divided by: responses ("ok") or streamed chunks.
        pairs: names of the dialect pairs it runs on; all pairs if empty.
        duration_s: measured seconds; None for the duration of the run.
        ramp_s: seconds over which the connections are opened, before measuring starts.
        direct: whether it also runs without a proxy, as the reference for added latency.
    """

    name: str
    description: str
    args: str
    unit: Literal["ok", "chunks"] = "ok"
    pairs: tuple[str, ...] = ()
    duration_s: float | None = None
    ramp_s: float = 0.0
    direct: bool = False


class DialectPair(msgspec.Struct, frozen=True, kw_only=True):
    """The dialect of the client and the route it requests."""

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
_CHAT_PAIRS = ("chat", "chat>messages")
SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            name="unary-1",
            description="sequential requests",
            args="-c 1 -b n=20,d=0,s=5",
            pairs=_CHAT_PAIRS,
            direct=True,
        ),
        Shape(name="unary-16", description="16 concurrent requests", args="-c 16 -b n=20,d=0,s=5"),
        Shape(name="unary-64", description="64 concurrent requests", args="-c 64 -b n=20,d=0,s=5"),
        Shape(
            name="unary-100k",
            description="16 concurrent requests with agent-like prompts: 100 kB, different at the end",
            args="-c 16 -U -x 100000 -b n=20,d=0,s=5",
            pairs=_CHAT_PAIRS,
        ),
        Shape(
            name="stream-first",
            description="sequential short streams",
            args="-c 1 -s -b n=5,d=2,s=20",
            unit="chunks",
            pairs=_CHAT_PAIRS,
            direct=True,
        ),
        Shape(
            name="stream-4x20",
            description="4 concurrent streams, one chunk every 20 ms",
            args="-c 4 -s -b n=50,d=20,s=20",
            unit="chunks",
            pairs=_CHAT_PAIRS,
            direct=True,
        ),
        Shape(
            name="stream-10ms",
            description="32 concurrent streams, one chunk every 10 ms",
            args="-c 32 -s -b n=100,d=10,s=20",
            unit="chunks",
        ),
        Shape(
            name="streams-1000",
            description="1,000 concurrent streams, one chunk every second",
            args="-c 1000 -R 4 -s -b n=12,d=1000,s=20",
            unit="chunks",
            pairs=_CHAT_PAIRS,
            duration_s=6.0,
            ramp_s=5.0,
        ),
    )
}


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """The highest accepted value of a metric for a shape.

    Attributes:
        translated: whether it applies to translated or passthrough pairs; None for both.
    """

    shape: str
    metric: str
    translated: bool | None
    maximum: float
    unit: str


def goals() -> list[Goal]:
    """Return the performance goals of the project."""
    goals_ = []
    for shape in ("unary-16", "unary-64"):
        goals_ += [_cpu_goal(shape, 15, translated=False), _cpu_goal(shape, 25, translated=True)]
    goals_ += [
        _cpu_goal("stream-10ms", 6, translated=False),
        _cpu_goal("stream-10ms", 12, translated=True),
    ]
    for shape, metric, maximum, unit in (
        ("unary-1", "added_ms", 1.0, "ms"),
        ("stream-first", "first_added_ms", 2.0, "ms"),
        # Nagle's algorithm with delayed acknowledgments would add 40 ms.
        ("stream-first", "added_ms", 10.0, "ms"),
        ("stream-4x20", "chunk_added_ms", 10.0, "ms"),
        ("streams-1000", "kb_per_stream", 50.0, "kB"),
        ("disconnect-stream", "seconds", 0.2, "s"),
        ("disconnect-unary", "seconds", 0.2, "s"),
        ("start", "seconds", 3.0, "s"),
        ("start", "idle_mb", 120.0, "MB"),
    ):
        goals_.append(Goal(shape=shape, metric=metric, translated=None, maximum=maximum, unit=unit))
    return goals_


def _cpu_goal(shape: str, maximum: float, *, translated: bool) -> Goal:
    return Goal(
        shape=shape, metric="cpu_ratio", translated=translated, maximum=maximum, unit="x nginx"
    )
