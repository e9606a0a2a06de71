"""Public links to playground runs: permissions, content, expiry and image."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console import accounts
from console.models import PlaygroundRun, RunShare, Throttle
from console.pages.shares import manage, public
from console.playground import run_store
from console.playground.image import MAX_LINES, as_svg, wrap
from console.playground.plan_parser import parse
from console.playground.shared_view import shared_view

pytestmark = pytest.mark.django_db
NOT_STARTED: Any = None
LINKS = "/console/playground/links"


def run_of(owner: User, **response: Any) -> PlaygroundRun:
    """Return a finished run with two columns, the second of which failed."""
    body = {
        "columns": [{"id": "A", "model": "demo/one"}, {"id": "B", "model": "demo/two"}],
        "system": "A secret system prompt.",
        "messages": [{"role": "user", "content": "Why is the <sky> blue?"}],
    }
    run = run_store.create_run(NOT_STARTED, owner, parse(body), body)
    text = response.get("text", "Because of <b>scattering</b>.")
    run.emit("start", {"col": "A", "n": 0, "model": "demo/one"})
    run.emit("delta", {"col": "A", "n": 0, "kind": "reasoning", "text": "hidden thoughts"})
    run.emit("delta", {"col": "A", "n": 0, "kind": "text", "text": text})
    end = {
        "status": "ok",
        "ttft_ms": 120.0,
        "total_ms": 900.0,
        "cost": 0.002,
        "request_id": "req_1",
    }
    run.emit("end", {"col": "A", "n": 0, **end})
    run.emit("start", {"col": "B", "n": 0, "model": "demo/two"})
    run.emit("end", {"col": "B", "n": 0, "status": "error", "error": "key sk-123 is wrong"})
    run.summary = {"columns": []}
    run_store.DatabaseRunStore().save(run)
    return PlaygroundRun.objects.get(uuid=UUID(run.id))


@pytest.fixture
def editor_user() -> User:
    return accounts.create_account("eddy", "correct horse", role="editor")


@pytest.fixture
def editor_client(editor_user: User) -> Client:
    client = Client()
    client.force_login(editor_user)
    return client


def link_of(client: Client, run: PlaygroundRun, **values: str) -> str:
    """Create a link and return its path."""
    response = client.post(LINKS, {"run": str(run.uuid), "days": "7", "prompt": "on", **values})
    assert response.status_code == 200, response.content.decode()
    match = re.search(
        r'value="http://testserver(/console/shared/[^"]+)"', response.content.decode()
    )
    assert match is not None
    return match[1]


def test_a_refused_link_keeps_what_was_selected(editor_client: Client, editor_user: User) -> None:
    """The form came back with the prompt shown, so the second try made it public."""
    run = run_of(editor_user)
    page = editor_client.get(LINKS, {"run": str(run.uuid)}).content.decode()
    assert 'name="prompt" checked' in page and 'value="7" selected' in page
    PlaygroundRun.objects.update(ended_at=None)
    response = editor_client.post(LINKS, {"run": str(run.uuid), "days": "1"})
    assert response.status_code == 422
    page = response.content.decode()
    assert 'name="prompt" checked' not in page
    assert 'value="1" selected' in page


def test_a_link_opens_without_an_account(editor_client: Client, editor_user: User) -> None:
    path = link_of(editor_client, run_of(editor_user))
    response = Client().get(path)
    assert response.status_code == 200
    text = response.content.decode()
    for visible_text in ("demo/one", "scattering", "Why is the", "A secret system prompt."):
        assert visible_text in text
    assert "&lt;b&gt;scattering&lt;/b&gt;" in text
    for private in ("eddy", "hidden thoughts", "sk-123", "req_1"):
        assert private not in text
    assert response["X-Robots-Tag"] == "noindex, nofollow, noarchive"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["Cache-Control"] == "no-store"
    assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/static/js/png.js">']
    assert not response.cookies


def test_the_prompt_can_stay_private(editor_client: Client, editor_user: User) -> None:
    run = run_of(editor_user)
    editor_client.post(LINKS, {"run": str(run.uuid), "days": "1"})
    share = RunShare.objects.get()
    assert not share.with_prompt
    view = shared_view(run, with_prompt=False)
    assert (view.title, view.prompts) == ("", ())
    assert "sky" not in as_svg(view)


def test_only_a_hash_of_the_token_is_stored(editor_client: Client, editor_user: User) -> None:
    token = link_of(editor_client, run_of(editor_user)).rpartition("/")[2]
    share = RunShare.objects.get()
    assert len(token) >= 43
    assert token not in str(RunShare.objects.values().get())
    assert token not in editor_client.get(LINKS).content.decode()
    assert RunShare.objects.by_token(token) == share


@pytest.mark.parametrize("days", ["", "0", "31", "365", "-1", "forever"])
def test_only_the_offered_link_expiries_are_accepted(
    editor_client: Client, editor_user: User, days: str
) -> None:
    run = run_of(editor_user)
    response = editor_client.post(LINKS, {"run": str(run.uuid), "days": days})
    assert response.status_code == 422
    assert not RunShare.objects.exists()


def test_an_expired_a_revoked_and_an_unknown_link_look_the_same(
    editor_client: Client, editor_user: User
) -> None:
    run = run_of(editor_user)
    expired, revoked = link_of(editor_client, run), link_of(editor_client, run)
    first, second = RunShare.objects.order_by("pk")
    RunShare.objects.filter(pk=first.pk).update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert editor_client.post(f"{LINKS}/{second.pk}/revoke").status_code == 302
    responses = [Client().get(path) for path in (expired, revoked, "/console/shared/unknown")]
    assert [response.status_code for response in responses] == [404] * 3
    assert len({response.content for response in responses}) == 1
    assert Client().get(f"{revoked}/image.svg").status_code == 404


def test_a_link_ends_with_its_run(editor_client: Client, editor_user: User) -> None:
    run = run_of(editor_user)
    path = link_of(editor_client, run)
    run.delete()
    assert Client().get(path).status_code == 404


def test_links_of_a_deactivated_account_do_not_open(
    editor_client: Client, editor_user: User
) -> None:
    path = link_of(editor_client, run_of(editor_user))
    accounts.set_active(editor_user, active=False)
    statuses = [Client().get(url).status_code for url in (path, f"{path}/image.svg")]
    assert statuses == [404, 404]


def test_editors_manage_their_own_links_and_admins_all(
    editor_client: Client, editor_user: User
) -> None:
    link_of(editor_client, run_of(editor_user))
    share = RunShare.objects.get()
    others = {}
    for name, role in (("olga", "editor"), ("vera", "viewer"), ("ada", "admin")):
        others[name] = Client()
        others[name].force_login(accounts.create_account(name, "correct horse", role=role))  # type: ignore[arg-type]
    assert others["vera"].get(LINKS).status_code == 403
    assert "reason" not in others["olga"].get(LINKS).content.decode().lower()
    assert others["olga"].post(f"{LINKS}/{share.pk}/revoke").status_code == 404
    assert others["olga"].get(f"{LINKS}?run={share.run.uuid}").status_code == 404
    assert "eddy" in others["ada"].get(LINKS).content.decode()
    assert others["ada"].post(f"{LINKS}/{share.pk}/revoke").status_code == 302


def test_a_running_run_is_not_shared(editor_client: Client, editor_user: User) -> None:
    run = run_of(editor_user)
    PlaygroundRun.objects.update(ended_at=None)
    response = editor_client.post(LINKS, {"run": str(run.uuid), "days": "7"})
    assert response.status_code == 422


def test_views_of_a_public_link_are_rate_limited(
    editor_client: Client, editor_user: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link_of(editor_client, run_of(editor_user))
    monkeypatch.setattr(public, "MAX_PER_ADDRESS", 2)
    client = Client(REMOTE_ADDR="203.0.113.9")
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
    assert int(client.get(path)["Retry-After"]) > 0
    assert Client(REMOTE_ADDR="203.0.113.10").get(path).status_code == 200
    Throttle.objects.all().delete()
    assert client.get(path).status_code == 200


def test_the_image_is_well_formed_in_both_themes(editor_client: Client, editor_user: User) -> None:
    run = run_of(
        editor_user, text="A long response with \x00\x0b control characters. " * 80 + "ü漢字" * 50
    )
    path = link_of(editor_client, run)
    for theme in ("", "?theme=dark", "?theme=nonsense"):
        response = Client().get(f"{path}/image.svg{theme}")
        assert response["Content-Type"] == "image/svg+xml"
        root = ElementTree.fromstring(response.content.decode())
        assert root.tag.endswith("svg")
        texts = ["".join(item.itertext()) for item in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "Why is the <sky> blue?" in texts
        assert any(text.startswith("A  demo/one") for text in texts)
        assert "failed" in texts
    response = editor_client.get(f"/console/playground/runs/{run.uuid}.svg")
    assert response["Content-Type"] == "image/svg+xml"
    assert "scattering" not in response.content.decode()
    ElementTree.fromstring(response.content.decode())


def test_lines_are_wrapped_by_width() -> None:
    assert wrap("aa bb cc", 5, 9) == ["aa bb", "cc"]
    assert wrap("漢字漢字", 4, 9) == ["漢字", "漢字"]
    assert wrap("abcdefgh", 3, 9) == ["abc", "def", "gh"]
    assert wrap("a\n\n  b", 9, 9) == ["a", "", "  b"]
    assert wrap("one two three", 5, 2) == ["one", "two…"]
    assert len(wrap("x\n" * 100, 10, MAX_LINES)) == MAX_LINES
    assert wrap("", 5, 3) == []


def test_links_of_others_do_not_count_toward_an_admins_limit(
    admin_client: Client,
    admin_user: User,
    editor_client: Client,
    editor_user: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manage, "MAX_LINKS", 1)
    link_of(editor_client, run_of(editor_user))
    run = run_of(admin_user)
    link_of(admin_client, run)
    response = admin_client.post(LINKS, {"run": str(run.uuid), "days": "7"})
    assert response.status_code == 422
    assert "Revoke a link first: you have 1." in response.content.decode()
