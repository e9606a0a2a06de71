"""The playground's history, preset versions and system prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.models import PlaygroundPreset
from console.playground import history
from gateway.models import Prompt, PromptVersion
from tests.console.test_playground_storage import admin_user, create_run, viewer_user

__all__ = ["admin_user", "viewer_user"]
pytestmark = pytest.mark.django_db
PATH = "/console/playground"


@pytest.fixture
def browser(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def _patch(client: Client, run: Any, body: Any) -> Any:
    return client.patch(
        f"{PATH}/runs/{run.uuid}", data=json.dumps(body), content_type="application/json"
    )


def test_runs_are_found_by_name_prompt_and_model(browser: Client, admin_user: User) -> None:
    sky, river = (
        create_run(admin_user, "Why is the sky blue?"),
        create_run(admin_user, "A river in Alaska"),
    )
    assert _patch(browser, river, {"name": "  Best   of May "}).json()["name"] == "Best of May"

    def search_runs(text: str) -> list[str]:
        runs = browser.get(f"{PATH}/history", {"q": text}).json()["runs"]
        return [run["id"] for run in runs]

    assert search_runs("SKY blue") == [str(sky.uuid)]
    assert search_runs("may") == [str(river.uuid)]
    assert search_runs("two") == [str(river.uuid), str(sky.uuid)]
    assert search_runs("sky may") == []
    assert search_runs("100%") == []


def test_a_name_is_limited_and_can_be_removed(browser: Client, admin_user: User) -> None:
    run = create_run(admin_user)
    assert _patch(browser, run, {"name": "x" * 101}).status_code == 400
    assert _patch(browser, run, {}).status_code == 400
    assert _patch(browser, run, {"name": "Named"}).status_code == 200
    assert history.page(admin_user, None)()["runs"][0]["name"] == "Named"
    assert _patch(browser, run, {"name": ""}).json()["name"] == ""


def test_others_cannot_name_a_run(admin_user: User, viewer_user: User) -> None:
    client = Client()
    client.force_login(viewer_user)
    assert _patch(client, create_run(admin_user), {"name": "Mine"}).status_code == 404


def test_versions_of_a_preset_are_compared_and_opened(
    browser: Client, admin_user: User, viewer_user: User
) -> None:
    save = PlaygroundPreset.objects.save_version
    first = save(admin_user, "support", {"system": "Be kind.", "params": {"temperature": 0.1}})
    second = save(admin_user, "support", {"system": "Be brief.", "params": {"temperature": 0.1}})
    response = browser.get(f"{PATH}/presets/{second.pk}/versions")
    assert [(line.kind, line.text) for line in response.context["lines"] if line.kind] == [
        ("drop", "system: Be kind."),
        ("add", "system: Be brief."),
    ]
    assert f"?preset={first.pk}" in response.content.decode()
    same = browser.get(f"{PATH}/presets/{second.pk}/versions?from=1&to=1")
    assert same.context["lines"] == []
    client = Client()
    client.force_login(viewer_user)
    assert client.get(f"{PATH}/presets/{second.pk}/versions").status_code == 404


def test_system_prompts_are_those_of_active_versions(browser: Client) -> None:
    row = Prompt.objects.create(name="support", active_version=2)
    for number, text in ((1, "Old."), (2, "Be kind to {{name}}.")):
        messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hi"}]
        PromptVersion.objects.create(prompt=row, number=number, messages=messages)
    other = Prompt.objects.create(name="plain")
    PromptVersion.objects.create(
        prompt=other, number=1, messages=[{"role": "user", "content": "Hi"}]
    )
    assert browser.get(f"{PATH}/system-prompts").json() == {
        "prompts": [{"name": "support", "text": "Be kind to {{name}}."}]
    }


def test_a_response_that_fails_a_check_has_not_failed(browser: Client, admin_user: User) -> None:
    """As in the result of the run: "Tool call correct 1 of 3", "Failed 1 of 3"."""
    run = create_run(admin_user)
    wrong_arguments = {"model": "a", "runs": 1, "ok": 1, "failed": 1, "stopped": 0}
    error = {"model": "b", "runs": 1, "ok": 0, "failed": 1, "stopped": 0}
    run.summary = {"columns": [wrong_arguments, error]}
    run.ended_at = timezone.now()
    run.save()
    [row] = browser.get(f"{PATH}/history").json()["runs"]
    assert row["status"] == "1 failed"
