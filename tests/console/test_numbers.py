"""Invalid or too large numbers in URLs and forms never cause a server error."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.numbers import number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)]
    + [(text, None) for text in ("", "²", "٣", "-1", "1_0", " 1", "9" * 19, "9" * 5000)],
)
def test_a_number_has_few_ascii_digits(text: str, number: int | None) -> None:
    assert number_in(text) == number


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["²", "٣", "9" * 19, "9" * 5000])
@pytest.mark.parametrize("name", ["preset", "stored_prompt", "request", "run"])
def test_the_playground_opens_with_any_number(name: str, text: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    assert client.get("/console/playground", {name: text}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["²", "٣", "9" * 19, "9" * 5000])
def test_a_prompt_has_a_form_with_any_number_of_rows(admin_client: Client, text: str) -> None:
    response = admin_client.post("/console/prompts/new", {"action": "preview", "rows": text})
    assert response.status_code == 200
