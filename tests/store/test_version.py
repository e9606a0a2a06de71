"""Every change of the registry updates its version, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from gateway import store
from gateway.models import Alias, ApiKey, Model, Provider, Registry, Route, Target
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db

CHANGES: dict[str, Callable[[], Any]] = {
    "a new row": lambda: Route.objects.create(name="new"),
    "a saved row": lambda: Route.objects.get(name="fast").save(),
    "one saved field": lambda: Route.objects.get(name="fast").save(update_fields=["strict"]),
    "a deleted row": lambda: Route.objects.get(name="fast").delete(),
    "rows updated at once": lambda: Model.objects.update(enabled=False),
    "rows deleted at once": lambda: Target.objects.all().delete(),
    "rows deleted with their base": lambda: Provider.objects.get().delete(),
    "rows made at once": lambda: Route.objects.bulk_create([Route(name="a"), Route(name="b")]),
    "rows changed at once": lambda: Route.objects.bulk_update(Route.objects.all(), ["strict"]),
    "get_or_create": lambda: Alias.objects.get_or_create(pattern="x-*", route=Route.objects.get()),
    "through a relation": lambda: Route.objects.get().targets.all().delete(),
    "a key made": lambda: store.create_key("new"),
    "a key revoked": lambda: ApiKey.objects.revoke(),
    "a credential": lambda: store.set_credential(Provider.objects.get(), "secret-credential"),
    "bump": store.bump_version,
}


@pytest.fixture
def registry() -> None:
    route("fast", model(provided_by=provider()))
    store.create_key("a key")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_the_version(change: Callable[[], Any]) -> None:
    before = store.current_version()
    change()
    assert store.current_version() > before
    assert store.load_snapshot().version == store.current_version()


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    "nothing",
    [
        lambda: Route.objects.filter(name="nobody").update(strict=True),
        lambda: Route.objects.filter(name="nobody").delete(),
        lambda: list(Route.objects.all()),
        store.load_snapshot,
    ],
    ids=["update of no row", "delete of no row", "a look", "a snapshot"],
)
def test_an_unchanged_save_keeps_the_version(nothing: Callable[[], Any]) -> None:
    before = store.current_version()
    nothing()
    assert store.current_version() == before


@pytest.mark.usefixtures("registry")
def test_a_change_that_is_rolled_back_was_none() -> None:
    before = store.current_version()

    def change_and_fail() -> None:
        with transaction.atomic():
            Route.objects.create(name="new")
            raise LookupError

    with pytest.raises(LookupError):
        change_and_fail()
    assert store.current_version() == before


def test_a_new_database_has_version_zero_and_counts_from_there() -> None:
    assert store.current_version() == 0
    store.bump_version()
    assert store.current_version() == 1
    assert Registry.objects.count() == 1


def test_a_restored_dump_has_another_version(tmp_path: Path) -> None:
    """`loaddata` bypasses saves; the version comes from the dump."""
    route("fast")
    file = tmp_path / "registry.json"
    call_command("dumpdata", "gateway", output=str(file), verbosity=0)
    route("another")
    before = store.current_version()
    call_command("loaddata", str(file), verbosity=0)
    assert store.current_version() != before
