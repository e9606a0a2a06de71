"""Verdicts of guardrail services."""

from __future__ import annotations

import time
from typing import Any

from gateway.guardrails.guardrail import PresidioSettings
from gateway.guardrails.services import presidio_verdict


def entity(start: int, end: int, name: str = "EMAIL") -> dict[str, Any]:
    return {"start": start, "end": end, "entity_type": name, "score": 1.0}


def masked_texts(texts: list[str], *entities: dict[str, Any]) -> list[str] | None:
    return presidio_verdict(PresidioSettings(), texts, list(entities), mask=True).texts


def test_a_match_across_texts_is_masked_in_each() -> None:
    texts = ["one Ada", "Lovelace two", "three"]
    assert masked_texts(texts, entity(4, 17, "NAME")) == ["one [NAME]", "[NAME] two", "three"]
    # The second one is masked where the first has ended.
    overlap = masked_texts(texts, entity(4, 8, "NAME"), entity(5, 17, "PLACE"))
    assert overlap == ["one [NAME]", "[PLACE] two", "three"]


def test_matches_in_many_texts_are_masked_in_linear_time() -> None:
    """It runs on the event loop, and a client chooses the number of texts."""
    texts = ["a@b.co"] * 20_000
    entities = [entity(8 * number, 8 * number + 6) for number in range(len(texts))]
    start = time.thread_time()
    assert masked_texts(texts, *entities) == ["[EMAIL]"] * len(texts)
    assert time.thread_time() - start < 2
