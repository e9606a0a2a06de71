"""`seed` is a 32-bit integer for Google; OpenAI's clients send larger ones."""

from __future__ import annotations

from typing import Any

from gateway.simulate import translate
from tests.each import each


def translate_seed(source: str, body: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    translation = translate.request(source, "gemini", {"model": "m", **body}, {}, "gemini-2.5-pro")
    report = [(row["field"], row["action"]) for row in translation["report"]]
    return translation["body"]["generationConfig"]["seed"], report


@each("seed", [0, 42, 2**31 - 1, -(2**31)])
def test_a_seed_of_32_bits_is_sent_unchanged(seed: int) -> None:
    body = {"messages": [{"role": "user", "content": "q"}], "seed": seed}
    assert translate_seed("openai_chat", body) == (seed, [])


@each("seed", [2**31, 2**32 - 1, 1_732_812_345_678, -(2**40) - 7])
def test_the_lower_bits_of_a_larger_seed_are_sent(seed: int) -> None:
    """Google answers 400: Invalid value at 'generation_config.seed' (TYPE_INT32)."""
    body = {"messages": [{"role": "user", "content": "q"}], "seed": seed}
    sent, report = translate_seed("openai_chat", body)
    assert sent == seed % 2**31
    assert report == [("seed", "approximated")]
