"""Connect: texts that are right for this gateway, and the light."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.clients import CLIENTS, panels
from gateway import store
from tests.store.factories import entry, model, route

pytestmark = pytest.mark.django_db

ODD = 'team\'s/{model} "x"'


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("vic"))
    return client


def test_the_address_is_that_of_the_request_and_the_route_a_real_one(viewer: Client) -> None:
    route("fast", model())
    page = viewer.get(reverse("connect"), headers={"host": "localhost:4321"}).content.decode()
    assert "http://localhost:4321/v1" in page
    assert "ANTHROPIC_MODEL=fast" in page


def test_another_route_can_be_chosen(viewer: Client) -> None:
    gpt = model()
    route("fast", gpt)
    route("slow", gpt)
    page = viewer.get(reverse("connect"), {"route": "slow"}).content.decode()
    assert "ANTHROPIC_MODEL=slow" in page
    assert "<option selected>slow</option>" in page


def test_a_route_that_is_not_there_is_not_shown(viewer: Client) -> None:
    route("fast", model())
    page = viewer.get(reverse("connect"), {"route": "<script>evil"}).content.decode()
    assert "evil" not in page


def test_htmx_gets_the_panels_alone(viewer: Client) -> None:
    part = viewer.get(reverse("connect"), headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div class="panels"')


def test_every_client_of_the_list_has_a_panel() -> None:
    wanted = "Claude Code|Claude Agent SDK|Python|JavaScript|Agents SDK|LangChain|LlamaIndex|curl"
    names = " ".join(client.name for client in CLIENTS)
    assert [name for name in wanted.split("|") if name not in names] == []


@pytest.mark.parametrize("name", ["fast", ODD])
def test_python_texts_are_python(name: str) -> None:
    for panel in panels("http://localhost:4000", name):
        if panel.language == "python":
            found = ast.parse(panel.text)
            texts = {n.value for n in ast.walk(found) if isinstance(n, ast.Constant)}
            assert name in texts, panel.id


@pytest.mark.parametrize("name", ["fast", ODD, "$(reboot)", "a'b"])
def test_shell_texts_say_what_they_mean(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {panel.id: panel.text for panel in panels("http://h:1", name)}
    setting = re.search(r"^export ANTHROPIC_MODEL=.*$", shown["claude-code"], re.M)
    assert setting
    script = f'{setting.group()}\nprintf %s "$ANTHROPIC_MODEL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == name
    fake = 'curl() { for last; do :; done; printf %s "$last"; }\n'
    done = subprocess.run(
        ["sh", "-c", fake + shown["curl"]], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["model"] == name


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
def test_javascript_texts_are_javascript(tmp_path: Any) -> None:
    for panel in panels("http://localhost:4000", ODD):
        if panel.language == "javascript":
            path = tmp_path / "panel.mjs"
            path.write_text(panel.text)
            done = subprocess.run(["node", "--check", path], capture_output=True, check=False)
            assert done.returncode == 0, done.stderr


def test_no_key_is_on_the_page(viewer: Client) -> None:
    _, plain = store.make_key("x")
    page = viewer.get(reverse("connect")).content.decode()
    assert plain not in page
    assert "DRAGOMAN_KEY" in page


# The light


def light(client: Client, since: Any) -> str:
    return client.get(reverse("connect-light"), {"since": since}).content.decode()


def test_the_light_waits_turns_green_and_stops_asking(viewer: Client) -> None:
    store.write([entry("old")])
    waiting = viewer.get(reverse("connect")).content.decode()
    since = re.search(r"since=(\d+)", waiting)
    assert since
    assert "data-poll" in light(viewer, since.group(1))
    store.write([entry("first", route="fast", duration_ms=712.0)])
    green = light(viewer, since.group(1))
    assert 'data-state="ok"' in green
    assert "fast · 200 · 0.71 s" in green
    assert "data-poll" not in green


def test_a_first_call_that_fails_says_why(viewer: Client) -> None:
    store.write([entry("bad", status=401, outcome="error", error="the key is <b>unknown</b>")])
    red = light(viewer, 0)
    assert 'data-state="failed"' in red
    assert "the key is &lt;b&gt;unknown&lt;/b&gt;" in red


def test_the_consoles_own_calls_do_not_count(viewer: Client) -> None:
    store.write([entry("mine", key_prefix="playground")])
    assert "data-poll" in light(viewer, 0)


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 40, "１"])
def test_a_strange_number_is_now(viewer: Client, since: str) -> None:
    store.write([entry("old")])
    assert "data-poll" in light(viewer, since)
