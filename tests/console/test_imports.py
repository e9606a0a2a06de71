"""Import of a LiteLLM file in the console: preview, import, and refused files."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from gateway import store
from gateway.compat.litellm.config.upload import import_config, preview, read_upload
from gateway.models import Alias, Model, Provider, Registry, Route, RowSource, Target
from tests.store import factories

pytestmark = pytest.mark.django_db

TEXT = """
model_list:
  - model_name: fast
    litellm_params:
      model: openai/gpt-4.1-mini
      api_key: sk-literal-0123456789
      rpm: 60
  - model_name: fast
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: os.environ/MY_ANTHROPIC
  - model_name: "claude-*"
    litellm_params: {model: "anthropic/claude-*", api_key: os.environ/MY_ANTHROPIC}
router_settings:
  model_group_alias: {quick: fast}
  redis_host: cache.local
litellm_settings:
  callbacks: [langfuse]
  turn_off_message_logging: true
general_settings:
  master_key: sk-master-0123456789
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ANTHROPIC", "sk-ant-0123456789")


def tables() -> dict[str, list[str]]:
    models = (Provider, Model, Route, Target, Alias)
    return {table.__name__: sorted(map(str, table.objects.all())) for table in models}


def previewed(admin_client: Client, text: str = TEXT) -> Any:
    return admin_client.post(reverse("import"), {"text": text})


def test_the_import_is_linked_from_the_providers_page_for_admins(admin_client: Client) -> None:
    """After the first run, the import used to be unreachable."""
    link = f'href="{reverse("import")}"'
    assert link in admin_client.get(reverse("providers")).content.decode()
    factories.provider("one")
    assert link in admin_client.get(reverse("providers")).content.decode()
    viewer = Client()
    viewer.force_login(User.objects.create_user("vic"))
    assert link not in viewer.get(reverse("providers")).content.decode()


def test_a_preview_changes_nothing(admin_client: Client) -> None:
    before, version = tables(), Registry.objects.version()
    response = previewed(admin_client)
    assert response.status_code == 200
    assert ">Will be imported<" in response.content.decode()  # not "Imported"
    assert tables() == before
    assert Registry.objects.version() == version


def test_a_preview_lists_the_outcome_of_every_entry() -> None:
    lines = preview(read_upload(TEXT), TEXT)
    outcomes = {line.entry: line.outcome for line in lines}
    imported_kinds = {kind for kind, outcome in outcomes.items() if outcome == "imported"}
    assert len([kind for kind in imported_kinds if kind.startswith("provider ")]) == 2
    assert {kind for kind in imported_kinds if not kind.startswith("provider ")} == {
        "route fast",
        "route claude-*",
        "alias quick",
        "alias claude-*",
        "turn_off_message_logging",
    }
    assert outcomes["litellm_params.rpm"] == "changed"
    skipped_lines = {line.entry: line for line in lines if line.outcome == "skipped"}
    assert "router_settings.redis_host" in skipped_lines
    assert outcomes["litellm_settings.callbacks"] == "changed"
    assert "general_settings.master_key" in skipped_lines
    assert all(line.reason for line in skipped_lines.values()), "each with its reason"
    assert skipped_lines["router_settings.redis_host"].line_number == "16"


@pytest.mark.parametrize("target", ["gone", "ignored", "not supported"])
def test_an_outcome_does_not_depend_on_names_in_its_reason(target: str) -> None:
    text = f"""
model_list:
  - model_name: fast
    litellm_params: {{model: openai/gpt-5, api_key: sk-literal-0123456789}}
router_settings: {{model_group_alias: {{quick: {target}}}}}
"""
    lines = preview(read_upload(text), text)
    (line,) = [line for line in lines if line.entry == "router_settings.model_group_alias.quick"]
    assert (line.outcome, line.reason) == ("skipped", f"there is no model_name `{target}`")


def test_imported_rows_can_be_edited(admin_client: Client) -> None:
    page = previewed(admin_client)
    response = admin_client.post(reverse("import"), {"draft": page.context["draft"]})
    assert response.status_code == 302
    assert tables()["Route"] == ["claude-*", "fast"]
    rows = [*Provider.objects.all(), *Route.objects.all(), *Target.objects.all()]
    assert {row.source for row in rows} == {RowSource.DATABASE}
    assert store.credential_of(Provider.objects.get(preset="openai")) == "sk-literal-0123456789"
    assert Provider.objects.get(preset="anthropic").credential_env == "MY_ANTHROPIC"
    snapshot = store.load_snapshot()
    assert snapshot.warnings == ()
    assert snapshot.log_bodies is False
    assert [target.model.name for target in snapshot.routes["fast"].targets] == [
        "gpt-4.1-mini",
        "claude-sonnet-4-5",
    ]


def test_a_file_can_be_uploaded(admin_client: Client) -> None:
    upload = SimpleUploadedFile("mine.yaml", b"\xef\xbb\xbf" + TEXT.encode())
    assert previewed(admin_client).status_code == 200
    page = admin_client.post(reverse("import"), {"file": upload})
    assert "route fast" in page.content.decode()


