"""Route versions in the API: list, comparison, restore and dry run."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from gateway import store
from gateway.models import Model, Provider, RequestLog, Route, RouteVersion, RowSource, Team
from tests.api.test_resources import api_with_resources, send

__all__ = ["api_with_resources"]


@pytest.fixture
def api_with_route_versions(api_with_resources: Client) -> Client:
    send(api_with_resources, "PATCH", "routes/fast", {"retries": 3})
    send(api_with_resources, "PATCH", "routes/fast", {"retries": 5, "aliases": ["quick"]})
    return api_with_resources


def test_versions_are_paginated_newest_first(api_with_route_versions: Client) -> None:
    first = send(api_with_route_versions, "GET", "routes/fast/versions?limit=2").json()
    second = send(
        api_with_route_versions, "GET", f"routes/fast/versions?limit=2&cursor={first['next']}"
    ).json()
    numbers = [row["number"] for row in first["items"] + second["items"]]
    assert (numbers, first["current"], second["next"]) == ([3, 2, 1], 3, None)
    assert {row["saved_by"] for row in first["items"]} == {"master key"}
    version = send(api_with_route_versions, "GET", "routes/fast/versions/2").json()
    assert version["route"]["retries"] == 3


def test_differences_are_listed_by_path(api_with_route_versions: Client) -> None:
    body = send(api_with_route_versions, "GET", "routes/fast/versions/1/diff?to=3").json()
    assert body["changes"] == [
        {"path": "aliases", "before": [], "after": ["quick"]},
        {"path": "retries", "before": 1, "after": 5},
    ]
    assert (
        send(api_with_route_versions, "GET", "routes/fast/versions/3/diff").json()["changes"] == []
    )
    assert (
        send(api_with_route_versions, "GET", "routes/fast/versions/3/diff?to=2").json()["after"]
        == 2
    )


def test_a_restored_version_becomes_a_new_one(api_with_route_versions: Client) -> None:
    conflict = send(
        api_with_route_versions, "POST", "routes/fast/versions/1/restore", {"version": 2}
    )
    assert (conflict.status_code, conflict.json()["field"]) == (409, "version")
    assert Route.objects.get().retries == 5
    back = send(api_with_route_versions, "POST", "routes/fast/versions/1/restore", {"version": 3})
    assert (back.status_code, back.json()["retries"]) == (200, 1)
    assert "quick" not in store.load_snapshot().aliases
    newest = RouteVersion.objects.latest_of(Route.objects.get())
    assert newest is not None
    assert (newest.number, newest.note, newest.saved_by) == (4, "restored version 1", "master key")
    assert (
        send(api_with_route_versions, "POST", "routes/fast/versions/2/restore").json()["retries"]
        == 3
    )


@pytest.mark.parametrize(
    "path", ["routes/none/versions", "routes/fast/versions/99", "routes/fast/versions/1/diff?to=99"]
)
def test_a_missing_row_is_404(api_with_route_versions: Client, path: str) -> None:
    assert send(api_with_route_versions, "GET", path).status_code == 404


def test_a_file_route_cannot_be_restored_until_it_is_adopted(
    api_with_route_versions: Client,
) -> None:
    Route.objects.update(source=RowSource.FILE, source_ref="litellm.yaml:3")
    assert (
        send(api_with_route_versions, "POST", "routes/fast/versions/1/restore").status_code == 409
    )
    adopted = send(api_with_route_versions, "POST", "routes/fast/adopt").json()
    assert (adopted["source"], adopted["source_ref"]) == ("database", "")
    assert (
        send(api_with_route_versions, "POST", "routes/fast/versions/1/restore").status_code == 200
    )


@pytest.mark.parametrize(
    "path", ["providers/one", "models/one/org/m", "routes/fast", "teams/crew", "keys/agent"]
)
def test_each_kind_can_be_adopted(api_with_resources: Client, path: str) -> None:
    for table in (Provider, Model, Route, Team):
        table.objects.update(source=RowSource.ENVIRONMENT, source_ref="X")
    assert send(api_with_resources, "POST", f"{path}/adopt").json()["source"] == "database"
    assert send(api_with_resources, "PATCH", path, {}).status_code == 200
    assert send(api_with_resources, "POST", "routes/none/adopt").status_code == 404


def test_a_provider_is_adopted_with_its_models(api_with_resources: Client) -> None:
    for table in (Provider, Model):
        table.objects.update(source=RowSource.FILE, source_ref="x.yaml:3")
    send(api_with_resources, "POST", "providers/one/adopt")
    assert Model.objects.get().source == RowSource.DATABASE


@pytest.mark.parametrize("path", ["providers/one", "models/one/org/m"])
def test_a_row_of_a_file_can_be_deactivated(api_with_resources: Client, path: str) -> None:
    for table in (Provider, Model):
        table.objects.update(source=RowSource.FILE, source_ref="x.yaml:3")
    body = send(api_with_resources, "POST", f"{path}/switch", {"enabled": False}).json()
    assert (body["enabled"], body["source"]) == (False, "file")
    assert "one/org/m" not in store.load_snapshot().models
    assert send(api_with_resources, "POST", f"{path}/switch", {"enabled": True}).json()["enabled"]
    assert (
        send(api_with_resources, "POST", f"{path}-none/switch", {"enabled": True}).status_code
        == 404
    )


def dry_run(api: Client, **fields: Any) -> Any:
    return send(api, "POST", "routes/fast/dry-run", fields)


def test_a_dry_run_shows_the_upstream_request_and_sends_nothing(api_with_resources: Client) -> None:
    request = {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    body = dry_run(api_with_resources, dialect="anthropic_messages", request=request).json()
    (turn,) = body["targets"]
    assert (turn["target"], turn["outcome"]) == ("one/org/m", "chosen")
    assert body["upstream_request"]["url"].startswith("http://127.0.0.1:9/v1")
    assert body["upstream_request"]["body"]["model"] == "org/m"
    assert body["upstream_request"]["body"]["messages"] == [{"role": "user", "content": "Hi"}]
    assert "canary" not in str(body)
    assert body["error"] is None
    assert not RequestLog.objects.exists()


def test_a_simulated_failure_falls_back_in_a_draft(api_with_resources: Client) -> None:
    send(api_with_resources, "POST", "models", {"name": "one/spare"})
    draft = {
        "steps": [{"targets": [{"model": "one/org/m"}]}, {"targets": [{"model": "one/spare"}]}]
    }
    body = dry_run(api_with_resources, route=draft, failures={"one/org/m": "429"}).json()
    turns = [(turn["target"], turn["outcome"], turn["status"]) for turn in body["targets"]]
    assert turns == [("one/org/m", "failed", 429), ("one/spare", "chosen", None)]
    assert len(send(api_with_resources, "GET", "routes/fast").json()["steps"]) == 1

    alone = dry_run(api_with_resources, failures={"*": "500"}, key="agent").json()
    assert alone["upstream_request"] is None
    assert alone["error"]["error_kind"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dialect": "latin"}, "dialect"),
        ({"failures": {"*": "418"}}, "failures.*"),
        ({"key": "nobody"}, "key"),
        ({"route": {"retrys": 3}}, "retrys"),
        ({"request": {"model": "none", "messages": []}}, "model"),
    ],
)
def test_a_dry_run_names_errors(
    api_with_resources: Client, fields: dict[str, Any], field: str
) -> None:
    response = dry_run(api_with_resources, **fields)
    assert (response.status_code, response.json()["field"]) == (422, field)
