"""Prompt complexity; the expected values are those of LiteLLM 1.109's router."""

from __future__ import annotations

import time

from gateway.canon.request import Request, Text, Turn
from gateway.routing.complexity import classify_complexity, complexity_of
from tests.each import each


@each(
    ("prompt", "expected"),
    [
        ("", "simple"),
        ("hi", "simple"),
        ("What is the capital of France?", "simple"),
        ("Write a python function that sorts a list and return it", "medium"),
        (
            "Implement a python function for a distributed, scalable microservice architecture "
            "with low latency and high throughput",
            "complex",
        ),
        (
            "Think step by step: analyze this python function and the architecture, its latency "
            "and throughput, and show your work",
            "reasoning",
        ),
    ],
)
def test_a_prompt_has_a_complexity(prompt: str, expected: str) -> None:
    assert classify_complexity(prompt) == expected


def test_only_the_last_user_message_counts() -> None:
    hard = "Think step by step and analyze this python function, show your work"
    turns = (
        Turn(role="user", parts=(Text(text=hard),)),
        Turn(role="assistant", parts=(Text(text=hard),)),
        Turn(role="user", parts=(Text(text="thanks"),)),
    )
    assert complexity_of(Request(model="m", turns=turns)) == "simple_prompt"


@each("text", ["first " * 100_000, "1" * 500_000, "step" + " " * 500_000, "a) " * 200_000])
def test_a_hostile_prompt_is_scored_quickly(text: str) -> None:
    started = time.process_time()
    classify_complexity(text)
    assert time.process_time() - started < 0.5
