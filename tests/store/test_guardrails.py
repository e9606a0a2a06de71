"""Guardrails as rows and documents: refused values, and broken rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection, models

from gateway import store
from gateway.models import ApiKey, Guardrail, Route, Team
from gateway.store.documents import KINDS, Refused
from gateway.store.snapshot_file import load_stored_snapshot, store_snapshot

pytestmark = pytest.mark.django_db
PII = {"pii": ["email"], "patterns": [{"name": "ticket", "pattern": "TCK-[0-9]{6}"}]}


def write(**fields: Any) -> Guardrail:
    row: Guardrail = KINDS["guardrails"].write({"name": "pii", "settings": PII, **fields}, None)
    return row


def test_a_guardrail_is_written_read_and_compiled() -> None:
    row = write(action="mask", check_responses=True, position=3)
    document = KINDS["guardrails"].read(row)
    assert document["settings"] == PII
    assert document["position"] == 3
    compiled = store.load_snapshot().guardrails["pii"]
    assert (compiled.kind, compiled.action, compiled.check_responses) == ("patterns", "mask", True)


def test_a_credential_is_sealed_and_hidden() -> None:
    settings = {"url": "https://guard.test"}
    row = write(kind="litellm", settings=settings, credential="guard-secret-value")
    with connection.cursor() as cursor:
        cursor.execute("SELECT credential FROM gateway_guardrail")
        assert "guard-secret" not in cursor.fetchone()[0]
    document = KINDS["guardrails"].read(row)
    assert document["credential"] == "***"
    second = KINDS["guardrails"].write(document, Guardrail.objects.get())
    assert second.credential == "guard-secret-value"
    assert store.load_snapshot().guardrails["pii"].credential.reveal() == "guard-secret-value"
    moved = {**document, "settings": {"url": "https://elsewhere.test"}}
    with pytest.raises(Refused, match="the URL has changed"):
        KINDS["guardrails"].write(moved, Guardrail.objects.get())


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"kind": "magic"}, "settings", "must be one of"),
        ({"settings": {}}, "settings", "choose a type"),
        ({"settings": {"pii": ["nose"]}}, "settings", "there is no `nose`"),
        ({"settings": {"patterns": [{"name": "x", "pattern": "("}]}}, "settings", "not a regular"),
        ({"settings": {"pii": ["email"], "color": 1}}, "settings", "color"),
        ({"check_requests": False}, "check_requests", "check requests, responses or both"),
        ({"action": "explode"}, "action", "explode"),
        ({"kind": "litellm", "settings": {"url": "ftp://x"}}, "settings", "http://"),
        (
            {"kind": "moderation", "action": "mask", "settings": {"provider": "openai"}},
            "action",
            "only decides",
        ),
        ({"timeout_s": 0.0}, "timeout_s", "greater than"),
        ({"credential": "os.environ/GUARD_TEST_MISSING"}, "credential", "is not set"),
    ],
)
def test_an_invalid_guardrail_is_refused(fields: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(Refused) as error:
        write(**fields)
    assert error.value.field == field
    assert reason in error.value.reason


def test_a_route_and_a_key_refer_to_existing_guardrails_only() -> None:
    write()
    route = Route.objects.create(name="r")
    for kind, row in (("routes", route), ("keys", None)):
        document = {"name": "r", "guardrails": ["gone"]}
        with pytest.raises(Refused, match="there is no guardrail `gone`"):
            KINDS[kind].write(document, row)
        saved = KINDS[kind].write({"name": "r", "guardrails": ["pii"]}, row)
        assert KINDS[kind].read(saved)["guardrails"] == ["pii"]
    with pytest.raises(models.ProtectedError):
        Guardrail.objects.get().delete()
    for users in (Route.objects.all(), ApiKey.objects.all()):
        users.update(guardrails=[])
    Guardrail.objects.get().delete()


def test_a_broken_row_becomes_a_guardrail_that_fails() -> None:
    write()
    Guardrail.objects.update(settings={"pii": ["nose"]})
    Guardrail.objects.create(name="off", settings=PII, enabled=False)
    snapshot = store.load_snapshot()
    assert "there is no `nose`" in snapshot.guardrails["pii"].fault
    assert any(warning.row == "guardrail `pii`" for warning in snapshot.warnings)
    assert snapshot.disabled_guardrails == {"off"}


def test_guardrails_are_in_the_stored_snapshot(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    write(kind="litellm", settings={"url": "https://guard.test"}, credential="guard-secret")
    snapshot = store.load_snapshot()
    store_snapshot(snapshot)
    stored, _ = load_stored_snapshot()
    assert stored.guardrails == snapshot.guardrails
    assert stored.guardrails["pii"].credential.reveal() == "guard-secret"


def test_guardrails_of_teams_are_those_of_their_keys() -> None:
    for name in ("pii", "secrets", "own"):
        write(name=name)
    KINDS["teams"].write({"name": "acme", "guardrails": ["pii"]}, None)
    project = {"name": "search", "parent": "acme", "guardrails": ["secrets", "pii"]}
    row = KINDS["teams"].write(project, None)
    assert KINDS["teams"].read(row)["guardrails"] == ["secrets", "pii"]
    for name, team in (("one", row), ("two", Team.objects.get(name="acme")), ("three", None)):
        store.create_key(name, team=team, guardrails=["own"])
    keys = {key.name: key.guardrails for key in store.load_snapshot().keys.values()}
    assert keys == {"one": ("own", "secrets", "pii"), "two": ("own", "pii"), "three": ("own",)}
    with pytest.raises(models.ProtectedError, match="routes, keys or teams"):
        Guardrail.objects.get(name="secrets").delete()


def test_a_team_names_guardrails_that_exist() -> None:
    with pytest.raises(Refused) as error:
        KINDS["teams"].write({"name": "acme", "guardrails": ["none"]}, None)
    assert error.value.field == "guardrails"
