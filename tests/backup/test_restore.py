"""Backup during traffic, and restore into an empty installation: keys and credentials work."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest
from django.conf import settings

from gateway.backup import archive, secrets
from gateway.backup import run as backup_run
from gateway.config import environment
from tests.e2e.nodes import new_database
from tests.e2e.test_up import ROOT, UpProcess, environ, failed_start, running_up
from tests.fakes import StrictOpenAI

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a management command; assert that it prints no traceback."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environ(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def succeeds(*arguments: str, **environment: str) -> str:
    done = run(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def failed_output(*arguments: str, **environment: str) -> str:
    done = run(*arguments, **environment)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def upstream() -> Iterator[StrictOpenAI]:
    """A provider that refuses every other credential."""
    with StrictOpenAI() as server:
        yield server


def add_provider(gateway: UpProcess, data: Path, upstream: StrictOpenAI) -> None:
    admin = {"authorization": f"Bearer {(data / 'admin_key').read_text()}"}
    body = {"name": "vendor", "preset": "openai", "credential": upstream.key}
    body["base_url"] = f"{upstream.url}/v1"
    httpx.post(f"{gateway.base}/api/providers", json=body, headers=admin).raise_for_status()


def key_and_provider_work(gateway: UpProcess, key: str | None, upstream: StrictOpenAI) -> bool:
    """Return whether the key is accepted and the provider accepts the stored credential."""
    response = gateway.chat(key, model=f"vendor/{upstream.models[0]}")
    return response.status_code == 200


@contextlib.contextmanager
def background_requests(gateway: UpProcess, key: str) -> Iterator[list[int]]:
    """Send requests sequentially until the block ends; yield the list of status codes."""
    codes: list[int] = []
    finished = threading.Event()

    def send() -> None:
        while not finished.is_set():
            codes.append(gateway.chat(key).status_code)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield codes
    finally:
        finished.set()
        sender.join()


@pytest.fixture(scope="module")
def backup(
    tmp_path_factory: pytest.TempPathFactory, upstream: StrictOpenAI
) -> tuple[Path, Path, str]:
    """Create a backup of a gateway during traffic; yield it, its data directory and a key."""
    directory = tmp_path_factory.mktemp("backup")
    data, file = directory / "data", directory / "dragoman.backup"
    with running_up(data, DRAGOMAN_LOG_RETENTION_DAYS="7") as gateway:
        key = gateway.key
        assert key
        add_provider(gateway, data, upstream)
        with background_requests(gateway, key) as codes:
            succeeds("backup", str(file), "--data-dir", str(data), DRAGOMAN_LOG_RETENTION_DAYS="7")
        assert set(codes) == {200}
        assert gateway.end() == 0
    return file, data, key


def test_a_backup_is_private_and_never_overwrites(backup: tuple[Path, Path, str]) -> None:
    file, data, _ = backup
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "exists" in failed_output("backup", str(file), "--data-dir", str(data))
    assert [path.name for path in data.glob(f"{backup_run.PREFIX}*")] == []


def test_keys_and_credentials_work_after_a_restore(
    backup: tuple[Path, Path, str], upstream: StrictOpenAI, tmp_path: Path
) -> None:
    file, _, key = backup
    data = tmp_path / "data"
    restore = ("restore", str(file), "--data-dir", str(data))
    assert "settings of the backup that differ here" in succeeds(*restore)
    assert (data / "restored.env").read_text() == "DRAGOMAN_LOG_RETENTION_DAYS=7\n"
    with running_up(data) as gateway:
        assert key_and_provider_work(gateway, key, upstream)
        assert "not empty" in failed_output(*restore)
        assert "stop it first" in failed_output(*restore, "--force")
        assert key_and_provider_work(gateway, key, upstream)


def test_an_older_program_refuses_a_newer_database(
    backup: tuple[Path, Path, str], tmp_path: Path
) -> None:
    file, original, _ = backup
    data, newer = tmp_path / "data", tmp_path / "newer"
    shutil.copytree(original, data)
    with contextlib.closing(sqlite3.connect(data / "dragoman.sqlite3")) as database:
        values = "('gateway', '0042_of_the_future', '2030-01-01')"
        database.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {values}")
        database.execute("UPDATE gateway_registry SET program_version = '9.9.9'")
        database.commit()
    status, printed = failed_start(data)
    assert status == 2
    assert f"this program is Dragoman {settings.PROGRAM_VERSION}" in printed
    assert "migrated by Dragoman 9.9.9: gateway.0042_of_the_future" in printed
    with newer.open("wb") as output:
        command = [sys.executable, "manage.py", "backup", "-", "--data-dir", str(data)]
        subprocess.run(command, cwd=ROOT, env=environ(), stdout=output, check=True, timeout=90)
    error = failed_output("restore", str(newer), "--data-dir", str(tmp_path / "other"))
    assert "does not know gateway.0042_of_the_future" in error
    succeeds("restore", str(file), "--data-dir", str(data), "--force")
    with contextlib.closing(sqlite3.connect(data / "dragoman.sqlite3")) as database:
        (count,) = database.execute(
            "SELECT count(*) FROM django_migrations WHERE name = '0042_of_the_future'"
        ).fetchone()
    assert count == 0


def test_a_damaged_backup_changes_nothing(backup: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, original, _ = backup
    damaged, data = tmp_path / "damaged", tmp_path / "data"
    shutil.copytree(original, data)
    damaged.write_bytes(file.read_bytes()[:-2000])
    before = {path: path.read_bytes() for path in data.iterdir() if path.is_file()}
    assert "damaged" in failed_output("restore", str(damaged), "--data-dir", str(data), "--force")
    assert {path: path.read_bytes() for path in data.iterdir() if path.is_file()} == before


NODE_SECRETS = secrets.Secrets(
    secret_key="new", encryption_keys=["a", "b"], admin_key="new", environment={}
)


@pytest.mark.parametrize("name", ["DRAGOMAN_SECRET_KEY", "DRAGOMAN_ENCRYPTION_KEYS"])
def test_an_environment_with_other_secrets_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.check_environment(NODE_SECRETS)
    monkeypatch.setenv(name, "another")
    with pytest.raises(secrets.SecretsDiffer, match=name):
        secrets.check_environment(NODE_SECRETS)


def test_the_old_secrets_return_if_the_database_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    (tmp_path / "secret_key").write_text("old")
    with pytest.raises(OSError, match="no space"), secrets.replaced_files(NODE_SECRETS):
        assert (tmp_path / "encryption_key").read_text() == "a,b"
        raise OSError("no space")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"secret_key": "old"}


def test_the_old_secrets_return_after_a_killed_and_a_failed_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    (tmp_path / "secret_key").write_text("old")
    killed_restore = secrets.replaced_files(NODE_SECRETS)
    killed_restore.__enter__()
    with pytest.raises(OSError, match="no space"), secrets.replaced_files(NODE_SECRETS):
        raise OSError("no space")
    assert (tmp_path / "secret_key").read_text() == "old"


def test_a_backup_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files contain the database and all secrets, and nothing else would remove them."""
    data, target = tmp_path / "data", tmp_path / "target"
    for folder in (data / f"{backup_run.PREFIX}killed", target):
        folder.mkdir(parents=True)
    (data / f"{backup_run.PREFIX}killed" / "database.sqlite3").touch()
    (target / f"{backup_run.PREFIX}killed").touch()
    monkeypatch.setattr(settings, "DATA_DIR", data)
    monkeypatch.setattr(backup_run.sqlite, "dump", lambda _: [])
    monkeypatch.setattr(backup_run.secrets, "dump", lambda _: None)

    def pack_beside_another(*_: object) -> None:
        """Make another backup at the same time, which removes nothing that is in use."""
        monkeypatch.setattr(backup_run.archive, "pack", lambda *_: None)
        backup_run.write_file(target / "second.backup")

    monkeypatch.setattr(backup_run.archive, "pack", pack_beside_another)
    backup_run.write_file(target / "first.backup")
    assert [*data.iterdir()] == []
    assert {path.name for path in target.iterdir()} == {"first.backup", "second.backup"}


