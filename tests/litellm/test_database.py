"""Import of a LiteLLM database: keys stay valid, budgets continue, nothing is duplicated."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.compat.litellm.database import end_users
from gateway.compat.litellm.database.sealed_values import SaltKey, SealedError
from gateway.compat.litellm.database.source import SourceError, split_url
from gateway.models import (
    Alias,
    ApiKey,
    Provider,
    Registry,
    Route,
    RowSource,
    Setting,
    Team,
    UsageHour,
)
from gateway.routing.end_users import EndUser
from gateway.routing.limits import Budget
from gateway.routing.snapshot import ApiKey as Key
from gateway.store import usage
from gateway.store.options import set_options
from tests.litellm.proxy_database import (
    GCM_KEY,
    MASTER_KEY,
    PROVIDER_KEY,
    SALT_KEY,
    SEALED_BY_GCM,
    SEALED_KEY,
    SEALED_MODEL,
    hash_token,
    insert,
    insert_company,
    migrations,
    new_database,
)

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

Proxy = tuple[str, psycopg.Connection[Any]]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with new_database() as (url, connection):
        insert_company(connection, timezone.now())
        yield url, connection


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_SALT_KEY", SALT_KEY)
    monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER_KEY)


def import_database(url: str, *options: str) -> str:
    out = StringIO()
    call_command("import_litellm", url, *options, stdout=out)
    return out.getvalue()


def key_of(token: str) -> Key | None:
    return store.find_key(store.load_snapshot(), token)


def imported_key(token: str) -> Key:
    key = key_of(token)
    assert key is not None
    return key


def test_imported_keys_continue_to_work(proxy: Proxy) -> None:
    report = import_database(proxy[0])
    key = imported_key("sk-ci")
    assert (key.name, key.routes, key.tags) == ("ci", ("smart",), ("batch",))
    assert (key.budget.month_usd, key.limits.requests_per_minute) == (Decimal(20), 60)
    assert (key.limits.tokens_per_minute, key.limits.concurrency) == (5000, 3)
    assert key.expires_at == pytest.approx(timezone.now().timestamp() + 3 * 86_400, abs=60)
    # Its hash is no key, nor is another key accepted.
    assert key_of(hash_token("sk-ci")) is None
    assert key_of("sk-CI") is None
    assert [key_of(token) for token in ("sk-off", "sk-zero", "sk-t2", "sk-ui")] == [None] * 4
    assert key_of(MASTER_KEY) is None
    assert ApiKey.objects.filter(name__in=["off", "zero", "t2"], revoked_at=None).count() == 0
    assert "key zero: rpm_limit 0 rejects every request" in report
    assert "key ci: metadata.model_rpm_limit is not imported" in report


@pytest.mark.parametrize(
    ("allowed", "routes"),
    [
        (["management_routes"], ("no-default-models",)),
        (["info_routes"], ("no-default-models",)),
        (["llm_api_routes"], ()),
        (["info_routes", "openai_routes"], ()),
        (["/v1/chat/completions"], ()),
    ],
)
def test_a_key_for_management_may_use_no_model(
    proxy: Proxy, allowed: list[str], routes: tuple[str, ...]
) -> None:
    insert(
        proxy[1], "VerificationToken", token=hash_token("sk-m"), models=[], allowed_routes=allowed
    )
    report = import_database(proxy[0])
    assert imported_key("sk-m").routes == routes
    assert ("is a management key of LiteLLM: it cannot use any model" in report) == bool(routes)
    reported = "allowed_routes is not imported" in report
    assert reported == (not routes and allowed != ["llm_api_routes"])


def test_models_of_teams_and_users_and_aliases_apply(proxy: Proxy) -> None:
    report = import_database(proxy[0])
    assert imported_key("sk-old").routes == ("no-default-models",)  # bob may use `fast` only
    assert "key old: cannot use any model" in report
    assert Alias.objects.get(pattern="gpt-4").route.name == "smart"


def test_imported_teams_keep_their_budgets(proxy: Proxy) -> None:
    report = import_database(proxy[0])
    team = imported_key("sk-ci").team
    assert team is not None
    assert (team.name, team.budget.week_usd) == ("search", Decimal(50))
    assert team.limits.tokens_per_minute == 100_000
    assert team.parent is not None
    assert (team.parent.name, team.parent.budget.month_usd) == ("Acme", Decimal(1000))
    assert Team.objects.filter(name="search (t2-other)").exists()
    assert "team search: is named `search (t2-other)` here" in report
    # A user's budget is for the keys that are in no team.
    team_key = imported_key("sk-ann")
    assert team_key.team is not None
    assert (team_key.team.name, team_key.team.budget.month_usd) == ("user ann", Decimal(9))
    assert (team_key.limits.requests_per_minute, team_key.budget.total_usd) == (7, Decimal(2))


def test_end_users_keep_what_is_their_own(proxy: Proxy) -> None:
    set_options({"end_users": {"here": {"alias": "kept"}}})
    insert(proxy[1], "BudgetTable", budget_id="b0", rpm_limit=0)
    for end_user in (
        {"user_id": "seen"},
        {"user_id": "off", "alias": "Off", "blocked": True},
        {"user_id": "zero", "budget_id": "b0"},
        {"user_id": "here", "blocked": True},
        {"user_id": "x" * 129, "blocked": True},
    ):
        insert(proxy[1], "EndUserTable", **end_user)
    report = import_database(proxy[0])
    assert store.load_options().end_users == {
        "customer-1": EndUser(budget=Budget(month_usd=Decimal(1000))),
        "here": EndUser(alias="kept"),
        "off": EndUser(alias="Off", blocked=True),
        "zero": EndUser(blocked=True),
    }
    assert f"end user {'x' * 80}: skipped: a name has 1 to 128 characters" in report


def test_blocked_end_users_come_first_where_there_are_too_many(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_users, "MAX_END_USERS", 1)
    insert(proxy[1], "EndUserTable", user_id="z-off", blocked=True)
    report = import_database(proxy[0])
    assert list(store.load_options().end_users) == ["z-off"]
    assert "end user customer-1: skipped: at most 1 end users" in report


def test_end_users_of_a_file_stay_as_they_are(proxy: Proxy) -> None:
    Setting.objects.create(
        name="end_users", value={}, source=RowSource.FILE, source_ref="gateway.yaml:3"
    )
    report = import_database(proxy[0])
    assert not store.load_options().end_users
    assert "end users: skipped: gateway.yaml:3 sets end_users" in report


def test_spend_of_imported_keys_continues(proxy: Proxy) -> None:
    import_database(proxy[0])
    snapshot = store.load_snapshot()
    spent = {name: units for name, _, units in store.recorded_spend(snapshot)}
    ci, ann = imported_key("sk-ci"), imported_key("sk-ann")
    # LiteLLM's counter has half a dollar more than the days.
    assert spent[f"key:{ci.id}/usd/month"] == 3_500_000_000_0
    assert spent[f"key:{ann.id}/usd/total"] == 1_250_000_000_0
    totals = UsageHour.objects.filter(key_id=ci.id, route="smart").totals()
    assert (totals.requests, totals.errors, totals.prompt_tokens) == (10, 2, 200)
    assert UsageHour.objects.filter(key_id=0).totals().cost == Decimal(4)


@pytest.mark.parametrize(("resets_in_days", "is_reported"), [(3, True), (-3, False)])
def test_spend_of_a_teams_deleted_keys_is_reported(
    proxy: Proxy, resets_in_days: int, is_reported: bool
) -> None:
    proxy[1].execute(
        "UPDATE \"LiteLLM_TeamTable\" SET spend = 45, budget_reset_at = %s WHERE team_id = 't1'",
        [timezone.now().replace(tzinfo=None) + dt.timedelta(days=resets_in_days)],
    )
    report = import_database(proxy[0])
    why = "higher than the imported spend, because keys were deleted: its budget starts with"
    assert (why in report) == is_reported
    assert ("team search: its spend counter is 4" in report) == is_reported


def test_models_are_decrypted(proxy: Proxy) -> None:
    report = import_database(proxy[0])
    provider = Provider.objects.get(models__name="gpt-4o")
    assert (provider.preset, store.credential_of(provider)) == ("openai", PROVIDER_KEY)
    assert Route.objects.get(name="smart").targets.get().model.name == "gpt-4o"
    assert PROVIDER_KEY not in report
    assert SALT_KEY not in report


def test_a_second_import_changes_nothing(proxy: Proxy) -> None:
    import_database(proxy[0])
    version = Registry.objects.version()
    rows = list(UsageHour.objects.order_by("pk").values())
    second = import_database(proxy[0])
    assert Registry.objects.version() == version
    assert list(UsageHour.objects.order_by("pk").values()) == rows
    table = second.partition("\n\n")[0].splitlines()[1:]
    assert {line.split()[-3] for line in table} == {"0"}
    assert len(table) == 9


def test_a_second_import_adds_new_rows(proxy: Proxy) -> None:
    url, connection = proxy
    import_database(url)
    Team.objects.filter(name="search").update(name="finders")
    ApiKey.objects.filter(name="ci").update(limit_rpm=1)
    store.rotate_key(ApiKey.objects.get(name="ci"), grace=dt.timedelta(hours=1))
    insert(connection, "VerificationToken", token=hash_token("sk-new"), key_alias="ci", models=[])
    connection.execute('UPDATE "LiteLLM_DailyUserSpend" SET spend = 2.5 WHERE id = %s', ("d0",))
    connection.execute("UPDATE \"LiteLLM_VerificationToken\" SET spend = 4 WHERE key_alias = 'ci'")
    report = import_database(url)
    assert imported_key("sk-new").name.startswith("ci (litellm-")
    assert "is named `ci (litellm-" in report
    assert imported_key("sk-ci").limits.requests_per_minute == 1
    assert Team.objects.filter(name="search").count() == 0
    key = ApiKey.objects.get(name="ci")
    assert UsageHour.objects.filter(key_id=key.pk).totals().cost == Decimal(4)


def test_a_dry_run_imports_nothing(proxy: Proxy) -> None:
    report = import_database(proxy[0], "--dry-run")
    assert "nothing was imported" in report
    assert "team search: is named" in report
    counts = [table.objects.count() for table in (ApiKey, Team, Route, Provider, UsageHour)]
    assert counts == [0] * 5


@pytest.mark.parametrize(
    ("salt_key", "reason"),
    [("", "encrypted: set LITELLM_SALT_KEY"), ("wrong", "cannot be decrypted with this key")],
)
def test_without_the_salt_key_only_models_are_omitted(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, salt_key: str, reason: str
) -> None:
    monkeypatch.setenv("LITELLM_SALT_KEY", salt_key)
    monkeypatch.delenv("LITELLM_MASTER_KEY")
    report = import_database(proxy[0])
    assert f"model smart: skipped: {reason}" in report.replace("it cannot", "cannot")
    assert not Route.objects.exists()
    assert imported_key("sk-ci").routes == ("smart",)
    assert "key ci: the model smart does not exist here yet" in report


def test_rolled_up_hours_keep_imported_usage(proxy: Proxy) -> None:
    import_database(proxy[0])
    before = UsageHour.objects.totals()
    usage.rebuild()
    assert UsageHour.objects.totals() == before


def test_keys_are_found_by_their_hash(proxy: Proxy, settings: Any) -> None:
    settings.MASTER_KEY = "master-key-0123456789-abcdef"
    import_database(proxy[0])
    api = Client(headers={"authorization": f"Bearer {settings.MASTER_KEY}"})
    for name in ("sk-ci", hash_token("sk-ci")):
        info = api.get("/key/info", {"key": name}).json()["info"]
        assert (info["key_alias"], info["spend"], info["max_budget"]) == ("ci", 3.5, 20.0)
    key_client = Client(headers={"authorization": "Bearer sk-ci"}).get("/key/info")
    assert key_client.json()["info"]["key_alias"] == "ci"


def test_scripts_continue_to_work_with_litellm_ids(proxy: Proxy, settings: Any) -> None:
    settings.MASTER_KEY = "master-key-0123456789-abcdef"
    import_database(proxy[0])
    api = Client(headers={"authorization": f"Bearer {settings.MASTER_KEY}"})
    team = api.get("/team/info", {"team_id": "t1"}).json()
    assert (team["team_id"], team["team_info"]["team_alias"]) == ("t1", "search")
    user = api.get("/user/info", {"user_id": "ann"}).json()
    assert (user["user_info"]["max_budget"], len(user["keys"])) == (9.0, 2)
    body = {"team_id": "t1", "rpm_limit": 5}
    api.post("/team/update", body, content_type="application/json")
    api.post("/team/update", {**body, "team_alias": "seek"}, content_type="application/json")
    before = Team.objects.count()
    import_database(proxy[0])
    assert Team.objects.count() == before


def test_another_database_is_refused_without_its_password() -> None:
    with new_database("SELECT 1") as (url, _):
        with pytest.raises(CommandError, match="this is not the database of a LiteLLM proxy"):
            import_database(url)
        refused_url = url.replace("postgres@", "nobody:secret-word@")
        with pytest.raises(CommandError) as refusal:
            import_database(refused_url)
    assert "secret-word" not in str(refusal.value)
    with pytest.raises(CommandError, match="postgresql://USER"):
        import_database("mysql://root@127.0.0.1/litellm")


def test_parameters_of_prisma_are_omitted_from_the_url() -> None:
    url = "postgresql://u:p%40@h:5432/db?schema=llm&connection_limit=5&sslmode=require"
    assert split_url(url) == ("postgresql://u:p%40@h:5432/db?sslmode=require", "llm")
    with pytest.raises(SourceError):
        split_url("sqlite:///x")


def test_values_are_opened_as_litellm_seals_them() -> None:
    salt = SaltKey(SALT_KEY)
    assert salt.decrypt(SEALED_MODEL) == "openai/gpt-4o"
    assert salt.decrypt(SEALED_KEY) == PROVIDER_KEY
    assert salt.decrypt(SEALED_BY_GCM) == GCM_KEY
    for text in ("openai/gpt-4o", "os.environ/KEY", "", "us-east-1", "2024-06-01"):
        assert salt.decrypt(text) == text
    for sealed in (SEALED_MODEL, SEALED_BY_GCM):
        with pytest.raises(SealedError):
            SaltKey("other").decrypt(sealed)
        damaged = sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:]
        with pytest.raises(SealedError):
            salt.decrypt(damaged)


def test_decrypting_without_its_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_SALT_KEY", SALT_KEY)
    monkeypatch.setitem(sys.modules, "nacl", None)
    with pytest.raises(CommandError, match=r"pip install 'dragoman\[litellm\]'"):
        call_command("import_litellm", "postgres://localhost/llm")


def test_a_database_created_by_litellms_own_migrations() -> None:
    spec = importlib.util.find_spec("litellm_proxy_extras")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("litellm-proxy-extras is not installed; it is in the group `dev`")
    packages = Path(spec.submodule_search_locations[0]).parent
    with new_database(migrations(packages)) as (url, connection):
        insert_company(connection, timezone.now())
        report = import_database(url)
        assert imported_key("sk-ci").routes == ("smart",)
        assert imported_key("sk-ann").team is not None
        assert "cannot be read" not in report
        assert "existing" in import_database(url)
