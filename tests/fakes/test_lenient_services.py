"""Requests that a service accepts although its reference or its SDK says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import cohere_rules, ollama_rules

USER_MESSAGE = {"role": "user", "content": "Hi"}


def test_cohere_does_not_require_stream() -> None:
    """The Vercel AI SDK sends it only for streams."""
    assert cohere_rules.refusal({"model": "command-a-03-2025", "messages": [USER_MESSAGE]}) is None


@pytest.mark.parametrize("name", ["temperature", "top_k", "stop", "num_ctx"])
def test_ollama_ignores_an_option_that_is_null(name: str) -> None:
    """`Options.FromMap` in api/types.go."""
    body: dict[str, Any] = {"model": "m", "messages": [USER_MESSAGE]}
    assert ollama_rules.refusal("/api/chat", {**body, "options": {name: None}}) is None
    wrong = ollama_rules.refusal("/api/chat", {**body, "options": {name: {}}})
    assert wrong is not None
