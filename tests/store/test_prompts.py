"""Stored prompts as rows, documents and values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from gateway import store
from gateway.models import Prompt, PromptVersion
from gateway.store.configuration import apply, export
from gateway.store.documents import KINDS, Refused

pytestmark = pytest.mark.django_db
MESSAGES = [{"role": "system", "content": "Answer about {{city}}."}]


def write(row: Prompt | None = None, **fields: Any) -> Prompt:
    document = {"name": "support", "messages": MESSAGES, **fields}
    written: Prompt = KINDS["prompts"].write(document, row)
    return written


def test_changed_content_is_a_new_version() -> None:
    row = write(parameters={"temperature": 0.5})
    row = write(row, parameters={"temperature": 0.5}, description="for customers")
    assert row.active_version == 1
    row = write(row, model="fast")
    assert row.active_version == 2
    compiled = store.load_snapshot().prompts["support"]
    assert (compiled.active, sorted(compiled.versions)) == (2, [1, 2])
    assert compiled.versions[1].parameters.temperature == 0.5
    assert compiled.versions[2].model == "fast"
    assert compiled.versions[2].variables() == ["city"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"parameters": {"temperature": 9}}, "parameters.temperature"),
        ({"parameters": {"color": 1}}, "parameters"),
        ({"name": "with space"}, "name"),
    ],
)
def test_an_invalid_document_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as error:
        write(**fields)
    assert error.value.field == field
    assert not PromptVersion.objects.exists()


def test_a_prompt_cannot_be_renamed() -> None:
    with pytest.raises(Refused, match="cannot be renamed"):
        write(write(), name="other")


def test_configuration_is_exported_and_applied_without_a_new_version() -> None:
    write(model="fast")
    document = {"dragoman": 1, "prompts": export()["prompts"]}
    assert document["prompts"] == [{"name": "support", "messages": MESSAGES, "model": "fast"}]
    Prompt.objects.get().delete()
    outcome = apply(document, "g.yaml", lambda path: f"g.yaml:{path}")
    assert [(line.action, line.kind) for line in outcome.lines] == [("+", "prompt")]
    assert apply(document, "g.yaml", lambda path: f"g.yaml:{path}").lines == []
    assert Prompt.objects.get().active_version == 1


def test_the_api_lists_and_activates_versions(admin_client: Client) -> None:
    write(write(), model="fast")
    path = "/api/prompts/support"
    assert admin_client.get(path).json()["active_version"] == 2
    page = admin_client.get(f"{path}/versions").json()
    assert [version["number"] for version in page["items"]] == [2, 1]
    reply = admin_client.post(f"{path}/versions/1/activate")
    assert reply.status_code == 200, reply.content
    assert (reply.json()["active_version"], reply.json()["model"]) == (1, "")
    assert admin_client.post(f"{path}/versions/7/activate").status_code == 404
    body = json.dumps({"description": "short"})
    changed = admin_client.patch(path, body, content_type="application/json")
    assert (changed.json()["active_version"], changed.json()["description"]) == (1, "short")
    assert store.load_snapshot().prompts["support"].active == 1
