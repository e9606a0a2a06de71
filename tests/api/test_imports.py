"""Imports in the API: LiteLLM files and the playground's exports."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.models import PlaygroundPreset, PlaygroundRun
from gateway.models import Alias, Model, Provider, Route
from tests.api.test_resources import send

TEXT = """
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4.1-mini, api_key: sk-literal-0123456789}
  - litellm_params: {model: openai/gpt-4.1}
router_settings:
  model_group_alias: {quick: fast}
litellm_settings:
  callbacks: [langfuse]
"""


def count() -> int:
    return sum(table.objects.count() for table in (Provider, Model, Route, Alias))


def test_a_preview_writes_nothing_and_an_import_writes_all(api: Client) -> None:
    response = send(api, "POST", "imports/litellm/preview", {"text": TEXT})
    outcomes = {line["entry"]: line["outcome"] for line in response.json()["items"]}
    assert outcomes["route fast"] == "imported"
    assert "skipped" in outcomes.values()
    assert "sk-literal" not in response.content.decode()
    assert count() == 0

    reply = send(api, "POST", "imports/litellm", {"text": TEXT}, **{"idempotency-key": "k"})
    assert reply.status_code == 201
    assert (reply.json()["routes"], reply.json()["aliases"]) == (["fast"], ["quick"])
    assert "sk-literal" not in reply.content.decode()
    second_response = send(
        api, "POST", "imports/litellm", {"text": TEXT}, **{"idempotency-key": "k"}
    )
    assert second_response.json() == reply.json()
    assert Route.objects.get().source == "database"


@pytest.mark.parametrize("entry", ["just text", "{model_name: x, litellm_params: [y]}"])
def test_an_entry_that_is_no_mapping_is_skipped(api: Client, entry: str) -> None:
    text = TEXT.replace("model_list:", f"model_list:\n  - {entry}")
    response = send(api, "POST", "imports/litellm/preview", {"text": text})
    assert response.status_code == 200
    assert "must be a mapping" in str(response.json())
    assert send(api, "POST", "imports/litellm", {"text": text}).json()["routes"] == ["fast"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "os.environ/SECRET_OF_TEST", "https:///v1"])
def test_a_base_url_that_is_no_url_is_skipped_and_not_shown(
    api: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable with a secret, named in the wrong field, would be readable on every page."""
    monkeypatch.setenv("SECRET_OF_TEST", "sk-value-of-the-variable")
    text = TEXT.replace("api_key: sk-literal-0123456789", f'api_base: "{url}"')
    for path in ("imports/litellm/preview", "imports/litellm"):
        response = send(api, "POST", path, {"text": text})
        assert "litellm_params.api_base" in response.content.decode()
        assert "must be an http:// or https:// URL" in response.content.decode()
        assert "sk-value" not in response.content.decode()
    assert not Provider.objects.exists()


@pytest.mark.parametrize("text", ["model_list: [", "include: [other.yaml]", "model_list: 5"])
@pytest.mark.parametrize("path", ["imports/litellm", "imports/litellm/preview"])
def test_an_import_error_names_the_line(api: Client, path: str, text: str) -> None:
    response = send(api, "POST", path, {"text": text})
    assert (response.status_code, response.json()["field"]) == (422, "text")
    assert "litellm_config.yaml" in response.json()["detail"]
    assert count() == 0


def signed_in(name: str, **values: Any) -> Client:
    client = Client()
    client.force_login(User.objects.create(username=name, **values))
    return client


def test_presets_belong_to_their_user(api: Client) -> None:
    admin_client, viewer_client = signed_in("ada", is_staff=True), signed_in("vic")
    body = {"name": "mine", "document": {"temperature": 0}}
    first = send(viewer_client, "POST", "playground/presets", body)
    second = send(viewer_client, "POST", "playground/presets", {**body, "document": {}})
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert second.json()["version"] == 2
    (preset_item,) = send(viewer_client, "GET", "playground/presets").json()["items"]
    assert preset_item["id"] == second.json()["id"]
    number = first.json()["id"]
    assert (
        send(viewer_client, "GET", f"playground/presets/{number}").json()["document"]
        == body["document"]
    )

    assert send(admin_client, "GET", "playground/presets").json()["items"] == []
    assert send(admin_client, "DELETE", f"playground/presets/{number}").status_code == 404
    assert len(send(api, "GET", "playground/presets").json()["items"]) == 1
    assert send(api, "POST", "playground/presets", body).status_code == 422
    assert send(viewer_client, "DELETE", f"playground/presets/{number}").status_code == 204
    assert not PlaygroundPreset.objects.exists()


def test_users_list_their_own_runs_and_admins_all(api: Client) -> None:
    admin_client, viewer_client = signed_in("ada", is_staff=True), signed_in("vic")
    runs = [
        PlaygroundRun.objects.create(owner=User.objects.get(username=name), document={"a": name})
        for name in ("vic", "ada", "vic")
    ]
    assert len(send(viewer_client, "GET", "playground/runs").json()["items"]) == 2
    assert len(send(admin_client, "GET", "playground/runs").json()["items"]) == 3
    first = send(api, "GET", "playground/runs?limit=2").json()
    second = send(api, "GET", f"playground/runs?limit=2&cursor={first['next']}").json()
    assert [row["uuid"] for row in second["items"]] == [str(runs[0].uuid)]
    assert send(viewer_client, "GET", f"playground/runs/{runs[0].uuid}").json()["document"] == {
        "a": "vic"
    }
    assert send(viewer_client, "GET", f"playground/runs/{runs[1].uuid}").status_code == 404
