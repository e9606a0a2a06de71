"""The prompt pages: create, preview, compare, activate, open in the playground."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
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


def create(client: Client, **typed: Any) -> Prompt:
    reply = client.post(reverse("prompt-new"), {**TYPED, **typed})
    assert reply.status_code == 302, reply.content.decode()
    return Prompt.objects.get()


def test_versions_are_saved_compared_and_activated(admin_client: Client) -> None:
    row = create(admin_client)
    stored = row.versions.get()
    assert stored.messages == [{"role": "system", "content": "Answer about {{city}}."}]
    assert stored.parameters == {"temperature": 0.5, "stop": ["END", "STOP"]}
    assert stored.saved_by == "ada"
    admin_client.post(
        reverse("prompt-save", args=[row.pk]), {**TYPED, "content-0": "Only {{city}}."}
    )
    page = admin_client.get(reverse("prompt", args=[row.pk]), {"from": "1"}).content.decode()
    assert "Only {{city}}." in page
    assert '<span class="sr">removed:' in page
    assert "client.messages.create" in page
    admin_client.post(reverse("prompt-activate", args=[row.pk]), {"number": "1"})
    assert Prompt.objects.get().active_version == 1
    admin_client.post(reverse("prompt-activate", args=[row.pk]), {"number": "9"})
    assert Prompt.objects.get().active_version == 1
    assert "support" in admin_client.get(reverse("prompts")).content.decode()
    admin_client.post(reverse("prompt-delete", args=[row.pk]))
    assert not Prompt.objects.exists()


def test_preview_and_added_rows_save_nothing(admin_client: Client) -> None:
    typed = {**TYPED, "action": "preview", "value.city": "<b>Oslo"}
    page = admin_client.post(reverse("prompt-new"), typed).content.decode()
    assert "Answer about &lt;b&gt;Oslo." in page
    page = admin_client.post(reverse("prompt-new"), {**TYPED, "action": "add"}).content.decode()
    assert 'name="content-2"' in page
    assert "Answer about {{city}}." in page
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": "a b"}, "Use letters, digits"),
        ({"content-0": ""}, "Write a message."),
        ({"temperature": "7"}, "less than or equal to 2."),
        ({"max_tokens": "0"}, "greater than or equal to 1."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_invalid_input_is_named(admin_client: Client, typed: dict[str, str], error: str) -> None:
    reply = admin_client.post(reverse("prompt-new"), {**TYPED, **typed})
    assert reply.status_code == 422
    assert error in reply.content.decode()


def test_an_error_is_at_its_field(admin_client: Client) -> None:
    reply = admin_client.post(reverse("prompt-new"), {**TYPED, "content-0": " "})
    assert reply.context["form"].errors == {"content-0": ["Write a message."]}


def test_a_second_prompt_needs_another_name(admin_client: Client) -> None:
    create(admin_client)
    reply = admin_client.post(reverse("prompt-new"), TYPED)
    assert "already a prompt with this name" in reply.content.decode()


def test_editors_change_prompts_and_viewers_read_them(admin_client: Client) -> None:
    row = create(admin_client)
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


def test_prompts_open_in_the_playground_and_are_saved_from_it(admin_client: Client) -> None:
    row = create(admin_client)
    settings = from_stored_prompt(row.pk, {"city": "Oslo"})
    assert settings is not None
    assert settings["system"] == "Answer about Oslo."
    assert settings["params"]["temperature"] == 0.5
    page = admin_client.get(reverse("playground"), {"stored_prompt": row.pk, "value.city": "Rome"})
    assert "Answer about Rome." in page.content.decode()
    settings["messages"] = [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]
    settings["columns"] = [{"id": "A", "model": "fast"}]
    path = reverse("prompt-from-playground")
    reply = admin_client.post(path, json.dumps(settings), content_type="application/json")
    form = admin_client.get(reply.json()["url"]).content.decode()
    for text in ("Answer about Oslo.", "Weather?", 'value="fast"', 'value="0.5"'):
        assert text in form
    assert admin_client.post(path, "[1]", content_type="application/json").status_code == 400


def test_a_prompt_from_the_playground_keeps_parameters_of_zero(admin_client: Client) -> None:
    settings = {"system": "Hi.", "messages": [], "params": {"temperature": 0, "top_p": 0}}
    path = reverse("prompt-from-playground")
    reply = admin_client.post(path, json.dumps(settings), content_type="application/json")
    form = admin_client.get(reply.json()["url"]).context["form"]
    assert (form["temperature"].value(), form["top_p"].value()) == (0, 0)


def test_a_list_of_many_prompts_takes_as_many_queries_as_a_short_one(
    admin_client: Client,
) -> None:
    counts = []
    for number in range(12):
        admin_client.post(reverse("prompt-new"), {**TYPED, "name": f"p{number}", "model": "fast"})
        with CaptureQueriesContext(connection) as queries:
            page = admin_client.get(reverse("prompts"))
        counts.append(len(queries))
    assert page.content.decode().count(">fast</td>") == 12
    assert counts[1] == counts[9] == counts[0]


def test_a_list_without_prompts_offers_a_new_one(
    admin_client: Client, viewer_client: Client
) -> None:
    link = f'<a class="btn primary" href="{reverse("prompt-new")}"'
    page = admin_client.get(reverse("prompts")).content.decode()
    assert page.count(link) == 2 and 'class="empty"' in page
    page = viewer_client.get(reverse("prompts")).content.decode()
    assert link not in page and 'class="empty"' in page
