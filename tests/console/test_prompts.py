"""The pages of stored prompts: created, previewed, compared, activated, opened in the playground."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.playground.prefill import from_stored_prompt
from gateway.models import Account, Prompt

pytestmark = pytest.mark.django_db
TYPED = {
    "rows": "2",
    "name": "support",
    "role-0": "system",
    "content-0": "Answer about {{city}}.",
    "role-1": "user",
    "content-1": "",
    "temperature": "0.5",
    "stop": "END\r\nSTOP",
}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def create(client: Client, **typed: Any) -> Prompt:
    reply = client.post(reverse("prompt-new"), {**TYPED, **typed})
    assert reply.status_code == 302, reply.content.decode()
    return Prompt.objects.get()


def test_versions_are_saved_compared_and_activated(ada: Client) -> None:
    row = create(ada)
    stored = row.versions.get()
    assert stored.messages == [{"role": "system", "content": "Answer about {{city}}."}]
    assert stored.parameters == {"temperature": 0.5, "stop": ["END", "STOP"]}
    assert stored.saved_by == "ada"
    ada.post(reverse("prompt-save", args=[row.pk]), {**TYPED, "content-0": "Only {{city}}."})
    page = ada.get(reverse("prompt", args=[row.pk]), {"from": "1"}).content.decode()
    assert "Only {{city}}." in page
    assert '<span class="sr">removed:' in page
    assert "client.messages.create" in page
    ada.post(reverse("prompt-activate", args=[row.pk]), {"number": "1"})
    assert Prompt.objects.get().active_version == 1
    ada.post(reverse("prompt-activate", args=[row.pk]), {"number": "9"})
    assert Prompt.objects.get().active_version == 1
    assert "support" in ada.get(reverse("prompts")).content.decode()
    ada.post(reverse("prompt-delete", args=[row.pk]))
    assert not Prompt.objects.exists()


def test_preview_and_added_rows_save_nothing(ada: Client) -> None:
    typed = {**TYPED, "action": "preview", "value.city": "<b>Oslo"}
    page = ada.post(reverse("prompt-new"), typed).content.decode()
    assert "Answer about &lt;b&gt;Oslo." in page
    page = ada.post(reverse("prompt-new"), {**TYPED, "action": "add"}).content.decode()
    assert 'name="content-2"' in page
    assert "Answer about {{city}}." in page
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": "a b"}, "use letters, digits"),
        ({"content-0": ""}, "must have 1 to 100 messages"),
        ({"temperature": "7"}, "Expected `float`"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_invalid_input_is_named(ada: Client, typed: dict[str, str], error: str) -> None:
    reply = ada.post(reverse("prompt-new"), {**TYPED, **typed})
    assert reply.status_code == 422
    assert error in reply.content.decode()


def test_a_second_prompt_needs_another_name(ada: Client) -> None:
    create(ada)
    reply = ada.post(reverse("prompt-new"), TYPED)
    assert "already a prompt with this name" in reply.content.decode()


def test_editors_change_prompts_and_viewers_read_them(ada: Client) -> None:
    row = create(ada)
    viewer, editor = User.objects.create_user("vera"), User.objects.create_user("ed")
    Account.objects.create(user=editor, role="editor")
    reader, writer = Client(), Client()
    reader.force_login(viewer)
    writer.force_login(editor)
    path = reverse("prompt-save", args=[row.pk])
    assert reader.get(reverse("prompt", args=[row.pk])).status_code == 200
    assert reader.post(path, TYPED).status_code == 403
    assert writer.post(path, {**TYPED, "content-0": "x"}).status_code == 302
    assert Prompt.objects.get().active_version == 2


def test_prompts_open_in_the_playground_and_are_saved_from_it(ada: Client) -> None:
    row = create(ada)
    settings = from_stored_prompt(row.pk, {"city": "Oslo"})
    assert settings is not None
    assert settings["system"] == "Answer about Oslo."
    assert settings["params"]["temperature"] == 0.5
    page = ada.get(reverse("playground"), {"stored_prompt": row.pk, "value.city": "Rome"})
    assert "Answer about Rome." in page.content.decode()
    settings["messages"] = [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]
    settings["columns"] = [{"id": "A", "model": "fast"}]
    path = reverse("prompt-from-playground")
    reply = ada.post(path, json.dumps(settings), content_type="application/json")
    form = ada.get(reply.json()["url"]).content.decode()
    for text in ("Answer about Oslo.", "Weather?", 'value="fast"', 'value="0.5"'):
        assert text in form
    assert ada.post(path, "[1]", content_type="application/json").status_code == 400
