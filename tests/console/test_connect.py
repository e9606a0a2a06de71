"""The Connect page: snippets for this gateway, and the connection status."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from console.pages.connect.clients import panels, with_key
from console.pages.connect.snippets import CLIENTS
from gateway import store
from gateway.dialects import CLIENT_DIALECTS
from gateway.models import ApiKey, Model
from gateway.store.keys import digest
from tests.markup import normalize_html
from tests.store.factories import make_record, model, provider, route

pytestmark = pytest.mark.django_db

ODD = 'team\'s/{model} "x"'


def test_the_address_is_that_of_the_request_and_the_route_a_real_one(viewer_client: Client) -> None:
    route("fast", model())
    page = viewer_client.get(
        reverse("connect"), headers={"host": "localhost:4321"}
    ).content.decode()
    assert "http://localhost:4321/v1" in page
    assert "ANTHROPIC_MODEL=fast" in page


def test_another_route_can_be_chosen(viewer_client: Client) -> None:
    gpt = model()
    route("fast", gpt)
    route("slow", gpt)
    page = viewer_client.get(reverse("connect"), {"route": "slow"}).content.decode()
    assert "ANTHROPIC_MODEL=slow" in page
    assert "<option selected>slow</option>" in page


def test_models_of_a_provider_need_no_route(viewer_client: Client) -> None:
    """After the setup with a provider and no first model, the examples name one of its models."""
    demo = Model.objects.create(provider=provider("demo", "demo"), name="demo")
    route("demo", demo)
    openai = provider("openai", "openai")
    page = viewer_client.get(reverse("connect")).content.decode()
    assert "ANTHROPIC_MODEL=gpt-" in page and "<option>demo</option>" in page
    Model.objects.create(provider=openai, name="gpt-house")
    name = "openai/gpt-house"
    page = viewer_client.get(reverse("connect"), {"route": name}).content.decode()
    assert f"ANTHROPIC_MODEL={name}" in page and f"<option selected>{name}</option>" in page


def test_a_provider_without_models_is_not_passed_over(
    admin_client: Client, viewer_client: Client
) -> None:
    """After the setup with a server of one's own and no first model."""
    route("demo", Model.objects.create(provider=provider("demo", "demo"), name="demo"))
    own = provider("own", "custom", base_url="http://127.0.0.1:9/v1")
    fetch = f'href="{reverse("provider-fetch", args=[own.pk])}"'
    page = admin_client.get(reverse("connect")).content.decode()
    assert "ANTHROPIC_MODEL=demo" in page and fetch in page
    assert fetch not in viewer_client.get(reverse("connect")).content.decode()
    Model.objects.create(provider=own, name="m-1")
    page = admin_client.get(reverse("connect")).content.decode()
    assert "ANTHROPIC_MODEL=own/m-1" in page and fetch not in page


def test_an_unknown_route_is_not_shown(viewer_client: Client) -> None:
    route("fast", model())
    page = viewer_client.get(reverse("connect"), {"route": "<script>evil"}).content.decode()
    assert "evil" not in page


