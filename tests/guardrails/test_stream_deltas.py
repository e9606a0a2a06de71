"""Deltas of a block in the provider's own format, joined for a guardrail."""

from __future__ import annotations

import time

from gateway.relay.run.guarded_stream import _join_deltas


def test_deltas_of_a_text_are_joined_in_the_first() -> None:
    parts = [{"type": "a", "x": "0"}, {"x": "1", "n": 5}, {"y": "2"}, {"x": "3", "type": "b"}]
    assert _join_deltas(parts) == [
        {"type": "a", "x": "0"},
        {"x": "13", "n": 5},
        {"y": "2"},
        {"x": "", "type": "b"},
    ]


def test_many_deltas_take_linear_time() -> None:
    """It runs on the event loop, and the provider chooses the number of deltas."""
    deltas = [{"type": "x"}, *({"partial_json": "x" * 64} for _ in range(40_000))]
    start = time.thread_time()
    joined = _join_deltas(deltas)
    assert time.thread_time() - start < 1
    assert len(joined[1]["partial_json"]) == 64 * 40_000
