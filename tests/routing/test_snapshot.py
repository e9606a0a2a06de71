"""Resolution of a client's model name to a route."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.providers.profile import Price
from gateway.routing.snapshot import Model, Provider, Route, Snapshot, Target, model_of


def provider(name: str = "openai", preset: str = "openai") -> Provider:
    return Provider(id=1, name=name, preset=preset, dialect="openai_chat", base_url="http://x")


def route(name: str, *models: Model) -> Route:
    targets = tuple(Target(id=i, model=model) for i, model in enumerate(models))
    return Route(id=1, name=name, targets=targets)


def snapshot() -> Snapshot:
    """Return a registry with a route, its alias, two wildcards and two providers."""
    known_model = model_of(provider(), "gpt-4o")
    any_gpt = model_of(provider(), "*")
    return Snapshot(
        version=1,
        routes={"fast": route("fast", known_model), "any": route("any", any_gpt)},
        aliases={"quick": "fast"},
        wildcards=(("claude-fast-*", "fast"), ("gpt-*", "any"), ("claude-*", "any")),
        models={"openai/gpt-4o": known_model},
        providers={"openai": provider(), "ollama": provider("ollama", "ollama")},
    )


@pytest.mark.parametrize(
    ("text", "expected", "upstream"),
    [
        ("fast", "fast", "gpt-4o"),
        ("quick", "fast", "gpt-4o"),
        ("claude-fast-1", "fast", "gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o", "gpt-4o"),
        ("openai/gpt-4.1", "openai/gpt-4.1", "gpt-4.1"),
        ("ollama/llama3.1:8b", "ollama/llama3.1:8b", "llama3.1:8b"),
        ("ollama/org/model", "ollama/org/model", "org/model"),
    ],
)
def test_a_name_is_looked_up_as_route_alias_wildcard_and_model(
    text: str, expected: str, upstream: str
) -> None:
    result = snapshot().route(text)
    assert result is not None
    assert result.name == expected
    assert result.targets[0].model.name == upstream


@pytest.mark.parametrize("text", ["", "nothing", "nobody/gpt-4o", "openai/", "/gpt-4o"])
def test_an_unknown_name_matches_no_route(text: str) -> None:
    assert snapshot().route(text) is None


def test_a_model_without_a_row_has_the_known_traits() -> None:
    test_route = snapshot().route("openai/gpt-5")
    assert test_route is not None
    model = test_route.targets[0].model
    assert model.traits.reasoning
    assert model.price.input == Decimal("1.25")
    assert [edit.value for edit in model.edits] == ["max_completion_tokens"]


def test_a_wildcard_target_gets_the_matched_text() -> None:
    test_route = snapshot().route("gpt-5")
    assert test_route is not None
    assert test_route.name == "gpt-5"
    assert test_route.targets[0].model.name == "5"


def test_what_follows_the_star_of_a_wildcard_is_not_part_of_the_model() -> None:
    registry = Snapshot(
        version=1,
        routes={"fast": route("fast", model_of(provider(), "claude-*"))},
        wildcards=(("claude-*-fast", "fast"),),
    )
    found = registry.route("claude-opus-fast")
    assert found is not None
    assert found.targets[0].model.name == "claude-opus"


def test_a_wildcard_target_has_the_traits_of_the_real_model() -> None:
    registry = Snapshot(
        version=1,
        routes={"openai/*": route("openai/*", model_of(provider(), "*"))},
        wildcards=(("openai/*", "openai/*"),),
    )
    test_route = registry.route("openai/gpt-5")
    assert test_route is not None
    model = test_route.targets[0].model
    assert (model.name, model.traits.reasoning, model.traits.model) == ("gpt-5", True, "gpt-5")


def test_operator_settings_of_a_wildcard_are_kept() -> None:
    own_price = Price(input=Decimal(7), output=Decimal(7), source="operator")
    wild = Model(id=1, provider=provider(), name="*", price=own_price)
    registry = Snapshot(version=1, routes={"any": route("any", wild)}, wildcards=(("*", "any"),))
    test_route = registry.route("gpt-5")
    assert test_route is not None
    assert test_route.targets[0].model.price == own_price
