"""The registry's rows as snapshot values; broken rows are omitted and named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from gateway import store
from gateway.models import Alias, ApiKey, Model, Provider, Route, Target
from gateway.providers.capabilities import traits_for
from gateway.providers.prices import price_for
from gateway.routing.snapshot import Snapshot, Timeouts
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db


def snapshot() -> Snapshot:
    return store.load_snapshot()


def test_an_empty_registry_is_an_empty_snapshot() -> None:
    test_snapshot = snapshot()
    assert (
        test_snapshot.routes,
        test_snapshot.providers,
        test_snapshot.keys,
        test_snapshot.warnings,
    ) == ({}, {}, {}, ())


def test_a_preset_fills_what_the_row_leaves_blank() -> None:
    provider("claude", "anthropic")
    claude = snapshot().providers["claude"]
    assert claude.dialect == "anthropic_messages"
    assert claude.base_url.startswith("https://api.anthropic.com")
    assert claude.auth == "x-api-key"


def test_a_row_overrides_its_preset() -> None:
    provider(
        "mine",
        "openai",
        base_url="http://10.0.0.7:8000/v1/",
        auth="api-key",
        headers={"X-Team": "blue"},
        query={"api-version": 1},
        paths={"generate": "/chat"},
        timeouts={"idle_s": 7},
        edits=[{"op": "drop", "path": "store"}],
        drop_params=True,
        passthrough=False,
    )
    stored_provider = snapshot().providers["mine"]
    assert stored_provider.base_url == "http://10.0.0.7:8000/v1"
    assert stored_provider.auth == "api-key"
    assert stored_provider.headers == (("X-Team", "blue"),)
    assert stored_provider.query == (("api-version", "1"),)
    assert stored_provider.paths == {"generate": "/chat"}
    assert stored_provider.timeouts == Timeouts(idle_s=7.0)
    assert stored_provider.edits[-1].path == "store"
    assert stored_provider.drop_params
    assert not stored_provider.passthrough


def test_an_empty_query_removes_the_preset_parameters() -> None:
    values: dict[str, Any] = {"base_url": "https://r.openai.azure.com"}
    provider("a", "azure_openai", **values)
    provider("b", "azure_openai", **values, query={}, paths={})
    providers = snapshot().providers
    assert providers["a"].query
    assert (providers["b"].query, providers["b"].paths) == ((), {})


def test_traits_come_from_tables_then_doctor_findings_then_the_operator() -> None:
    model("gpt-5", learned={"images": False, "n_max": 3}, traits={"n_max": 2})
    traits = snapshot().models["openai/gpt-5"].traits
    target_traits = traits_for("openai", "gpt-5")
    assert (traits.images, traits.n_max, traits.efforts) == (False, 2, target_traits.efforts)
    assert (target_traits.images, target_traits.n_max != 2) == (True, True)


def test_own_prices_precede_list_prices() -> None:
    provider_row = provider()
    model("gpt-5", provider_row, price_input=Decimal("0.5"))
    model("gpt-5-mini", provider_row)
    model("unheard-of", provider_row)
    models = snapshot().models
    list_price = price_for("openai", "gpt-5")
    assert models["openai/gpt-5"].price.input == Decimal("0.5")
    assert models["openai/gpt-5"].price.output == list_price.output
    assert models["openai/gpt-5"].price.source == f"custom, otherwise {list_price.source}"
    assert models["openai/gpt-5-mini"].price == price_for("openai", "gpt-5-mini")
    assert models["openai/unheard-of"].price.input is None


def test_a_price_of_zero_is_zero_and_not_unknown() -> None:
    zero = Decimal(0)
    model("free", price_input=zero, price_output=zero)
    price = snapshot().models["openai/free"].price
    assert (price.input, price.output, price.source) == (zero, zero, "custom")


def test_a_route_has_its_targets_in_order() -> None:
    provider_row = provider()
    first, second, third = (model(name, provider_row) for name in ("a", "b", "c"))
    row = route("fast")
    for order, target in ((2, second), (1, first), (2, third)):
        Target.objects.create(route=row, model=target, order=order, weight=order)
    targets = snapshot().routes["fast"].targets
    assert [(t.model.name, t.order, t.weight) for t in targets] == [
        ("a", 1, 1),
        ("b", 2, 2),
        ("c", 2, 2),
    ]


def test_a_targets_timeouts_change_its_providers() -> None:
    row = route("fast", model(provided_by=provider(timeouts={"idle_s": 7, "total_s": 70})))
    assert snapshot().routes["fast"].targets[0].timeouts is None
    Target.objects.filter(route=row).update(timeouts={"total_s": 5})
    assert snapshot().routes["fast"].targets[0].timeouts == Timeouts(idle_s=7.0, total_s=5.0)


def test_aliases_are_exact_or_wildcards_most_specific_first() -> None:
    row = route("fast", model())
    for pattern in ("*", "claude-*", "gpt-4o", "claude-opus-*", "claude-*-mini", "claude-?"):
        Alias.objects.create(pattern=pattern, route=row)
    test_snapshot = snapshot()
    assert test_snapshot.aliases == {"gpt-4o": "fast"}
    patterns = [pattern for pattern, _ in test_snapshot.wildcards]
    assert patterns == ["claude-opus-*", "claude-*-mini", "claude-*", "claude-?", "*"]


def test_a_revoked_key_is_absent_and_an_expired_one_present() -> None:
    past = timezone.now() - timedelta(days=1)
    revoked, _ = store.create_key("revoked")
    ApiKey.objects.filter(pk=revoked.pk).revoke()
    store.create_key("expired", expires_at=past, routes=["a", "b-*"], log_bodies=False)
    (key,) = snapshot().keys.values()
    assert (key.name, key.expires_at) == ("expired", past.timestamp())
    assert (key.routes, key.log_bodies) == (("a", "b-*"), False)


def test_a_key_is_found_by_the_digest_of_its_token() -> None:
    row, plain = store.create_key("a key")
    assert snapshot().keys[store.digest(plain)].id == row.pk


def test_a_deactivated_row_is_absent_without_a_warning() -> None:
    provider_row = provider()
    off = model("off", provider_row, enabled=False)
    on = model("on", provider_row)
    route("mixed", off, on)
    route("hidden away", on, enabled=False)
    other = provider("other", enabled=False)
    route("base", on, model("x", other))
    test_snapshot = snapshot()
    assert set(test_snapshot.providers) == {"openai"}
    assert set(test_snapshot.models) == {"openai/on"}
    assert {name: len(r.targets) for name, r in test_snapshot.routes.items()} == {
        "mixed": 1,
        "base": 1,
    }
    assert test_snapshot.warnings == ()


def test_switches_come_from_settings_or_arguments(settings: Any) -> None:
    settings.OPEN, settings.LOG_BODIES = False, True
    assert (snapshot().open, snapshot().log_bodies) == (False, True)
    test_snapshot = store.load_snapshot(open_to_all=True, log_bodies=False)
    assert (test_snapshot.open, test_snapshot.log_bodies) == (True, False)


def broken_provider(**values: Any) -> None:
    # Past validation, as a hand at the database could do.
    Provider.objects.bulk_create([Provider(**{"name": "bad", "preset": "openai", **values})])


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "unknown preset": (lambda: broken_provider(preset="nope"), "provider `bad`", "nope"),
    "unknown dialect": (lambda: broken_provider(dialect="smoke"), "provider `bad`", "smoke"),
    "unknown auth": (lambda: broken_provider(auth="magic"), "provider `bad`", "magic"),
    "slash in the name": (lambda: broken_provider(name="a/b"), "provider `a/b`", "slash"),
    "no base URL": (lambda: broken_provider(preset="custom"), "provider `bad`", "base URL"),
    "base URL of another scheme": (
        lambda: broken_provider(base_url="ftp://x"),
        "provider `bad`",
        "http",
    ),
    "base URL with a password": (
        lambda: broken_provider(base_url="https://me:secret-word@x"),
        "provider `bad`",
        "password",
    ),
    "base URL with a line break": (
        lambda: broken_provider(base_url="https://x\r\nevil: 1"),
        "provider `bad`",
        "characters",
    ),
    "base URL with no port": (
        lambda: broken_provider(base_url="http://x:port"),
        "provider `bad`",
        "",
    ),
    "headers that are a list": (lambda: broken_provider(headers=[1]), "provider `bad`", "headers"),
    "a header that frames": (
        lambda: broken_provider(headers={"Content-Length": "1"}),
        "provider `bad`",
        "Content-Length",
    ),
    "a header with a line break": (
        lambda: broken_provider(headers={"x": "a\r\nb"}),
        "provider `bad`",
        "`x`",
    ),
    "an unknown edit": (
        lambda: broken_provider(edits=[{"op": "explode", "path": "a"}]),
        "provider `bad`",
        "edits",
    ),
    "an edit without sense": (
        lambda: broken_provider(edits=[{"op": "rename", "path": "a"}]),
        "provider `bad`",
        "rename",
    ),
    "an unknown timeout": (
        lambda: broken_provider(timeouts={"idle": 1}),
        "provider `bad`",
        "`idle`",
    ),
    "a timeout of text": (
        lambda: broken_provider(timeouts={"idle_s": "1"}),
        "provider `bad`",
        "`idle_s`",
    ),
    "a timeout below zero": (
        lambda: broken_provider(timeouts={"idle_s": -1}),
        "provider `bad`",
        "`idle_s`",
    ),
    "a damaged credential": (
        lambda: broken_provider(credential="0000:nonsense"),
        "provider `bad`",
        "credential",
    ),
    "an unknown trait": (
        lambda: model("m", traits={"telepathy": True}),
        "model `openai/m`",
        "telepathy",
    ),
    "a trait of another type": (
        lambda: model("m", traits={"n_max": "x"}),
        "model `openai/m`",
        "n_max",
    ),
    "traits that are a list": (lambda: model("m", traits=[1]), "model `openai/m`", ""),
    "a negative price": (lambda: model("m", price_input=-1), "model `openai/m`", "price"),
    "an unknown strategy": (
        lambda: route("r", model(), strategy="psychic"),
        "route `r`",
        "psychic",
    ),
    "an unknown reasoning field": (
        lambda: route("r", model(), reasoning_field="x"),
        "route `r`",
        "reasoning field",
    ),
    "fallbacks that are a text": (
        lambda: route("r", model(), fallbacks="fast"),
        "route `r`",
        "fallbacks",
    ),
    "a route without a target": (lambda: route("r"), "route `r`", "no usable target"),
    "a negative weight": (
        lambda: (route("r", model()), Target.objects.filter(route__name="r").update(weight=-1)),
        "target `r -> openai/gpt-5`",
        "weight",
    ),
    "routes of a key that are a number": (
        lambda: (store.create_key("k"), ApiKey.objects.update(routes=5)),
        "API key `k",
        "routes",
    ),
}


@pytest.mark.parametrize(("make", "row", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_is_omitted_with_a_warning(
    make: Callable[[], Any], row: str, reason: str
) -> None:
    good = provider("good", "groq")
    route("good", model("llama", good))
    make()
    test_snapshot = snapshot()
    assert any(w.row.startswith(row) and reason in w.reason for w in test_snapshot.warnings), (
        test_snapshot.warnings
    )
    assert "secret-word" not in str(test_snapshot.warnings)
    assert test_snapshot.routes["good"].targets[0].model.name == "llama"


def test_rows_that_depend_on_a_broken_row_are_named() -> None:
    broken_provider(preset="nope")
    bad = model("m", Provider.objects.get(name="bad"))
    row = route("r", bad)
    Alias.objects.create(pattern="x", route=row)
    rows = [warning.row for warning in snapshot().warnings]
    assert rows == [
        "provider `bad`",
        "model `bad/m`",
        "target `r -> bad/m`",
        "route `r`",
        "alias `x -> r`",
    ]


def test_a_row_of_a_file_is_named_with_its_line() -> None:
    broken_provider(preset="nope", source="file", source_ref="litellm.yaml:12")
    assert snapshot().warnings[0].row == "provider `bad` (litellm.yaml:12)"


def test_an_unknown_fallback_is_warned_of_and_dropped() -> None:
    model_row = model()
    route("a", model_row, fallbacks=["b", "nobody"])
    route("b", model_row)
    test_snapshot = snapshot()
    assert test_snapshot.routes["a"].fallbacks == ("b",)
    assert [w.reason for w in test_snapshot.warnings] == ["its fallback `nobody` is not a route"]


def test_a_route_may_have_only_fallbacks() -> None:
    route("a", fallbacks=["b"])
    route("b", model())
    assert snapshot().routes["a"].targets == ()


def test_a_missing_variable_is_warned_of_and_the_provider_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    provider("open", "openai", credential_env="NO_SUCH_KEY")
    test_snapshot = snapshot()
    assert not test_snapshot.providers["open"].credential
    assert "NO_SUCH_KEY is not set" in test_snapshot.warnings[0].reason


def test_a_variable_is_read_for_each_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    provider("p", "openai", credential_env="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "one")
    assert snapshot().providers["p"].credential.reveal() == "one"
    monkeypatch.setenv("SOME_KEY", "two")
    assert snapshot().providers["p"].credential.reveal() == "two"


def test_the_number_of_queries_does_not_grow_with_the_rows(
    django_assert_max_num_queries: Any,
) -> None:
    provider_row = provider()
    for n in range(20):
        route(f"route-{n}", model(f"m-{n}", provider_row))
    with django_assert_max_num_queries(16):
        assert len(snapshot().routes) == 20


def test_every_field_of_the_hot_paths_route_can_be_set() -> None:
    columns = {field.name for field in Route._meta.get_fields()}
    # Its limits are the columns of `gateway.models.limits`; only a name without a row has another.
    assert set(snapshot_fields()) <= columns | {"targets", "limits", "alternate_name"}


def snapshot_fields() -> tuple[str, ...]:
    from gateway.routing.snapshot import Route as Value

    return Value.__struct_fields__


def test_a_model_row_is_optional() -> None:
    provider("openai")
    assert Model.objects.count() == 0
    test_route = snapshot().route("openai/gpt-5")
    assert test_route is not None
    assert test_route.targets[0].model.price.input is not None


@pytest.mark.django_db(transaction=True)
def test_the_current_snapshot_is_loaded_only_after_a_change() -> None:
    row = provider("openai")
    first = store.current_snapshot()
    assert store.current_snapshot() is first
    row.name = "renamed"
    row.save()
    assert set(store.current_snapshot().providers) == {"renamed"}


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_takes_back_is_in_no_later_snapshot() -> None:
    store.current_snapshot()
    with transaction.atomic():
        provider("openai")
        assert set(store.current_snapshot().providers) == {"openai"}
        transaction.set_rollback(True)
    assert store.current_snapshot().providers == {}
    provider("other")
    assert set(store.current_snapshot().providers) == {"other"}
