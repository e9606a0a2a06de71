"""OpenRouter's model names at the vendors' own providers."""

from __future__ import annotations

import pytest

from gateway.edge.admission import may_use
from gateway.providers.catalog import PRESETS
from gateway.providers.catalog.openrouter_names import AUTHORS, native_name
from gateway.routing.snapshot import ApiKey, Snapshot
from tests.each import each
from tests.routing.test_bare_names import provider, registry

EVERYONE = ("openai", "anthropic", "gemini", "xai", "mistral", "deepseek", "openrouter")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return registry(*(provider(preset) for preset in EVERYONE))


@each(
    ("name", "label"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o:nitro", "openai/gpt-4o"),
        ("openai/gpt-4o:floor", "openai/gpt-4o"),
        ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5:beta", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("google/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        ("google/gemini-2.5-flash:free", "gemini/gemini-2.5-flash"),
        ("x-ai/grok-4", "xai/grok-4"),
        ("mistralai/mistral-large-2411:exacto", "mistral/mistral-large-2411"),
        ("deepseek/deepseek-chat:extended", "deepseek/deepseek-chat"),
        # At OpenRouter itself a name is complete.
        (
            "openrouter/anthropic/claude-sonnet-4.5:beta",
            "openrouter/anthropic/claude-sonnet-4.5:beta",
        ),
        ("openrouter/x-ai/grok-4:online", "openrouter/x-ai/grok-4:online"),
    ],
)
def test_a_name_is_that_of_the_authors_provider(snapshot: Snapshot, name: str, label: str) -> None:
    route = snapshot.route(name)
    assert route is not None
    assert (route.name, route.targets[0].model.label) == (label, label)


@each("name", ["x-ai/", "x-ai", "nobody/grok-4", "qwen/qwen3-max", "x-ai/../secrets"])
def test_unknown_openrouter_names_have_no_match(snapshot: Snapshot, name: str) -> None:
    assert snapshot.route(name) is None


def test_a_key_may_be_allowed_either_name(snapshot: Snapshot) -> None:
    for name in ("anthropic/claude-sonnet-4.5", "x-ai/grok-4:free"):
        route = snapshot.route(name)
        assert route is not None
        for allowed in (name, route.name):
            key = ApiKey(id=1, prefix="p", name="k", digest=b"", routes=(allowed,))
            assert may_use(key, route)


def test_a_variant_that_changes_the_request_is_not_removed(snapshot: Snapshot) -> None:
    route = snapshot.route("openai/gpt-4o:online")
    assert route is not None
    assert route.targets[0].model.name == "gpt-4o:online"


def test_a_provider_elsewhere_keeps_its_names() -> None:
    snapshot = registry(provider("openai", base_url="https://proxy.example.com/v1"))
    route = snapshot.route("openai/gpt-4o:free")
    assert route is not None
    assert route.targets[0].model.name == "gpt-4o:free"
    assert snapshot.route("x-ai/grok-4") is None


def test_without_known_models_only_providers_are_found() -> None:
    snapshot = registry(provider("xai"), known_models=False)
    assert snapshot.route("x-ai/grok-4") is None
    assert snapshot.route("xai/grok-4") is not None


def test_every_author_has_presets() -> None:
    assert {preset for presets in AUTHORS.values() for preset in presets} <= PRESETS.keys()
    assert native_name("ollama", "qwen3:free") == "qwen3:free"
