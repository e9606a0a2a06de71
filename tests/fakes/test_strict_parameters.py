"""The fakes refuse parameters as OpenAI-compatible providers do, model by model."""

from __future__ import annotations

import pytest

from tests.fakes import openai_rules

HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("preset", "model", "name", "value", "selected_value"),
    [
        ("xai", "grok-4", "stop", ["x"], False),
        ("xai", "grok-4", "presence_penalty", 1, False),
        ("xai", "grok-4", "reasoning_effort", "low", False),
        ("xai", "grok-4", "temperature", 0, True),
        ("xai", "grok-4.3", "reasoning_effort", "low", True),
        ("groq", "llama-3.3-70b-versatile", "reasoning_effort", "low", False),
        ("groq", "openai/gpt-oss-120b", "reasoning_effort", "low", True),
        ("groq", "openai/gpt-oss-120b", "top_k", 5, False),
        ("cerebras", "llama-3.3-70b", "reasoning_effort", "low", False),
        ("openai", "gpt-4o", "top_k", 5, False),
        ("openai", "gpt-4o", "reasoning_effort", "low", False),
        ("openai", "gpt-5", "temperature", 0, False),
        ("openai", "gpt-4o", "temperature", 0, True),
    ],
)
def test_a_parameter_is_refused_where_the_provider_refuses_it(
    preset: str, model: str, name: str, value: object, selected_value: bool
) -> None:
    body = {"model": model, "messages": [HI], name: value}
    assert (openai_rules.compatible_refusal(preset, body) is None) is selected_value
