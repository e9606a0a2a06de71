"""Model names without a provider."""

from __future__ import annotations

import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.edge.admission import find_route, usable_names
from gateway.edge.similar_names import similar_names
from gateway.providers.catalog import PRESETS
from gateway.providers.known_models import VENDORS
from gateway.providers.prices import lists_model
from gateway.routing.snapshot import ApiKey, Provider, Route, Snapshot, Target, model_of
from tests.each import each


def provider(name: str, preset: str = "", base_url: str = "") -> Provider:
    row = PRESETS[preset or name]
    return Provider(
        id=1,
        name=name,
        preset=row.name,
        dialect=row.dialect,
        base_url=base_url or row.base_url or "https://own.test",
    )


def registry(*providers: Provider, rows: tuple[str, ...] = (), **changes: object) -> Snapshot:
    by_name = {p.name: p for p in providers}
    models = {
        label: model_of(by_name[label.partition("/")[0]], label.partition("/")[2]) for label in rows
    }
    base = Snapshot(version=1, providers=by_name, models=models, known_models=True)
    return msgspec.structs.replace(base, **changes)


def resolved(snapshot: Snapshot, name: str) -> str | None:
    route = snapshot.route(name)
    return None if route is None else route.name


ALL = ("openai", "anthropic", "gemini", "gemini-openai", "mistral", "deepseek", "ollama")


