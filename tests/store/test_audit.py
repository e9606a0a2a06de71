"""Every change of the registry is in the audit log, and no secret is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from console import accounts
from gateway import audit, store
from gateway.models import ApiKey, Change, Model, Provider, Route, Target, Team

pytestmark = pytest.mark.django_db


def changes() -> list[Change]:
    return list(Change.objects.order_by("pk"))


def create_provider(name: str = "one") -> Provider:
    return Provider.objects.create(name=name, preset="custom", base_url="http://127.0.0.1:9")


def test_a_creation_is_audited_completely_with_its_actor() -> None:
    with audit.acting_as("ana", "console"):
        create_provider()

    (change,) = changes()
    assert (change.actor, change.via, change.action) == ("ana", "console", "created")
    assert (change.kind, change.name, change.before) == ("provider", "one", None)
    assert change.after is not None
    assert change.after["base_url"] == "http://127.0.0.1:9"


def test_an_audit_entry_contains_only_changed_fields() -> None:
    row = create_provider()
    model = Model.objects.create(provider=row, name="m", price_input=Decimal("1.5"))
    Change.objects.all().delete()

    model.price_input = Decimal(2)
    model.save()

    (change,) = changes()
    assert (change.action, change.name) == ("changed", "one/m")
    assert (change.before, change.after) == ({"price_input": "1.5"}, {"price_input": "2"})


def test_an_unchanged_save_has_no_audit_entry() -> None:
    row = create_provider()
    row.save()

    assert len(changes()) == 1


def test_cascaded_deletions_are_audited_too() -> None:
    provider = create_provider()
    model = Model.objects.create(provider=provider, name="m")
    route = Route.objects.create(name="r")
    Target.objects.create(route=route, model=model)
    Change.objects.all().delete()

    provider.delete()

    assert {(change.action, change.kind) for change in changes()} == {
        ("deleted", "provider"),
        ("deleted", "model"),
        ("deleted", "target"),
    }
    (deletion,) = [change for change in changes() if change.kind == "provider"]
    assert deletion.after is None
    assert deletion.before is not None
    assert deletion.before["name"] == "one"


def test_changes_of_many_rows_at_once() -> None:
    Team.objects.bulk_create([Team(name="a"), Team(name="b")])
    Team.objects.filter(name__in=["a", "b"]).update(limit_rpm=5)
    Team.objects.filter(name="a").delete()

    assert [(change.action, change.name) for change in changes()] == [
        ("created", "a"),
        ("created", "b"),
        ("changed", "a"),
        ("changed", "b"),
        ("deleted", "a"),
    ]
    assert changes()[2].after == {"limit_rpm": 5}


def test_an_undone_change_leaves_no_edit() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        create_provider()
        raise RuntimeError

    assert changes() == []


def test_the_audit_log_contains_no_secret(dump: Callable[[], str]) -> None:
    row = create_provider()
    row.headers = {"x-key": "plain-header-secret", "x-ref": "os.environ/NAME"}
    store.set_credential(row, "sk-first-secret")
    row.save()
    sealed = row.credential
    store.set_credential(row, "sk-other-secret")
    row.save()
    key, plain = store.create_key("agent")

    text = "\n".join(f"{change.before} {change.after}" for change in changes())
    for secret in ("sk-first-secret", "sk-other-secret", sealed, "plain-header-secret", plain):
        assert secret not in text
    assert bytes(key.digest).hex() not in text
    assert "os.environ/NAME" in text
    last = Change.objects.filter(kind="provider").first()
    assert last is not None
    assert last.before != last.after
    assert set(last.after or {}) == {"credential"}


def test_the_actor_is_resolved_only_when_something_is_written() -> None:
    queries = []

    def who() -> str:
        queries.append(1)
        return "eva"

    with audit.acting_as(who, "api"):
        row = create_provider()
        row.save()

    assert len(queries) == 1
    assert changes()[0].actor == "eva"


def test_a_nested_actor_does_not_replace_the_outer_one() -> None:
    with audit.acting_as("ana", "console"), audit.acting_as("up", "start"):
        create_provider()
    create_provider("two")

    assert [(c.actor, c.via) for c in changes()] == [("ana", "console"), ("", "gateway")]


def test_changes_of_accounts_and_permissions_are_audited() -> None:
    ana = accounts.make_first_admin("ana", "a-long-password-1")
    viewer_user = accounts.create_account("bob", "a-long-password-2", role="viewer")
    accounts.set_role(viewer_user, role="viewer", bodies=True)
    accounts.set_password(viewer_user, "a-long-password-3")
    accounts.set_active(viewer_user, active=False)

    assert [(c.action, c.name) for c in changes()] == [
        ("created", ana.username),
        *[(action, "bob") for action in ("created", "changed", "changed", "changed")],
    ]
    assert changes()[2].after == {"bodies": True}
    assert "argon2" not in str([c.after for c in changes()])
    assert changes()[4].after == {"active": False}


def test_console_changes_are_attributed_to_the_signed_in_user(client: Client) -> None:
    ana = accounts.make_first_admin("ana", "a-long-password-1")
    client.force_login(ana)
    Change.objects.all().delete()

    client.post(reverse("key-add"), {"name": "agent", "scope": "all", "bodies": ""})

    assert ApiKey.objects.count() == 1
    assert [(c.actor, c.via, c.kind) for c in changes()] == [("ana", "console", "apikey")]
