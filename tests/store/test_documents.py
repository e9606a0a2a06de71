"""Registry documents: what is read can be written, and errors name their field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db.models.signals import post_init

from gateway import store
from gateway.models import ApiKey, Model, Provider, Route, RouteVersion, RowSource, Target, Team
from gateway.routing.limits import Budget, Limits
from gateway.store.documents import KINDS, OwnedElsewhere, Refused, merge_patch

pytestmark = pytest.mark.django_db

PROVIDER = {"name": "one", "base_url": "http://127.0.0.1:9/v1", "credential": "sk-a-secret-of-one"}
OTHER = {**PROVIDER, "name": "other"}


def write(kind: str, document: dict[str, Any], row: Any = None) -> Any:
    return KINDS[kind].write(document, row)


def read_document(kind: str, name: str) -> dict[str, Any]:
    row = KINDS[kind].find(name)
    assert row is not None
    return KINDS[kind].read(row)


@pytest.fixture
def registry() -> None:
    write(
        "providers",
        {**PROVIDER, "headers": {"x-org": "secret-value"}, "limits": {"requests_per_minute": 9}},
    )
    write("models", {"name": "one/m", "prices": {"input": "1.25"}, "traits": {"images": False}})
    write(
        "routes",
        {
            "name": "r",
            "aliases": ["r-*"],
            "steps": [{"targets": [{"model": "one/m", "weight": 2}]}],
            "limits": {"tokens_per_day": 1000},
        },
    )
    write("teams", {"name": "crew", "budget": {"month_usd": "20.5"}})
    write("teams", {"name": "app", "parent": "crew"})
    write(
        "keys",
        {
            "name": "agent",
            "user": "mira",
            "routes": ["r"],
            "team": "crew",
            "expires_at": "2099-01-02T03:04:05Z",
        },
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("providers", "one"),
        ("models", "one/m"),
        ("routes", "r"),
        ("teams", "crew"),
        ("teams", "app"),
        ("keys", "agent"),
    ],
)
def test_a_document_round_trips(registry: None, kind: str, name: str) -> None:
    before = read_document(kind, name)
    write(kind, before, KINDS[kind].find(name))
    assert read_document(kind, name) == before


def test_a_written_registry_is_in_the_snapshot(registry: None) -> None:
    snapshot = store.load_snapshot()
    assert snapshot.warnings == ()
    route = snapshot.routes["r"]
    assert [(t.model.label, t.weight) for t in route.targets] == [("one/m", 2.0)]
    assert route.limits.tokens_per_day == 1000
    assert snapshot.providers["one"].credential.reveal() == "sk-a-secret-of-one"
    (key,) = snapshot.keys.values()
    assert key.team is not None
    assert (key.team.name, float(key.team.budget.month_usd or 0)) == ("crew", 20.5)


def test_no_secret_can_be_read(registry: None) -> None:
    response = read_document("providers", "one")
    assert response["credential"] == "***"
    assert response["headers"] == {"x-org": "***"}


def test_a_masked_value_keeps_the_stored_one(registry: None) -> None:
    row = Provider.objects.get()
    write("providers", merge_patch(read_document("providers", "one"), {"drop_params": True}), row)
    row.refresh_from_db()
    assert row.headers == {"x-org": "secret-value"}
    assert store.credential_of(row) == "sk-a-secret-of-one"
    assert row.drop_params is True


def test_a_stored_key_is_never_sent_to_another_server(registry: None) -> None:
    moved = merge_patch(read_document("providers", "one"), {"base_url": "http://127.0.0.1:10/v1"})
    with pytest.raises(Refused) as error:
        write("providers", moved, Provider.objects.get())
    assert error.value.field == "credential"
    assert Provider.objects.get().base_url == PROVIDER["base_url"]


@pytest.mark.parametrize("reference", ["$SOME_KEY", "os.environ/SOME_KEY"])
def test_a_credential_from_a_variable(reference: str) -> None:
    write("providers", {**PROVIDER, "credential": reference})
    assert read_document("providers", "one")["credential"] == "$SOME_KEY"
    assert Provider.objects.get().credential_env == "SOME_KEY"


@pytest.mark.parametrize(
    ("kind", "document", "field"),
    [
        ("providers", {}, ""),
        ("providers", {"name": "Big Name", "base_url": "http://x"}, "name"),
        ("providers", {"name": "x"}, "base_url"),
        ("providers", {"name": "x", "base_url": "ftp://x"}, "base_url"),
        ("providers", {"name": "x", "preset": "nobody"}, "preset"),
        ("providers", {**OTHER, "dialect": "klingon"}, "dialect"),
        ("providers", {**OTHER, "credential": "***"}, "credential"),
        ("providers", {**OTHER, "headers": {"x": "***"}}, "headers.x"),
        ("providers", {**OTHER, "base_uri": "x"}, "base_uri"),
        ("providers", {**OTHER, "limits": {"rpm": 4}}, "limits.rpm"),
        (
            "providers",
            {**OTHER, "limits": {"requests_per_minute": 0}},
            "limits.requests_per_minute",
        ),
        ("providers", {**OTHER, "enabled": "yes"}, "enabled"),
        ("models", {"name": "nobody/m"}, "name"),
        ("models", {"name": "m"}, "name"),
        ("models", {"name": "one/x", "prices": {"input": "-1"}}, "prices.input"),
        ("models", {"name": "one/x", "traits": {"nonsense": 1}}, "traits"),
        ("routes", {"name": ""}, "name"),
        (
            "routes",
            {"name": "x", "steps": [{"targets": [{"model": "one/none"}]}]},
            "steps[0].targets[0].model",
        ),
        ("routes", {"name": "x", "steps": [{"target": []}]}, "steps[0].target"),
        ("routes", {"name": "x", "fallbacks": ["nowhere"]}, "fallbacks"),
        ("teams", {"name": "x", "budget": {"soft_percent": 101}}, "budget.soft_percent"),
        ("teams", {"name": "x", "parent": "nobody"}, "parent"),
        ("teams", {"name": "x", "parent": "app"}, "parent"),
        ("keys", {"name": "x", "team": "nobody"}, "team"),
        ("keys", {"name": "x\0y"}, "name"),
        ("teams", {"name": "x\0y"}, "name"),
        ("models", {"name": "one/x", "traits": {"images": "a\0"}}, "traits.images"),
        ("providers", {**OTHER, "query": {"a\0b": "c"}}, "query"),
        (
            "providers",
            {**OTHER, "edits": [{"op": "set", "path": "a", "value": {"\0": 1}}]},
            "edits[0].value",
        ),
        ("keys", {"name": "x", "expires_at": "tomorrow"}, "expires_at"),
    ],
)
def test_an_invalid_document_is_named_and_nothing_is_written(
    registry: None, kind: str, document: dict[str, Any], field: str
) -> None:
    tables = (Provider, Model, Route, Target, Team, ApiKey, RouteVersion)
    before = [table.objects.count() for table in tables]
    with pytest.raises(Refused) as error:
        write(kind, document)
    assert error.value.field == field
    assert error.value.reason
    assert [table.objects.count() for table in tables] == before


def test_a_duplicate_name_is_refused(registry: None) -> None:
    for kind, document in (
        ("providers", PROVIDER),
        ("models", {"name": "one/m"}),
        ("routes", {"name": "r"}),
        ("teams", {"name": "crew"}),
    ):
        with pytest.raises(Refused):
            write(kind, document)


def test_a_row_of_a_file_is_not_changed_here(registry: None) -> None:
    Provider.objects.update(source=RowSource.FILE, source_ref="litellm.yaml:3")
    with pytest.raises(OwnedElsewhere, match=r"litellm\.yaml:3"):
        write("providers", {**PROVIDER, "enabled": False}, Provider.objects.get())


def test_each_write_of_a_route_is_a_version(registry: None) -> None:
    write("routes", merge_patch(read_document("routes", "r"), {"retries": 3}), Route.objects.get())
    assert [version.number for version in RouteVersion.objects.order_by("number")] == [1, 2]
    assert RouteVersion.objects.order_by("-number")[0].spec["retries"] == 3


def test_null_in_a_merge_patch_resets_a_field() -> None:
    merged = merge_patch(
        {"a": 1, "limits": {"x": 1, "y": 2}}, {"a": None, "limits": {"x": None, "z": 3}}
    )
    assert merged == {"limits": {"y": 2, "z": 3}}


ROUTE: dict[str, Any] = {
    "name": "r",
    "retry_before_fallback": True,
    "steps": [
        {
            "targets": [
                {
                    "model": "one/m",
                    "limits": {"requests_per_minute": 7, "concurrency": 2},
                    "budget": {"day_usd": "1.50", "soft_percent": 80},
                }
            ]
        }
    ],
    "key_limits": {"tokens_per_day": 100},
}


def test_limits_of_targets_keys_and_providers_are_written_and_read(registry: None) -> None:
    write("routes", ROUTE, KINDS["routes"].find("r"))
    write("providers", {**PROVIDER, "budget": {"month_usd": "9"}}, KINDS["providers"].find("one"))
    response = read_document("routes", "r")
    target = response["steps"][0]["targets"][0]
    assert (target["limits"]["concurrency"], target["budget"]["day_usd"]) == (2, "1.5")
    assert (response["retry_before_fallback"], response["key_limits"]["tokens_per_day"]) == (
        True,
        100,
    )
    assert read_document("providers", "one")["budget"]["month_usd"] == "9"
    live = store.load_snapshot().routes["r"]
    assert live.retry_before_fallback
    assert live.targets[0].limits == Limits(requests_per_minute=7, concurrency=2)
    assert live.targets[0].budget == Budget(day_usd=Decimal("1.5"), soft_percent=80)
    assert live.key_limits == Limits(tokens_per_day=100)
    assert live.targets[0].model.provider.budget == Budget(month_usd=Decimal(9))
    # What is not said any more is no limit any more.
    write("routes", {"name": "r", "steps": ROUTE["steps"][:0]}, KINDS["routes"].find("r"))
    assert read_document("routes", "r")["key_limits"]["tokens_per_day"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limits": {"requests_per_minute": 0}}, "requests_per_minute must be at least 1"),
        ({"budget": {"day_usd": "-1"}}, "day_usd must be US dollars from 0"),
        ({"budget": {"soft_percent": 101}}, "soft_percent must be a whole number from 1 to 100"),
    ],
)
def test_an_invalid_target_limit_is_refused(
    registry: None, change: dict[str, Any], message: str
) -> None:
    target = {"model": "one/m", **change}
    with pytest.raises(Refused, match=f"one/m: {message}"):
        write("routes", {"name": "r", "steps": [{"targets": [target]}]}, KINDS["routes"].find("r"))
    with pytest.raises(Refused, match="key_limits: concurrency must be at least 1"):
        write("routes", {**ROUTE, "key_limits": {"concurrency": 0}}, KINDS["routes"].find("r"))


def test_a_route_is_checked_without_reading_all_models(registry: None) -> None:
    provider = Provider.objects.get(name="one")
    Model.objects.bulk_create(Model(provider=provider, name=f"m{n}") for n in range(50))
    loaded: list[Model] = []

    def note(instance: Model, **_: Any) -> None:
        loaded.append(instance)

    post_init.connect(note, sender=Model)
    try:
        write(
            "routes",
            {"name": "s", "fallbacks": ["r"], "steps": [{"targets": [{"model": "one/m1"}]}]},
        )
    finally:
        post_init.disconnect(note, sender=Model)
    assert {model.name for model in loaded} <= {"m1"}