@each(
    ("name", "label"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-99-new", "openai/gpt-99-new"),
        ("o4-mini", "openai/o4-mini"),
        ("text-embedding-3-small", "openai/text-embedding-3-small"),
        ("ft:gpt-4o-mini:org::id", "openai/ft:gpt-4o-mini:org::id"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("mistral-large-2512", "mistral/mistral-large-2512"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("gpt-oss:20b", "ollama/gpt-oss:20b"),
        ("llama3", "ollama/llama3:latest"),
        ("org/llama", "ollama/org/llama"),
        ("grok-4", None),
        ("llama4", None),
        ("gpt-4o/../x", None),
        ("", None),
    ],
)
def test_a_known_name_resolves_to_the_provider_that_has_it(name: str, label: str | None) -> None:
    rows = ("ollama/gpt-oss:20b", "ollama/llama3:latest", "ollama/org/llama", "ollama/gpt-4o")
    assert resolved(registry(*map(provider, ALL), rows=rows), name) == label


def test_the_vendors_provider_precedes_rows_by_provider() -> None:
    openai, azure = provider("openai"), provider("azure_openai")
    other, zed = provider("other", "custom"), provider("zed", "custom")
    rows = ("zed/gpt-4o", "other/gpt-4o", "azure_openai/gpt-4o")
    assert resolved(registry(zed, other, azure, openai, rows=rows), "gpt-4o") == "openai/gpt-4o"
    assert resolved(registry(zed, other, azure, rows=rows), "gpt-4o") == "azure_openai/gpt-4o"
    assert resolved(registry(zed, other, rows=rows[:2]), "gpt-4o") == "other/gpt-4o"
    vertex, surface = provider("vertex"), provider("gemini-openai")
    assert resolved(registry(surface, vertex), "gemini-2.5-pro") == "vertex/gemini-2.5-pro"
    assert resolved(registry(surface), "gemini-2.5-pro") == "gemini-openai/gemini-2.5-pro"


def test_a_custom_provider_with_a_vendors_preset_is_not_the_vendor() -> None:
    own_provider = provider("mine", "openai", "http://127.0.0.1:9/v1")
    assert resolved(registry(own_provider), "gpt-4o") is None
    assert resolved(registry(provider("mine", "openai")), "gpt-4o") == "mine/gpt-4o"


def test_a_route_or_alias_of_the_name_takes_precedence() -> None:
    openai = provider("openai")
    route = Route(id=1, name="gpt-4o", targets=(Target(id=1, model=model_of(openai, "gpt-4.1")),))
    snapshot = registry(
        openai,
        routes={"gpt-4o": route},
        aliases={"gpt-5": "gpt-4o"},
        wildcards=(("o4*", "gpt-4o"),),
    )
    for name in ("gpt-4o", "gpt-5", "o4-mini"):
        assert snapshot.route(name) is route
        assert name not in snapshot.known_names
    assert resolved(snapshot, "o3") == "openai/o3"


def test_the_name_of_a_missing_provider_does_not_select_another_one() -> None:
    """`openai/gpt-4o` without OpenAI must not select a reseller with a model of that name."""
    reseller = provider("openrouter")
    snapshot = registry(reseller, rows=("openrouter/openai/gpt-4o", "openrouter/meta-llama/x"))
    assert resolved(snapshot, "openai/gpt-4o") is None
    assert resolved(snapshot, "meta-llama/x") == "openrouter/meta-llama/x"


def test_without_known_models_only_full_names_work() -> None:
    snapshot = registry(provider("openai"), known_models=False)
    assert resolved(snapshot, "gpt-4o") is None
    assert resolved(snapshot, "openai/gpt-4o") == "openai/gpt-4o"
    assert snapshot.known_names == ()


# --- keys -------------------------------------------------------------------------------


def key(*routes: str) -> ApiKey:
    return ApiKey(id=1, prefix="p", name="k", digest=b"d", routes=routes)


@each(
    ("rules", "name", "allowed"),
    [
        (("openai/gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o", True),
        (("openai/*",), "gpt-4o", True),
        (("anthropic/*",), "gpt-4o", False),
        (("openai/gpt-4o-mini",), "gpt-4o", False),
        (("gpt-4o-mini",), "gpt-4o", False),
        # Other spellings of a model that the key may not use.
        (("openai/gpt-4o-mini",), "openai/gpt-4o", False),
        (("ollama/llama3",), "LLAMA4", False),
        (("ollama/llama4",), "llama4:latest", True),
    ],
)
def test_a_keys_rules_see_the_full_name(rules: tuple[str, ...], name: str, allowed: bool) -> None:
    snapshot = registry(provider("openai"), provider("ollama"), rows=("ollama/llama4",))
    try:
        route = find_route(snapshot, key(*rules), name)
    except GatewayError as failure:
        assert not allowed, failure.error.message
        assert failure.error.kind == "not_allowed"
    else:
        assert allowed
        assert "/" in route.name


def test_the_list_has_what_a_key_can_call() -> None:
    snapshot = registry(
        provider("openai"), provider("ollama"), rows=("ollama/llama3", "ollama/*", "openai/gpt-4o")
    )
    names = usable_names(snapshot, None)
    assert {"gpt-4o", "ollama/llama3", "openai/gpt-4o", "gpt-4.1"} <= set(names)
    assert "ollama/*" not in names
    assert all(snapshot.route(name) is not None for name in names)
    assert usable_names(snapshot, key("ollama/*")) == ["ollama/llama3"]


def test_an_unknown_model_names_the_nearest_that_the_key_may_call() -> None:
    snapshot = registry(provider("openai"), provider("ollama"), rows=("ollama/llama3",))
    with pytest.raises(GatewayError) as error:
        find_route(snapshot, None, "gtp-4o-mini")
    assert (
        "did you mean `gpt-4o-mini`, `gpt-4o-mini-tts` or `gpt-4.1-mini`?"
        in error.value.error.message
    )
    with pytest.raises(GatewayError) as error:
        find_route(snapshot, key("ollama/*"), "lama3-gpt-4o")
    assert "did you mean `ollama/llama3`?" in error.value.error.message
    assert "openai" not in error.value.error.message
    with pytest.raises(GatewayError) as error:
        find_route(Snapshot(version=1), None, "gpt-4o")
    assert "did you mean" not in error.value.error.message


def test_similar_names_are_few_and_best_first() -> None:
    names = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "zzz"]
    assert similar_names("gpt4o-mini", names) == ["gpt-4o-mini", "gpt-4o"]
    assert similar_names("", names) == similar_names("x", []) == []


def test_each_listed_model_is_in_its_vendors_price_list() -> None:
    for vendor in VENDORS:
        assert not vendor.presets[0] or set(vendor.presets) <= PRESETS.keys()
        for name in vendor.models:
            assert vendor.matches(name), name
            if PRESETS[vendor.presets[0]].prices:
                assert lists_model(vendor.presets[0], name), name