def test_no_setting_of_a_backup_sets_another_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    values = {
        "DRAGOMAN_A": "plain value",
        "DRAGOMAN_B": "two\nLD_PRELOAD=lines",
        "DRAGOMAN_C": "a\u2028LD_PRELOAD=line",
        "DRAGOMAN_D": 'with "quotes" # and \\',
    }
    hostile = {**values, "LD_PRELOAD": "x.so", "DRAGOMAN_E\nLD_PRELOAD": "x.so"}
    node_secrets = msgspec.structs.replace(NODE_SECRETS, environment=hostile)
    assert secrets.restore_environment(node_secrets) == sorted(values)
    for name in values:
        monkeypatch.delenv(name, raising=False)
    environment.load_env_file(tmp_path / secrets.RESTORED_ENVIRONMENT)
    restored = {name: os.environ.pop(name) for name in values}
    assert restored == {**values, "DRAGOMAN_C": "a\nLD_PRELOAD=line"}
    assert "LD_PRELOAD" not in os.environ


def test_a_backup_without_encryption_keys_is_damaged(tmp_path: Path) -> None:
    node_secrets = msgspec.structs.replace(NODE_SECRETS, encryption_keys=[])
    (tmp_path / secrets.NAME).write_bytes(msgspec.json.encode(node_secrets))
    with pytest.raises(msgspec.ValidationError):
        secrets.read(tmp_path)


