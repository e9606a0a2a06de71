"""The first start and later ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from pytest_django import Settings

from gateway import demo, models, store
from gateway.compat.litellm import config as litellm_config
from gateway.management.commands.up import apply_litellm_file, configure, read
from gateway.management.start import bootstrap
from gateway.management.start.local_servers import LocalServerModels
from gateway.models import RowSource
from gateway.providers.catalog import PRESETS
from tests.litellm.make import KEYS, write_config

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    for preset in PRESETS.values():
        for name in preset.env:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where AWS's and Google's credentials are
    settings.DATA_DIR = tmp_path
    settings.MASTER_KEY = ""


def test_a_first_start_creates_demo_models_a_route_and_a_key() -> None:
    started = bootstrap.prepare(4000)
    snapshot = store.load_snapshot()
    assert snapshot.warnings == ()
    assert snapshot.routes["demo"].targets[0].model.label == "demo/demo"
    assert {f"demo/{name}" for name in demo.MODELS} == set(snapshot.models)
    assert started.first_key is not None
    assert store.digest(started.first_key) in snapshot.keys


def test_the_next_start_makes_nothing_new() -> None:
    bootstrap.prepare(4000)
    bootstrap.forget_first_key()
    version = store.current_version()
    second = bootstrap.prepare(4000)
    assert second.first_key is None
    assert store.current_version() == version


def test_a_first_key_is_shown_by_a_later_start_if_the_first_was_killed(tmp_path: Path) -> None:
    """Only its hash is in the database, so that otherwise nobody would ever know the key."""
    first_key = bootstrap.prepare(4000).first_key
    assert first_key is not None
    assert stat.S_IMODE((tmp_path / "first_key").stat().st_mode) == 0o600
    assert bootstrap.prepare(4000).first_key == first_key
    bootstrap.forget_first_key()
    assert not (tmp_path / "first_key").exists()


def test_deleted_rows_are_not_created_again() -> None:
    bootstrap.prepare(4000)
    models.Route.objects.get(name="demo").delete()
    bootstrap.prepare(4000)
    assert not models.Route.objects.filter(name="demo").exists()


def test_a_revoked_first_key_is_not_replaced() -> None:
    bootstrap.prepare(4000)
    models.ApiKey.objects.all().revoke()
    assert bootstrap.prepare(4000).first_key is None


def test_keys_of_the_environment_become_providers_that_store_only_a_variable_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AZURE_API_KEY", "no base URL is known for it")
    started = bootstrap.prepare(4000)
    row = models.Provider.objects.get(name="openai")
    assert (row.source, row.credential_env, row.credential) == (
        RowSource.ENVIRONMENT,
        "OPENAI_API_KEY",
        "",
    )
    assert started.environment_providers == ("openai (OPENAI_API_KEY)",)
    (note,) = started.notes
    assert "AZURE_API_BASE" in note


def test_a_base_url_that_is_set_later_reaches_the_provider_unless_it_was_edited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-secret")
    bootstrap.prepare(4000)
    models.Provider.objects.filter(name="mistral").update(source=RowSource.DATABASE)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://eu.example/v1/")
    monkeypatch.setenv("MISTRAL_BASE_URL", "https://eu.example/v1/")
    bootstrap.prepare(4000)
    configuration = dict(models.Provider.objects.values_list("name", "base_url"))
    assert (configuration["openai"], configuration["mistral"]) == ("https://eu.example/v1", "")


def test_models_of_a_local_server_follow_its_list(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """They can be called by their own name; a model that a route needs is not removed."""
    settings.FIND_LOCAL_SERVERS = True

    def offer(*names: str) -> None:
        server = LocalServerModels("ollama", "http://127.0.0.1:11434", names)
        monkeypatch.setattr(bootstrap, "find_local_servers", lambda port: [server])
        bootstrap.prepare(4000)

    offer("llama3:latest", "old", "routed")
    route = models.Route.objects.create(name="r")
    model = models.Model.objects.get(name="routed")
    models.Target.objects.create(route=route, model=model)
    offer("llama3:latest", "new")
    names = models.Model.objects.filter(provider__name="ollama").values_list("name", flat=True)
    assert sorted(names) == ["llama3:latest", "new", "routed"]
    configuration = store.load_snapshot().route("llama3")
    assert configuration is not None
    assert configuration.name == "ollama/llama3:latest"


def test_the_name_of_a_disabled_route_does_not_become_a_models_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    bootstrap.prepare(4000)
    openai = models.Provider.objects.get(name="openai")
    model = models.Model.objects.create(provider=openai, name="gpt-4.1")
    for name in ("gpt-4o", "switched"):
        route = models.Route.objects.create(name=name, enabled=False)
        models.Target.objects.create(route=route, model=model)
    models.Alias.objects.create(pattern="gpt-5*", route=route)
    snapshot = store.load_snapshot()
    assert snapshot.route("gpt-4.1") is not None
    for name in ("gpt-4o", "gpt-5", "gpt-5-mini"):
        assert snapshot.route(name) is None, name
        assert name not in snapshot.known_names


def test_the_setup_token_is_stored_as_a_hash_until_there_is_an_admin(tmp_path: Path) -> None:
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
    """Restore the variables that `configure` sets."""
    names = ("MASTER_KEY", "OPEN", "LOG_BODIES", "MAX_REQUESTS", "KNOWN_MODELS")
    names = (*names, "FIND_LOCAL_SERVERS")
    for name in (*(f"DRAGOMAN_{name}" for name in names), "FROM_FILE"):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    settings.OPEN = False
    settings.LOG_BODIES = True
    settings.MAX_REQUESTS = 0
    settings.KNOWN_MODELS = True
    settings.FIND_LOCAL_SERVERS = True


@pytest.mark.usefixtures("clean_environ")
def test_workers_read_the_settings_of_the_file_from_the_environment(
    tmp_path: Path, settings: Settings
) -> None:
    text = """
        environment_variables: {FROM_FILE: x}
        general_settings: {master_key: sk-1234, max_in_flight_requests_per_worker: 64}
        litellm_settings: {turn_off_message_logging: true}
    """
    configuration = litellm_config.read(write_config(tmp_path, text), KEYS)
    (warning,) = configure(configuration, "127.0.0.1")
    assert "easy to guess" in warning
    assert (settings.MASTER_KEY, settings.OPEN, settings.LOG_BODIES) == ("sk-1234", False, False)
    named = ("DRAGOMAN_MASTER_KEY", "DRAGOMAN_OPEN", "DRAGOMAN_LOG_BODIES", "FROM_FILE")
    assert [os.environ.get(name) for name in named] == ["sk-1234", "false", "false", "x"]
    assert (settings.MAX_REQUESTS, os.environ["DRAGOMAN_MAX_REQUESTS"]) == (64, "64")


@pytest.mark.usefixtures("clean_environ")
def test_the_environments_master_key_wins(tmp_path: Path, settings: Settings) -> None:
    settings.MASTER_KEY = "sk-environment-master-key"
    configuration = litellm_config.read(
        write_config(tmp_path, "general_settings: {master_key: sk-1234}"), KEYS
    )
    assert configure(configuration, "0.0.0.0") == []
    assert settings.MASTER_KEY == "sk-environment-master-key"


@pytest.mark.usefixtures("clean_environ")
def test_a_file_without_a_master_key_opens_loopback(tmp_path: Path, settings: Settings) -> None:
    configure(litellm_config.read(write_config(tmp_path, "model_list: []"), KEYS), "127.0.0.1")
    assert settings.OPEN
    assert (settings.KNOWN_MODELS, os.environ["DRAGOMAN_KNOWN_MODELS"]) == (False, "false")
    assert os.environ["DRAGOMAN_FIND_LOCAL_SERVERS"] == "false"
    assert os.environ["DRAGOMAN_OPEN"] == "true"


@pytest.mark.usefixtures("clean_environ")
@pytest.mark.parametrize("master_key", ["sk-file", ""])
def test_a_start_with_keys_says_that_they_reach_more_models_than_the_file_has(
    tmp_path: Path, master_key: str
) -> None:
    """In LiteLLM, a model that is not in the file does not exist."""
    text = "model_list: [{model_name: fast, litellm_params: {model: openai/gpt-4o}}]\n"
    text += f"general_settings: {{master_key: '{master_key}'}}\n"
    config = read(str(write_config(tmp_path, text)))
    assert config is not None
    configure(config, "127.0.0.1")
    notes = [note for note in apply_litellm_file(config) if "not in the file" in note]
    expected = (
        "litellm_config.yaml: keys may also call models that are not in the file, as "
        "provider/model; to restrict a key, set its models"
    )
    assert notes == ([expected] if master_key else [])


@pytest.mark.usefixtures("clean_environ")
def test_a_weak_master_key_on_a_public_address_ends_the_start(tmp_path: Path) -> None:
    configuration = litellm_config.read(
        write_config(tmp_path, "general_settings: {master_key: sk-1234}"), KEYS
    )
    with pytest.raises(CommandError, match="longer master_key") as error:
        configure(configuration, "0.0.0.0")
    assert error.value.returncode == 2


def test_a_mistake_in_the_file_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"litellm_config.yaml:1: model_list") as error:
        read(str(write_config(tmp_path, "model_list: 3")))
    assert error.value.returncode == 2
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


def test_routes_prints_the_source_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_demo()
    models.Provider.objects.create(name="broken", preset="gone")
    call_command("routes")
    output = capsys.readouterr()
    assert "demo/demo" in output.out
    assert "builtin" in output.out
    assert "warning: provider `broken`: the preset `gone` is not in the catalog" in output.err


def test_probe_calls_the_demo_provider(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_demo()
    call_command("probe")
    assert capsys.readouterr().out.startswith("ok      demo/demo  ")
    with pytest.raises(CommandError, match="some targets did not respond"):
        call_command("probe", "demo/demo-500")
    assert "had an error" in capsys.readouterr().out


def test_prunelogs_deletes_what_is_old(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.store.factories import make_record

    store.write([make_record("req_old", started_at=1_000_000_000.0)])
    call_command("prune_logs", "--days", "30")
    assert capsys.readouterr().out.strip() == "requests deleted: 1"
    with pytest.raises(CommandError, match="must not be negative"):
        call_command("prune_logs", "--days", "-1")


def test_a_database_of_litellm_is_refused_before_it_is_changed() -> None:
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE "LiteLLM_VerificationToken" (token text)')
    with pytest.raises(bootstrap.ForeignDatabase, match="database of its own"):
        bootstrap.prepare(4000)


@pytest.mark.usefixtures("clean_environ")
def test_the_redis_of_a_file_is_used_unless_the_environment_has_one(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "before")
    monkeypatch.delenv("REDIS_URL")
    text = """
        router_settings: {redis_host: cache.internal, redis_port: "6380", redis_password: p@ss}
        litellm_settings: {cache: true, cache_params: {type: redis, host: other}}
    """
    configuration = litellm_config.read(write_config(tmp_path, text), KEYS)
    assert any("its Redis is not used" in note for note in configuration.remarks)
    settings.REDIS_URL = ""
    configure(configuration, "127.0.0.1")
    assert settings.REDIS_URL == os.environ["REDIS_URL"] == "redis://:p%40ss@cache.internal:6380"
    settings.REDIS_URL = "redis://mine"
    configure(configuration, "127.0.0.1")
    assert settings.REDIS_URL == "redis://mine"