def test_htmx_requests_return_only_the_panels(viewer_client: Client) -> None:
    part = viewer_client.get(reverse("connect"), headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div class="panels"')


def test_every_client_of_the_list_has_a_panel() -> None:
    text = (
        "Claude Code|Codex CLI|Claude Agent SDK|OpenAI SDK|Responses|Anthropic SDK|Google Gen AI|"
        "Ollama|Vercel AI SDK|Agents SDK|LangChain|LlamaIndex|Embeddings|JavaScript|curl|"
        "Cursor|Cline|Continue|Zed|Aider|Open WebUI|n8n|OpenCode|Gemini CLI|Pydantic AI"
    )
    names = " ".join(client.name for client in CLIENTS)
    assert [name for name in text.split("|") if name not in names] == []


@pytest.mark.parametrize("name", ["fast", ODD])
def test_python_texts_are_python(name: str) -> None:
    for panel in panels("http://localhost:4000", name):
        if panel.language == "python":
            module = ast.parse(panel.text)
            texts = {n.value for n in ast.walk(module) if isinstance(n, ast.Constant)}
            assert name in texts, panel.id


@pytest.mark.parametrize("name", ["fast", ODD, "$(reboot)", "a'b"])
def test_shell_texts_are_quoted_correctly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts_by_id = {panel.id: panel.text for panel in panels("http://h:1", name)}
    setting = re.search(r"^export ANTHROPIC_MODEL=.*$", texts_by_id["claude-code"], re.M)
    assert setting
    script = f'{setting.group()}\nprintf %s "$ANTHROPIC_MODEL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == name
    fake = 'curl() { for last; do :; done; printf %s "$last"; }\n'
    done = subprocess.run(
        ["sh", "-c", fake + texts_by_id["curl"]], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["model"] == name


@pytest.mark.parametrize("name", ["fast", ODD])
def test_settings_files_contain_the_name_as_a_value(name: str) -> None:
    texts_by_id = {panel.id: panel.text for panel in panels("http://localhost:4000", name)}
    (model,) = yaml.safe_load(texts_by_id["continue"])["models"]
    assert (model["model"], model["apiBase"]) == (name, "http://localhost:4000/v1")
    zed, opencode = (
        json.loads(
            "".join(row for row in texts_by_id[client].splitlines() if not row.startswith("//"))
        )
        for client in ("zed", "opencode")
    )
    provider = zed["language_models"]["openai_compatible"]["Dragoman"]
    assert provider["available_models"][0]["name"] == name
    assert opencode["model"] == f"dragoman/{name}"
    assert list(opencode["provider"]["dragoman"]["models"]) == [name]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
def test_javascript_texts_are_javascript(tmp_path: Any) -> None:
    for panel in panels("http://localhost:4000", ODD):
        if panel.language == "javascript":
            path = tmp_path / "panel.mjs"
            path.write_text(panel.text)
            done = subprocess.run(["node", "--check", path], capture_output=True, check=False)
            assert done.returncode == 0, done.stderr


def test_every_served_dialect_has_a_client() -> None:
    assert {c.dialect for c in CLIENTS} >= set(CLIENT_DIALECTS) - {"openai_completions"}


def test_codex_gets_a_provider_it_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is TOML on the command line, with the key's variable set for the command only."""
    codex = {panel.id: panel.text for panel in panels("http://h:1", ODD)}["codex"]
    fake = 'codex() { printf "%s\\n" "$@" "$DRAGOMAN_API_KEY"; }\nDRAGOMAN_API_KEY=sk-x\n'
    done = subprocess.run(["sh", "-c", fake + codex], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["-m", ODD]
    assert lines[-1] == "sk-x"
    setting = next(row for row in lines if row.startswith("model_providers"))
    read = tomllib.loads(setting)["model_providers"]["dragoman"]
    assert read["base_url"] == "http://h:1/v1"
    assert (read["env_key"], read["wire_api"]) == ("DRAGOMAN_API_KEY", "responses")


# A key put in


def test_a_created_key_is_in_every_example_once(admin_client: Client) -> None:
    route("fast", model())
    page = admin_client.get(reverse("connect")).content.decode()
    assert "Insert a new key" in page
    reply = admin_client.post(reverse("connect-key"), {"route": "fast"})
    text = reply.content.decode()
    (row,) = ApiKey.objects.all()
    matches = re.findall(r"sk-dgm-[A-Za-z0-9_-]+", text)
    assert len(matches) == len(CLIENTS)
    (plain,) = set(matches)
    assert row.digest == digest(plain)
    assert row.routes == ["fast"]
    assert "no-store" in reply["Cache-Control"]
    assert "$DRAGOMAN_API_KEY" not in text
    second_response = admin_client.get(reverse("connect")).content.decode()
    assert plain not in second_response


def test_a_copied_script_gets_only_the_key(admin_client: Client) -> None:
    route("fast", model())
    body = {"route": "openai/gpt-5-mini"}
    reply = admin_client.post(reverse("connect-key"), body, headers={"Accept": "application/json"})
    (row,) = ApiKey.objects.all()
    assert row.digest == digest(reply.json()["key"])
    assert row.routes in (["openai/gpt-5-mini"], ["fast"])


def test_only_admins_make_keys(viewer_client: Client) -> None:
    assert "Insert a new key" not in viewer_client.get(reverse("connect")).content.decode()
    assert viewer_client.post(reverse("connect-key"), {"route": "fast"}).status_code == 403
    assert viewer_client.get(reverse("connect-key")).status_code == 405
    assert not ApiKey.objects.exists()


def test_texts_with_a_key_are_unchanged() -> None:
    plain = "sk-dgm-abc_DEF-123"
    for panel in panels("http://h:1", ODD, plain):
        assert plain in panel.text, panel.id
        if panel.language == "python":
            ast.parse(panel.text)


def test_a_key_that_needs_quoting_is_not_put_in() -> None:
    assert with_key('x = "$K"', "K", 'a"; rm') == 'x = "$K"'


def test_no_key_is_on_the_page(viewer_client: Client) -> None:
    _, plain = store.create_key("x")
    page = viewer_client.get(reverse("connect")).content.decode()
    assert plain not in page
    assert "DRAGOMAN_API_KEY" in page


# The connection status


def status_fragment(client: Client, since: Any) -> str:
    return client.get(reverse("connection-status"), {"since": since}).content.decode()


def test_the_light_waits_turns_green_and_stops_asking(viewer_client: Client) -> None:
    store.write([make_record("old")])
    waiting = viewer_client.get(reverse("connect")).content.decode()
    since = re.search(r"since=(\d+)", waiting)
    assert since
    assert "data-poll" in status_fragment(viewer_client, since.group(1))
    store.write([make_record("first", route="fast", duration_ms=712.0)])
    green = status_fragment(viewer_client, since.group(1))
    assert 'data-state="ok"' in green
    assert "fast · 200 · 0.71 s" in normalize_html(green)
    assert "data-poll" not in green


def test_a_failed_first_call_shows_its_reason(viewer_client: Client) -> None:
    store.write(
        [make_record("bad", status=401, outcome="error", error="the key is <b>unknown</b>")]
    )
    red = status_fragment(viewer_client, 0)
    assert 'data-state="failed"' in red
    assert "the key is &lt;b&gt;unknown&lt;/b&gt;" in red


@pytest.mark.parametrize("client_name", ["playground", "replay", "shadow", "check"])
def test_the_gateways_own_calls_do_not_count(viewer_client: Client, client_name: str) -> None:
    store.write([make_record("mine", key_prefix=client_name)])
    assert "data-poll" in status_fragment(viewer_client, 0)


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 40, "１"])
def test_an_invalid_timestamp_is_treated_as_now(viewer_client: Client, since: str) -> None:
    store.write([make_record("old")])
    assert "data-poll" in status_fragment(viewer_client, since)