@pytest.mark.parametrize("section", ["entry", "library", "credential", "variable"])
def test_an_uploaded_file_reads_no_files_of_the_server(tmp_path: Path, section: str) -> None:
    """A console account must not read the gateway's own certificate key by an import."""
    secret = tmp_path / "server.pem"
    secret.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    text = {
        "entry": f"litellm_params: {{model: openai/x, api_key: k, ssl_verify: {secret}}}",
        "library": f"litellm_params: {{model: openai/x, api_key: k}}\n"
        f"litellm_settings: {{ssl_certificate: {secret}}}",
        "credential": "litellm_params: {model: openai/x, litellm_credential_name: c}\n"
        "credential_list: [{credential_name: c, "
        f"credential_values: {{api_key: k, ssl_verify: {secret}}}}}]",
        "variable": "litellm_params: {model: openai/x, api_key: k, ssl_verify: os.environ/CA}\n"
        f"environment_variables: {{CA: {secret}}}",
    }[section]
    config = read_upload(f"model_list:\n  - model_name: fast\n    {text}\n")
    assert not config.providers
    (note,) = [note for note in config.remarks if "fast" in note or "skipped" in note]
    assert "names a file, which an upload cannot read" in note


def test_the_import_of_a_missing_file_does_not_tell_that_it_is_missing(tmp_path: Path) -> None:
    text = "model_list: [{model_name: a, litellm_params: {model: openai/x, ssl_verify: %s}}]"
    (tmp_path / "there.pem").touch()
    notes = [read_upload(text % (tmp_path / name)).remarks for name in ("there.pem", "gone.pem")]
    assert notes[0] == notes[1]


def test_no_key_is_in_the_source_of_the_preview(admin_client: Client) -> None:
    page = previewed(admin_client).content.decode()
    for secret in ("sk-literal", "sk-master", "sk-ant"):
        assert secret not in page


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Choose a file"),
        ("a: [", "is not valid YAML"),
        ("model_list:\n- litellm_params: {model: x}", "needs a model_name"),
        ("- a\n- b", "must be a mapping"),
        ("include: [/etc/passwd]", "copy the content into this file"),
        ("a: &a [1]\nb: &b [" + "*a, " * 99 + "*a]\nc: [" + "*b, " * 3000 + "*b]", "too many"),
        ("a: !!python/object/apply:os.system [id]", "not plain YAML|must be"),
    ],
)
def test_an_error_is_shown_with_its_line_and_the_text_stays(
    admin_client: Client, text: str, reason: str
) -> None:
    response = previewed(admin_client, text)
    if response.status_code == 200:  # a bad entry is skipped; the tag of a list is not looked at
        assert re.search(f"unknown key|{reason}", response.content.decode())
        return
    assert response.status_code == 422
    (errors,) = response.context["form"].errors.values()
    assert re.search(reason, str(errors))
    assert response.context["form"]["text"].value() == text


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"x" * (1024 * 1024 + 1)], ids=["binary", "huge"]
)
def test_a_file_that_is_not_a_configuration_is_refused(admin_client: Client, data: bytes) -> None:
    response = admin_client.post(reverse("import"), {"file": SimpleUploadedFile("x.yaml", data)})
    assert response.status_code == 422
    assert "file" in response.context["form"].errors


@pytest.mark.parametrize("variable", ["DRAGOMAN_SECRET_KEY", "COPY_OF_THE_SECRET"])
def test_an_upload_reads_no_secret_of_the_gateway(
    variable: str, admin_client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ADMIN_KEY = "very-secret-value"
    monkeypatch.setenv(variable, "very-secret-value")
    text = f"""
model_list:
  - model_name: os.environ/{variable}
    litellm_params: {{model: openai/x, api_key: sk-literal-0123456789}}
"""
    assert "very-secret-value" not in previewed(admin_client, text).content.decode()


@pytest.mark.parametrize("draft", ["", "x", "gAAAAA", "é"])
def test_a_forged_draft_imports_nothing(admin_client: Client, draft: str) -> None:
    assert admin_client.post(reverse("import"), {"draft": draft}).status_code == 422
    assert not Provider.objects.exists()


def test_manually_created_rows_stay(admin_client: Client) -> None:
    Route.objects.create(name="fast", strategy="ordered")
    file_row = Provider.objects.create(name="openai", preset="groq", source=RowSource.FILE)
    config = read_upload(TEXT)
    (line,) = [line for line in preview(config, TEXT) if line.entry == "route fast"]
    assert line.outcome == "skipped"
    import_config(read_upload(TEXT))
    assert Route.objects.get(name="fast").targets.count() == 0
    file_row.refresh_from_db()
    assert (file_row.preset, file_row.source) == ("groq", RowSource.FILE)


def test_the_same_file_twice_adds_nothing() -> None:
    import_config(read_upload(TEXT))
    before = tables()
    import_config(read_upload(TEXT))
    assert tables() == before


def test_secrets_among_the_files_own_variables_are_encrypted() -> None:
    text = """
environment_variables: {OWN_KEY: sk-own-0123456789}
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4.1, api_key: os.environ/OWN_KEY}
"""
    import_config(read_upload(text))
    row = Provider.objects.get()
    assert (row.credential_env, store.credential_of(row)) == ("", "sk-own-0123456789")
    assert store.load_snapshot().warnings == ()


def test_every_seed_file_has_a_preview() -> None:
    folder = Path(__file__).resolve().parents[1] / "litellm"
    files = [path for path in folder.rglob("*.yaml") if "include:" not in path.read_text()]
    for path in files:
        text = path.read_text()
        assert preview(read_upload(text), text)


def test_hostile_names_are_shown_as_text(admin_client: Client) -> None:
    text = TEXT.replace("quick", "'<img src=x onerror=alert(1)>'")
    page = previewed(admin_client, text).content.decode()
    assert html.escape("<img src=x") in page
    assert "<img src=x" not in page
