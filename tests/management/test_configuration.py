"""Configuration as code: export and apply, accurate dry runs, and ownership of fields."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from gateway import store
from gateway.models import ApiKey, Change, Model, Provider, Route, RowSource, Setting, Team

pytestmark = pytest.mark.django_db

FILE = """\
dragoman: 1
providers:
  - name: one
    base_url: http://127.0.0.1:9/v1
    credential: $ONE_KEY
    headers: {x-org: os.environ/ORG}
models:
  - name: one/m
    prices: {input: "1.25"}
routes:
  - name: r
    aliases: [r-*]
    retries: 3
    steps:
      - targets:
          - {model: one/m, weight: 2}
    limits: {requests_per_minute: 60}
teams:
  - name: crew
    budget: {month_usd: "20"}
keys:
  - name: agent
    team: crew
    routes: [r]
settings:
  row_days: 12
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORG", "an-organisation")
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE)
    return path


def command_output(*args: str, **options: object) -> str:
    out = StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue()


def apply_file(path: Path, **options: object) -> list[str]:
    return command_output("apply", str(path), **options).splitlines()


def export_configuration() -> dict:
    document = yaml.safe_load(command_output("export"))
    assert isinstance(document, dict)
    return document


def test_a_file_becomes_the_registry_in_use(file: Path) -> None:
    lines = apply_file(file)

    assert lines[:6] == [
        "+ provider one",
        "+ model one/m",
        "+ route r",
        "+ team crew",
        "+ API key agent",
        "~ setting row_days: value: 30 -> 12",
    ]
    plain = re.fullmatch(r"key of agent, shown once: (sk-dgm-\w+)", lines[6])
    assert plain is not None
    snapshot = store.load_snapshot()
    assert snapshot.keys[store.digest(plain[1])].team is not None
    assert snapshot.routes["r"].retries == 3
    assert snapshot.routes["r"].limits.requests_per_minute == 60
    assert store.load_options().row_days == 12


def test_applying_a_configuration_twice_changes_nothing(file: Path) -> None:
    apply_file(file)
    changes = Change.objects.count()
    assert apply_file(file) == ["no changes"]
    assert Change.objects.count() == changes
    assert ApiKey.objects.count() == 1


def test_a_dry_run_lists_all_changes_and_writes_nothing(file: Path) -> None:
    dry = apply_file(file, dry_run=True)
    assert dry[0] == "+ provider one"
    assert not any("sk-dgm-" in line for line in dry)
    for table in (Provider, Model, Team, ApiKey, Setting, Change):
        assert table.objects.count() == 0
    assert apply_file(file)[: len(dry)] == dry


def test_a_change_is_listed_field_by_field(file: Path) -> None:
    apply_file(file)
    file.write_text(FILE.replace("retries: 3", "retries: 1").replace('input: "1.25"', 'input: "2"'))
    expected = [
        '~ model one/m: prices.input: "1.25" -> "2"',
        "~ route r: retries: 3 -> 1",
    ]
    assert apply_file(file, dry_run=True) == expected
    assert apply_file(file) == expected


def test_entries_removed_from_the_file_are_deleted(file: Path) -> None:
    apply_file(file)
    document = yaml.safe_load(FILE)
    del document["routes"], document["keys"]
    file.write_text(yaml.safe_dump(document))
    assert apply_file(file) == ["- API key agent", "- route r"]
    assert not Route.objects.exists()
    assert Provider.objects.exists()


def test_rows_of_others_are_not_changed_without_take(file: Path) -> None:
    Provider.objects.create(name="mine", preset="custom", base_url="http://127.0.0.1:8")
    Provider.objects.create(name="one", preset="custom", base_url="http://127.0.0.1:7")
    with pytest.raises(CommandError, match=r"gateway\.yaml:3: providers\[0\].*--take"):
        apply_file(file)
    assert Provider.objects.get(name="one").base_url == "http://127.0.0.1:7"
    assert not Model.objects.exists()

    lines = apply_file(file, take=True)
    assert '~ provider one: base_url: "http://127.0.0.1:7" -> "http://127.0.0.1:9/v1"' in lines
    assert Provider.objects.get(name="one").source == RowSource.CODE
    assert Provider.objects.get(name="mine").source == RowSource.DATABASE


