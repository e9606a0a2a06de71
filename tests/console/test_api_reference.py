"""The API reference has a page for every operation of the OpenAPI document."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from anthropic.types import Message
from django.test import Client
from openai.types.chat import ChatCompletion

from console.pages.api_reference.operations import CALLERS, groups, operations
from console.templatetags.reference import text_parts


@pytest.fixture(scope="module", autouse=True)
def document() -> Any:
    """The OpenAPI document, which is complete once the URLs are loaded."""
    return Client().get("/api/openapi.json").json()


def test_every_operation_has_a_page(document: Any) -> None:
    ids = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert set(operations()) == ids
    client = Client()
    linked_ids = set(re.findall(r'href="/docs/([^"]+)"', client.get("/docs").content.decode()))
    assert linked_ids == ids
    failures = [name for name in sorted(ids) if client.get(f"/docs/{name}").status_code != 200]
    assert failures == []
    assert client.get("/docs/no-such-operation").status_code == 404


def test_the_reference_is_complete_if_it_is_the_first_page() -> None:
    code = (
        "import django; django.setup(); "
        "from console.pages.api_reference.operations import operations; print(*operations())"
    )
    names = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert names == list(operations())


def test_every_security_scheme_is_described(document: Any) -> None:
    assert set(document["components"]["securitySchemes"]) - {"XApiKey"} <= set(CALLERS)


def test_a_search_finds_operations_with_all_words() -> None:
    ids = [operation.id for _tag, entries in groups("post SCORE") for operation in entries]
    assert "create_score" in ids
    assert "list_scores" not in ids
    page = Client().get("/docs", {"q": "no-such-word <b>"}).content.decode()
    assert "No matching operations." in page
    assert "<b>" not in page.partition("<main")[2].partition("No operation")[0]


def test_fields_of_bodies_and_responses_are_listed() -> None:
    score = operations()["create_score"]
    (path, body, _headers) = score.requests
    assert [(field.path, field.required) for field in path.fields] == [("request_id", True)]
    assert {field.path: field.type for field in body.fields} == {
        "name": "string",
        "value": "number or null",
        "comment": "string",
        "scored_by": "string",
    }
    assert next(field.default for field in body.fields if field.path == "name") == '"feedback"'
    created = next(operation for operation in score.responses if operation.status == "201")
    assert "scored_by" in {field.path for field in created.fields}
    # Objects within arrays have paths.
    page = operations()["list_scores"].responses[0]
    assert "items[].comment" in {field.path for field in page.fields}


def test_a_schema_that_contains_itself_ends() -> None:
    assert all(
        len(table.fields) <= 300
        for operation in operations().values()
        for table in operation.requests
    )


def test_commands_are_shell_and_name_the_right_key() -> None:
    for operation in operations().values():
        arguments = shlex.split(operation.curl.replace("\\\n", ""))
        assert arguments[0] == "curl", operation.id
        assert any(word.startswith("$DRAGOMAN_BASE_URL/") for word in arguments), operation.id
    assert "$DRAGOMAN_API_KEY" in operations()["openai_chat_completions"].curl
    assert "$ADMIN_KEY" in operations()["list_scores"].curl
    # A body without required fields shows the first ones.
    score = operations()["create_score"].curl
    assert '"name": "feedback"' in score
    assert "$DRAGOMAN_API_KEY" in score


def test_a_description_has_paragraphs_and_code() -> None:
    assert text_parts("Use `a` or\n`b`.\n\nMore.") == [
        [(False, "Use "), (True, "a"), (False, " or "), (True, "b"), (False, ".")],
        [(False, "More.")],
    ]


def example_of(name: str, status: str) -> Any:
    """Return the example of a response of an operation."""
    (response,) = [
        operation for operation in operations()[name].responses if operation.status == status
    ]
    return json.loads(response.example)


def test_model_responses_have_examples_of_their_api() -> None:
    chat = example_of("openai_chat_completions", "200")
    assert ChatCompletion.model_validate(chat).choices[0].message.content
    message = example_of("anthropic_messages", "200")
    assert Message.model_validate(message).content[0].type == "text"
    assert example_of("anthropic_messages", "default")["error"]["type"] == "rate_limit_error"


def test_management_responses_have_examples_with_all_fields() -> None:
    """Examples match the schemas they are generated from."""
    (listing,) = [
        operation.id for operation in operations().values() if operation.path == "/api/traces"
    ]
    example = example_of(listing, "200")
    (trace,) = example["items"]
    assert trace["started_at"] == "2026-01-31T12:00:00Z"
    without = [
        operation.id
        for operation in operations().values()
        for response in operation.responses
        if response.status.startswith("2") and response.fields and not response.example
    ]
    assert without == []
