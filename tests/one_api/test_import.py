"""Import of one-api and new-api databases: keys and quotas continue, nothing is duplicated."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway import store
from gateway.compat.one_api.channel_types import NEW_API, ONE_API, ChannelType, base_url_of
from gateway.models import ApiKey, Provider, Registry, Route, Team, UsageHour
from gateway.providers.catalog import PRESETS
from gateway.routing.limits import UNITS
from gateway.routing.snapshot import ApiKey as Key
from tests.each import each
from tests.litellm.proxy_database import new_database

pytestmark = pytest.mark.django_db

# The columns that the import reads, as gorm creates them.
USERS = """CREATE TABLE users (id integer PRIMARY KEY, username text, status integer,
  quota bigint, used_quota bigint, "group" text);
CREATE TABLE options ("key" text PRIMARY KEY, value text);"""
CHANNELS = """CREATE TABLE channels (id integer PRIMARY KEY, type integer, "key" text,
  status integer, name text, weight integer, base_url text, other text, models text, "group" text,
  model_mapping text, priority bigint, {more});"""
TOKENS = """CREATE TABLE tokens (id integer PRIMARY KEY, user_id integer, "key" text,
  status integer, name text, created_time bigint, accessed_time bigint, expired_time bigint,
  remain_quota bigint, unlimited_quota boolean, used_quota bigint, {more});"""
ONE = [USERS, CHANNELS.format(more="config text"), TOKENS.format(more="models text, subnet text")]
NEW = [
    USERS,
    CHANNELS.format(more="channel_info text, param_override text"),
    TOKENS.format(
        more='model_limits_enabled boolean, model_limits text, allow_ips text, "group" text, '
        "deleted_at timestamp"
    ),
]
CREATED = 1_700_000_000
KEY_1, KEY_2 = "a" * 48, "b" * 48


def insert(run: Any, mark: str, table: str, **values: Any) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    run(
        f"INSERT INTO {table} ({names}) VALUES ({', '.join([mark] * len(values))})",
        tuple(values.values()),
    )


def insert_rows(run: Any, mark: str, *, new_api: bool) -> None:
    """Insert three channels and four tokens of two users."""
    insert(run, mark, "users", id=1, username="root", status=1, quota=10**18, group="default")
    insert(run, mark, "users", id=2, username="ann", status=1, quota=1_000_000, group="vip")
    insert(run, mark, "users", id=3, username="out", status=2, quota=0, group="default")
    insert(run, mark, "options", key="GroupRatio", value=json.dumps({"default": 1, "vip": 0.5}))
    common = {"status": 1, "group": "default,vip"}
    insert(
        run,
        mark,
        "channels",
        id=1,
        type=1,
        key="sk-openai",
        name="OpenAI main",
        models="gpt-4o,gpt-4o-mini",
        base_url="",
        priority=10,
        weight=0,
        **common,
    )
    info = {"channel_info": json.dumps({"is_multi_key": True})} if new_api else {}
    insert(
        run,
        mark,
        "channels",
        id=2,
        type=8 if new_api else 50,
        key="sk-p1\nsk-p2" if new_api else "sk-p1",
        name="Proxy",
        models="gpt-4o",
        base_url="https://proxy.example.com",
        model_mapping=json.dumps({"gpt-4o": "openai/gpt-4o"}),
        priority=0,
        weight=4,
        **common,
        **info,
    )
    claude = {"type": 14, "key": "sk-ant", "name": "Claude", "models": "claude-sonnet-4-5"}
    insert(run, mark, "channels", id=3, status=1, group="vip", base_url=None, **claude)
    insert(run, mark, "channels", id=4, type=18, key="x", name="Spark", models="spark", **common)
    insert(run, mark, "channels", id=5, **{**common, "status": 3}, **claude)
    token = {"status": 1, "created_time": CREATED, "expired_time": -1, "unlimited_quota": False}
    model_fields = (
        {"model_limits_enabled": True, "model_limits": "gpt-4o", "allow_ips": "10.0.0.1"}
        if new_api
        else {"models": "gpt-4o", "subnet": "10.0.0.0/8"}
    )
    insert(
        run,
        mark,
        "tokens",
        id=1,
        user_id=2,
        key=KEY_1,
        name="app",
        remain_quota=500_000,
        used_quota=250_000,
        accessed_time=CREATED + 60,
        **token,
        **model_fields,
    )
    insert(
        run,
        mark,
        "tokens",
        id=2,
        user_id=1,
        key=KEY_2,
        name="app",
        remain_quota=0,
        used_quota=0,
        **{**token, "unlimited_quota": True, "expired_time": int(time.time()) + 86_400},
    )
    insert(run, mark, "tokens", id=3, user_id=2, key="c" * 48, **{**token, "status": 2})
    insert(run, mark, "tokens", id=4, user_id=3, key="d" * 48, **token)


def sqlite_file(folder: Path, *, new_api: bool) -> Path:
    path = folder / "one-api.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("\n".join(NEW if new_api else ONE))
        insert_rows(connection.execute, "?", new_api=new_api)
        connection.commit()
    return path


@pytest.fixture(params=["one-api", "new-api", "new-api on PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    new_api = request.param != "one-api"
    if "PostgreSQL" not in request.param:
        yield str(sqlite_file(tmp_path, new_api=new_api))
        return
    with new_database("\n".join(NEW)) as (url, connection):
        insert_rows(connection.execute, "%s", new_api=True)
        yield url


def import_database(database_url: str, *options: str) -> str:
    out = StringIO()
    call_command("import_one_api", database_url, *options, stdout=out)
    return out.getvalue()


def imported_key(secret: str) -> Key:
    key = store.find_key(store.load_snapshot(), secret)
    assert key is not None
    return key


def test_imported_keys_continue_to_work(database: str) -> None:
    report = import_database(database)
    key = imported_key(f"sk-{KEY_1}")
    assert (key.name, key.routes, key.budget.total_usd) == ("app", ("gpt-4o",), Decimal("1.5"))
    other = imported_key(f"sk-{KEY_2}")
    assert (other.name, other.budget.total_usd) == ("app (root 2)", None)
    assert other.expires_at == pytest.approx(timezone.now().timestamp() + 86_400, abs=60)
    # Its group has no channel of Claude.
    assert other.routes == ("gpt-4o", "gpt-4o-mini", "spark")
    assert {row.name for row in ApiKey.objects.exclude(revoked_at=None)} == {"token 3", "token 4"}
    assert "key app: its allowed addresses are not imported" in report
    for secret in (KEY_1, "sk-openai", "sk-ant", "sk-p1"):
        assert secret not in report


def test_channels_are_targets_by_priority_and_weight(database: str) -> None:
    report = import_database(database)
    targets = list(Route.objects.get(name="gpt-4o").targets.order_by("order", "pk"))
    first, *others = targets
    assert (first.order, first.weight, first.model.provider.preset) == (1, 1, "openai")
    assert store.credential_of(first.model.provider) == "sk-openai"
    keys = [store.credential_of(target.model.provider) for target in others]
    several = len(others) == 2
    assert keys == (["sk-p1", "sk-p2"] if several else ["sk-p1"])
    for target in others:
        assert (target.order, target.model.name) == (2, "openai/gpt-4o")
        assert target.weight == (2 if several else 4)
        assert target.model.provider.base_url == "https://proxy.example.com/v1"
    assert Provider.objects.get(preset="anthropic").models.get().name == "claude-sonnet-4-5"
    assert "channel Spark: skipped: its type 18 has no preset" in report
    assert "channel Claude: skipped: it is disabled" in report
    assert "group vip: set its ratio 0.5 as the markup of a team" in report


def test_used_quotas_become_recorded_spend(database: str) -> None:
    import_database(database)
    spent = {name: units for name, _, units in store.recorded_spend(store.load_snapshot())}
    key = imported_key(f"sk-{KEY_1}")
    assert spent[f"key:{key.id}/usd/total"] == UNITS // 2
    assert key.team is not None
    assert (key.team.name, key.team.budget.total_usd) == ("user ann", Decimal("2.5"))
    assert imported_key(f"sk-{KEY_2}").team is None  # a quota beyond any budget


def test_a_second_import_changes_nothing(database: str) -> None:
    import_database(database)
    Team.objects.filter(name="user ann").update(name="ann's")
    version = Registry.objects.version()
    counts = [t.objects.count() for t in (ApiKey, Team, Route, Provider, UsageHour)]
    import_database(database)
    assert Registry.objects.version() == version
    assert [t.objects.count() for t in (ApiKey, Team, Route, Provider, UsageHour)] == counts


def test_a_dry_run_imports_nothing(tmp_path: Path) -> None:
    report = import_database(str(sqlite_file(tmp_path, new_api=True)), "--dry-run")
    assert "nothing was imported" in report
    tables = (ApiKey, Team, Route, Provider, UsageHour)
    assert [table.objects.count() for table in tables] == [0] * 5


def test_an_unreadable_database_is_refused(tmp_path: Path) -> None:
    for name, content, reason in (
        ("none.db", None, "there is no file"),
        ("text.db", b"no database at all, but a long enough text", "cannot be read"),
        ("empty.db", b"", "no tables `channels` and `tokens`"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CommandError, match=reason):
            import_database(str(path))
    with pytest.raises(CommandError, match="only SQLite files"):
        import_database("mysql://root:word@127.0.0.1/oneapi")
    with pytest.raises(CommandError) as refusal:
        import_database("postgresql://nobody:secret-word@127.0.0.1:1/none")
    assert "secret-word" not in str(refusal.value)


@each("kinds", [ONE_API, NEW_API])
def test_every_type_has_a_preset_and_a_url(kinds: dict[int, ChannelType]) -> None:
    for kind in kinds.values():
        preset = PRESETS[kind.preset]
        base = base_url_of(kind, "")
        assert base or preset.base_url or not kind.host, kind


@each(
    ("number", "stated", "base"),
    [
        (1, "", "https://api.openai.com/v1"),
        (1, "https://proxy.example.com/", "https://proxy.example.com/v1"),
        (1, "https://proxy.example.com/v1", "https://proxy.example.com/v1"),
        (8, "https://proxy.example.com/v1/chat/completions", "https://proxy.example.com/v1"),
        (16, "", "https://open.bigmodel.cn/api/paas/v4"),
        (14, "https://claude.example.com", "https://claude.example.com"),
        (24, "", "https://generativelanguage.googleapis.com"),
        (40, "", "https://ark.cn-beijing.volces.com/api/v3"),
        (36, "", ""),
        (30, "http://10.0.0.5:11434", "http://10.0.0.5:11434"),
    ],
)
def test_a_channels_url_becomes_a_base_url(number: int, stated: str, base: str) -> None:
    assert base_url_of(ONE_API[number], stated) == base
