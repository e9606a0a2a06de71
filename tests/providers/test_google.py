"""Google's catalog rows: models and base URLs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.providers.auth import build_auth_headers
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import PRESETS, resolve_preset
from gateway.providers.profile import Secret
from gateway.simulate import translate


@pytest.mark.parametrize(
    ("model", "budgets", "always", "replay"),
    [
        ("gemini-3.8-flash", (), False, "required_on_tools"),
        ("gemini-3.1-pro-preview", (), True, "required_on_tools"),
        ("gemini-2.5-pro", (128, 32_768), True, "native"),
        ("gemini-2.5-flash", (1, 24_576), False, "native"),
        ("gemini-2.5-flash-lite", (512, 24_576), False, "native"),
        ("gemini-2.0-flash", (), False, "native"),
    ],
)
def test_each_gemini_generation_has_its_thinking_config(
    model: str, budgets: tuple[int, ...], always: bool, replay: str
) -> None:
    traits = traits_for("gemini", model)
    assert traits.reasoning_budgets == budgets
    assert traits.reasoning_always_on == always
    assert traits.replay_reasoning == replay


def test_the_chat_api_has_its_own_traits() -> None:
    assert PRESETS["gemini-openai"].dialect == "openai_chat"
    assert traits_for("gemini-openai", "gemini-3.8-flash").replay_reasoning == "ignored"
    preset = resolve_preset("gemini_native")
    assert preset is not None
    assert preset.name == "gemini"


@pytest.mark.parametrize(
    ("stream", "tail"), [(False, ":generateContent"), (True, ":streamGenerateContent?alt=sse")]
)
def test_vertex_has_paths_of_its_own(stream: bool, tail: str) -> None:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    body["stream"] = stream
    translation = translate.request("openai_chat", "vertex", body, {}, "gemini-2.5-pro")
    assert translation["path"] == f"/publishers/google/models/gemini-2.5-pro{tail}"
    assert "model" not in translation["body"]


def test_googles_api_key_has_its_own_header() -> None:
    assert build_auth_headers("x-goog-api-key", Secret("k")) == ((b"x-goog-api-key", b"k"),)
