"""The first start and those after it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import override_settings
from pytest_django import Settings

from gateway import demo, models, store
from gateway.compat.litellm import config as litellm_config
from gateway.management.commands.up import configure, read
from gateway.management.start import bootstrap
from gateway.models import Source
from gateway.providers.catalog import PRESETS
from tests.litellm.make import KEYS, written

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    for preset in PRESETS.values():
        for name in preset.env:
            monkeypatch.delenv(name, raising=False)
    settings.DATA_DIR = tmp_path
    settings.MASTER_KEY = ""


def test_a_first_start_makes_all_that_a_first_call_needs() -> None:
    started = bootstrap.prepare()
    snapshot = store.load_snapshot()
    assert snapshot.warnings == ()
    assert snapshot.routes["demo"].targets[0].model.label == "demo/demo"
    assert {f"demo/{name}" for name in demo.MODELS} == set(snapshot.models)
    assert started.first_key is not None
    assert store.digest(started.first_key) in snapshot.keys


def test_the_next_start_makes_nothing_new() -> None:
    bootstrap.prepare()
    version = store.current_version()
    again = bootstrap.prepare()
    assert again.first_key is None
    assert store.current_version() == version


def test_what_people_delete_does_not_come_back() -> None:
    bootstrap.prepare()
    models.Route.objects.get(name="demo").delete()
    bootstrap.prepare()
    assert not models.Route.objects.filter(name="demo").exists()


def test_a_revoked_first_key_is_not_replaced() -> None:
    bootstrap.prepare()
    models.ApiKey.objects.all().revoke()
    assert bootstrap.prepare().first_key is None


def test_keys_of_the_environment_become_providers_that_hold_a_name_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AZURE_API_KEY", "no base URL is known for it")
    started = bootstrap.prepare()
    row = models.Provider.objects.get(name="openai")
    assert (row.source, row.credential_env, row.credential) == (
        Source.ENVIRONMENT,
        "OPENAI_API_KEY",
        "",
    )
    assert started.environment_providers == ("openai (OPENAI_API_KEY)",)


def test_the_setup_token_is_kept_as_a_hash_until_there_is_an_admin(tmp_path: Path) -> None:
    token = bootstrap.setup_token()
    file = tmp_path / "setup_token"
    assert token is not None
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert bootstrap.setup_token() != token
    get_user_model().objects.create_superuser("root", password="x")
    assert bootstrap.setup_token() is None


def test_the_admin_key_is_named_only_where_no_master_key_is_set(tmp_path: Path) -> None:
    (tmp_path / "admin_key").write_text("x")
    assert bootstrap.admin_key_file() == str(tmp_path / "admin_key")
    with override_settings(MASTER_KEY="sk-other"):
        assert bootstrap.admin_key_file() is None


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """The variables `configure` sets, put back after the test."""
    own = ("MASTER_KEY", "OPEN", "LOG_BODIES", "MAX_REQUESTS")
    for name in (*(f"DRAGOMAN_{name}" for name in own), "FROM_FILE"):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    settings.OPEN = False
    settings.LOG_BODIES = True
    settings.MAX_REQUESTS = 0


@pytest.mark.usefixtures("clean_environ")
def test_workers_learn_from_the_environment_what_the_file_says(
    tmp_path: Path, settings: Settings
) -> None:
    text = """
        environment_variables: {FROM_FILE: x}
        general_settings: {master_key: sk-1234, max_in_flight_requests_per_worker: 64}
        litellm_settings: {turn_off_message_logging: true}
    """
    found = litellm_config.read(written(tmp_path, text), KEYS)
    (warning,) = configure(found, "127.0.0.1")
    assert "easy to guess" in warning
    assert (settings.MASTER_KEY, settings.OPEN, settings.LOG_BODIES) == ("sk-1234", False, False)
    named = ("DRAGOMAN_MASTER_KEY", "DRAGOMAN_OPEN", "DRAGOMAN_LOG_BODIES", "FROM_FILE")
    assert [os.environ.get(name) for name in named] == ["sk-1234", "false", "false", "x"]
    assert (settings.MAX_REQUESTS, os.environ["DRAGOMAN_MAX_REQUESTS"]) == (64, "64")


@pytest.mark.usefixtures("clean_environ")
def test_the_environments_master_key_wins(tmp_path: Path, settings: Settings) -> None:
    settings.MASTER_KEY = "sk-environment-master-key"
    found = litellm_config.read(written(tmp_path, "general_settings: {master_key: sk-1234}"), KEYS)
    assert configure(found, "0.0.0.0") == []
    assert settings.MASTER_KEY == "sk-environment-master-key"


@pytest.mark.usefixtures("clean_environ")
def test_a_file_without_a_master_key_opens_loopback(tmp_path: Path, settings: Settings) -> None:
    configure(litellm_config.read(written(tmp_path, "model_list: []"), KEYS), "127.0.0.1")
    assert settings.OPEN
    assert os.environ["DRAGOMAN_OPEN"] == "true"


@pytest.mark.usefixtures("clean_environ")
def test_a_weak_master_key_elsewhere_ends_the_start(tmp_path: Path) -> None:
    found = litellm_config.read(written(tmp_path, "general_settings: {master_key: sk-1234}"), KEYS)
    with pytest.raises(CommandError, match="longer master_key") as caught:
        configure(found, "0.0.0.0")
    assert caught.value.returncode == 2


def test_a_mistake_in_the_file_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"litellm_config.yaml:1: model_list") as caught:
        read(str(written(tmp_path, "model_list: 3")))
    assert caught.value.returncode == 2
    assert read(None) is None


def test_makekey_prints_a_key_that_works_once(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_demo()
    call_command("create_key", "ci", "--routes", "demo, gone", "--expires", "30d")
    output = capsys.readouterr()
    key = store.load_snapshot().keys[store.digest(output.out.strip())]
    assert (key.name, key.routes) == ("ci", ("demo", "gone"))
    assert key.expires_at is not None
    assert output.err.strip() == "warning: there is no route `gone` yet"


@pytest.mark.parametrize("name", ["", " ", "x" * 201])
def test_a_key_needs_a_name(name: str) -> None:
    with pytest.raises(CommandError, match="1 to 200 characters"):
        call_command("create_key", name)


def test_routes_says_where_they_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_demo()
    models.Provider.objects.create(name="broken", preset="gone")
    call_command("routes")
    output = capsys.readouterr()
    assert "demo/demo" in output.out
    assert "builtin" in output.out
    assert "warning: provider `broken`: the preset `gone` is not in the catalogue" in output.err


def test_probe_calls_the_demo_provider(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_demo()
    call_command("probe")
    assert capsys.readouterr().out.startswith("ok      demo/demo  ")
    with pytest.raises(CommandError, match="not every target answered"):
        call_command("probe", "demo/demo-500")
    assert "had an error" in capsys.readouterr().out


def test_prunelogs_deletes_what_is_old(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.store.factories import entry

    store.write([entry("req_old", started_at=1_000_000_000.0)])
    call_command("prune_logs", "--days", "30")
    assert capsys.readouterr().out.strip() == "requests deleted: 1"
    with pytest.raises(CommandError, match="must not be negative"):
        call_command("prune_logs", "--days", "-1")