def repack(file: Path, changed: Path, database: bytes | None) -> None:
    """Write a copy of a backup with another database, and a manifest that fits it."""
    directory = changed.with_suffix(".members")
    directory.mkdir()
    with file.open("rb") as source:
        manifest = archive.unpack(source, directory, None)
    (directory / "database.sqlite3").unlink()
    if database is not None:
        (directory / "database.sqlite3").write_bytes(database)
    kept = {name: directory / name for name in manifest.members if (directory / name).exists()}
    measured = {name: archive.measure(path) for name, path in kept.items()}
    with changed.open("wb") as target:
        archive.pack(target, directory, msgspec.structs.replace(manifest, members=measured), None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "database.sqlite3 is missing"),
        (b"no database" * 1000, "database of the backup is damaged"),
        (b"", "database of the backup is damaged"),
    ],
)
def test_no_database_is_replaced_by_what_is_none(
    backup: tuple[Path, Path, str], tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file, original, _ = backup
    data, changed = tmp_path / "data", tmp_path / "changed"
    shutil.copytree(original, data)
    repack(file, changed, database=content)
    before = {path: path.read_bytes() for path in data.iterdir() if path.is_file()}
    assert reason in failed_output("restore", str(changed), "--data-dir", str(data), "--force")
    assert {path: path.read_bytes() for path in data.iterdir() if path.is_file()} == before


@pytest.mark.postgres
@pytest.mark.wide(every=0)
def test_postgresql_is_restored_under_a_passphrase(tmp_path: Path, upstream: StrictOpenAI) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    file, data, other = tmp_path / "backup", tmp_path / "data", tmp_path / "other"
    options = ("--passphrase-file", str(passphrase))
    with new_database() as url, new_database() as empty:
        with running_up(data, DATABASE_URL=url) as gateway:
            key = gateway.key
            assert key
            add_provider(gateway, data, upstream)
            with background_requests(gateway, key) as codes:
                succeeds("backup", str(file), "--data-dir", str(data), *options, DATABASE_URL=url)
            assert set(codes) == {200}
            gateway.end()
        restore = ("restore", str(file), "--data-dir", str(other), *options)
        assert "is of postgresql" in failed_output(*restore)
        succeeds(*restore, DATABASE_URL=empty)
        # A table of a newer version, which refers to one of ours, is in the way.
        with psycopg.connect(empty, autocommit=True) as database:
            database.execute("CREATE TABLE gateway_newer (r bigint REFERENCES gateway_route (id))")
        succeeds(*restore, "--force", DATABASE_URL=empty)
        with psycopg.connect(empty) as database:
            assert database.execute("SELECT to_regclass('gateway_newer')").fetchone() == (None,)
        with running_up(other, DATABASE_URL=empty) as gateway:
            assert key_and_provider_work(gateway, key, upstream)
        # Sequences go on after the restored rows.
        node = {"DRAGOMAN_DATA_DIR": str(other), "DATABASE_URL": empty}
        assert "sk-dgm-" in succeeds("create_key", "another", **node)