def test_two_configuration_files_do_not_change_each_others_rows(file: Path, tmp_path: Path) -> None:
    apply_file(file)
    other = tmp_path / "other.yaml"
    other.write_text("dragoman: 1\nteams:\n  - name: crew\n")
    with pytest.raises(
        CommandError, match=r"managed by the configuration file \(gateway\.yaml:19\)"
    ):
        apply_file(other)
    other.write_text("dragoman: 1\nteams:\n  - name: other\n")
    assert apply_file(other) == ["+ team other"]
    assert apply_file(file) == ["no changes"]


def test_a_dash_exports_to_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = [StringIO(), StringIO()]
    call_command("export", stdout=outputs[0])
    call_command("export", "-", stdout=outputs[1])
    assert outputs[1].getvalue() == outputs[0].getvalue() != ""
    assert not list(tmp_path.iterdir())


def test_what_is_exported_applies_to_an_empty_database(file: Path, tmp_path: Path) -> None:
    apply_file(file)
    first = export_configuration()
    for table in (Route, Model, Provider, ApiKey, Team, Setting):
        table.objects.all().delete()
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(first))
    apply_file(copy)

    second = export_configuration()
    for result in (first, second):
        for key in result["keys"]:
            del key["prefix"]
        result.pop("settings", None)
    assert second == first


def test_what_is_exported_applies_to_the_same_database_as_no_change(
    file: Path, tmp_path: Path
) -> None:
    apply_file(file)
    provider = Provider.objects.get()
    store.set_credential(provider, "sk-a-stored-secret-value")
    text = command_output("export")
    assert "sk-a-stored" not in text
    assert "***" in text
    copy = tmp_path / "gateway.yaml"
    copy.write_text(text)
    assert apply_file(copy) == ["no changes"]
    assert store.credential_of(Provider.objects.get()) == "sk-a-stored-secret-value"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("dragoman: 1", "dragoman: 2"), r"gateway\.yaml:1: dragoman: must be 1"),
        (
            ("retries: 3", "retry_count: 3"),
            r"gateway\.yaml:13: routes\[0\]\.retry_count: there is no such field",
        ),
        (
            ("one/m, weight: 2", "one/x, weight: 2"),
            r"gateway\.yaml:16: routes\[0\]\.steps\[0\]\.targets\[0\]\.model: there is no model `one/x`",
        ),
        (("row_days: 12", "row_days: twelve"), r"gateway\.yaml:26: settings\.row_days"),
        (("row_days: 12", "rows: 12"), r"settings\.rows: there is no such setting"),
        (("team: crew", "team: nobody"), r"gateway\.yaml:23: keys\[0\]\.team"),
        (("teams:", "groups:"), r"gateway\.yaml:18: groups: there is no such section"),
        (
            ("  - name: crew", "  - name: crew\n  - name: crew"),
            r"gateway\.yaml:20: teams\[1\]\.name: crew is listed twice",
        ),
        (("settings:", "settings: [\n"), r"not valid YAML"),
    ],
)
def test_an_error_names_file_line_and_field_and_nothing_is_written(
    file: Path, change: tuple[str, str], message: str
) -> None:
    file.write_text(FILE.replace(*change))
    with pytest.raises(CommandError, match=message) as error:
        apply_file(file)
    assert error.value.returncode == 2
    assert not Provider.objects.exists()
    assert not Change.objects.exists()


def test_the_audit_log_names_the_file_as_actor(file: Path) -> None:
    apply_file(file)
    assert set(Change.objects.values_list("actor", "via")) == {("apply gateway.yaml", "command")}


def test_projects_are_created_after_and_deleted_before_their_teams(
    file: Path, tmp_path: Path
) -> None:
    project = "  - {name: app, parent: crew}\n"
    team = '  - name: crew\n    budget: {month_usd: "20"}\n'
    file.write_text(FILE.replace(team, team + project))
    apply_file(file)
    assert [team["name"] for team in export_configuration()["teams"]] == ["crew", "app"]
    copy = tmp_path / "copy.yaml"
    copy.write_text(command_output("export"))
    assert apply_file(copy, dry_run=True, take=True) == ["no changes"]
    file.write_text(FILE.replace("teams:\n" + team, "").replace("    team: crew\n", ""))
    assert {"- team app", "- team crew"} <= set(apply_file(file))
    assert not Team.objects.exists()
