"""The golden cases of OpenAI's Responses through the API, with the dialect names of the cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from gateway.dialects import DIALECTS

CASES = Path(__file__).parents[1] / "dialects" / "cases"


def case(number: str) -> dict[str, Any]:
    """Return the golden case with this number."""
    (path,) = CASES.glob(f"{number}_*.json")
    body: dict[str, Any] = json.loads(path.read_text())
    return body


def post_translate(api: Client, **body: Any) -> Any:
    return api.post("/api/translate", body, content_type="application/json")


@pytest.mark.parametrize("number", ["06", "20", "24", "28"])
def test_a_request_is_translated(api: Client, number: str) -> None:
    translation_case = case(number)
    expected = translation_case["expected"]
    response = post_translate(
        api,
        **{
            "from": translation_case["from"],
            "to": translation_case["to"],
            "request": translation_case["request"],
        },
        model=expected["body"]["model"],
        stored=expected.get("stored"),
    )
    assert response.status_code == 200, response.content
    assert response.json()["body"] == expected["body"]
    assert expected.get("path", "") in response.json()["url"]


def test_a_response_that_is_not_stored_is_not_found(api: Client) -> None:
    translation_case = case("28")
    response = post_translate(
        api,
        **{
            "from": translation_case["from"],
            "to": translation_case["to"],
            "request": translation_case["request"],
        },
        stored={},
    )
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "previous_response_not_found"
    assert response.json()["error"]["param"] == "previous_response_id"


@pytest.mark.parametrize("number", ["42", "44"])
def test_a_stream_is_translated(api: Client, number: str) -> None:
    translation_case = case(number)
    response = post_translate(
        api, **{key: translation_case[key] for key in ("from", "to", "stream")}
    )
    assert response.status_code == 200
    assert len(response.json()["events"]) == len(translation_case["expected"]["events"])


def test_a_token_count_is_returned_in_the_clients_dialect() -> None:
    expected = case("20")["expected"]
    tokens = DIALECTS["openai_responses"].provider.parse_count(expected["upstream_response"])
    rendered_count = DIALECTS["anthropic_messages"].client.render_count(tokens)
    assert rendered_count == expected["client_response"]
