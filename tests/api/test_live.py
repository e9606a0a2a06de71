"""API operations that call providers: connection test, model list and doctor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client

from gateway import store
from gateway.doctor import PROBES
from gateway.models import CapabilityReport, Model, Provider, RowSource
from tests.api.conftest import MASTER
from tests.api.test_resources import send
from tests.fakes import ScriptedResponse, StrictOpenAI
from tests.store.factories import model, provider
from tests.waits import WAIT_TIMEOUT_S


def openai_at(upstream: StrictOpenAI, key: str = "") -> Provider:
    row = provider("openai", "openai", base_url=f"{upstream.url}/v1")
    store.set_credential(row, key or upstream.key)
    return row


def test_a_stored_provider_is_tested(api: Client) -> None:
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="Hello.")
        openai_at(upstream)
        body = send(api, "POST", "providers/openai/test", {"model": "gpt-4o"}).json()
        assert (body["ok"], body["model"], body["message"]) == (True, "gpt-4o", "Hello.")
        stored_result = send(api, "POST", "providers/openai/test", {}).json()
        assert stored_result["ok"]
        assert stored_result["model_count"] > 0
    assert send(api, "POST", "providers/none/test", {}).status_code == 404


def test_a_provider_is_tested_before_it_is_saved(api: Client) -> None:
    with StrictOpenAI() as upstream:
        document = {
            "name": "new",
            "preset": "openai",
            "base_url": f"{upstream.url}/v1",
            "credential": "wrong-key-0123456789",
        }
        refused_run = send(api, "POST", "test-provider", {"provider": document})
        assert not refused_run.json()["ok"]
        assert refused_run.json()["status"] == 401
        assert "wrong-key" not in refused_run.content.decode()
        document["credential"] = upstream.key
        assert send(api, "POST", "test-provider", {"provider": document}).json()["ok"]
    refused_response = send(
        api, "POST", "test-provider", {"provider": {"name": "new", "base_uri": ""}}
    )
    assert (refused_response.status_code, refused_response.json()["field"]) == (422, "base_uri")
    assert not Provider.objects.exists()


def test_the_providers_model_list_is_compared_and_imported(api: Client) -> None:
    with StrictOpenAI() as upstream:
        row = openai_at(upstream)
        model("no-longer", row)
        body = send(api, "POST", "providers/openai/upstream-models").json()
        assert body["ok"], body
        assert body["missing"] == ["no-longer"]
        name = body["new"][0]["name"]

        refused_response = send(api, "POST", "providers/openai/import-models", {"add": ["none"]})
        assert (refused_response.status_code, refused_response.json()["field"]) == (422, "add[0]")
        refused_response = send(
            api, "POST", "providers/openai/import-models", {"add": [name], "delete": [name]}
        )
        assert (refused_response.status_code, refused_response.json()["field"]) == (
            422,
            "delete[0]",
        )
        assert Model.objects.count() == 1

        response = send(
            api, "POST", "providers/openai/import-models", {"add": [name], "delete": ["no-longer"]}
        )
        assert response.json() == {"added": 1, "repriced": 0, "deleted": 1}
        assert [log_row.name for log_row in Model.objects.all()] == [name]


def test_an_unreadable_model_list_is_reported(api: Client) -> None:
    with StrictOpenAI() as upstream:
        openai_at(upstream, "wrong-key-0123456789")
        body = send(api, "POST", "providers/openai/upstream-models").json()
        assert (body["ok"], body["status"]) == (False, 401)
        response = send(api, "POST", "providers/openai/import-models", {"add": ["x"]})
        assert response.status_code == 502


def report(row: Model, state: str = "done", **verdicts: str) -> CapabilityReport:
    findings = [
        {"name": name, "verdict": verdict, "message": "w", "ms": 12.0, "cost_usd": None}
        for name, verdict in {"plain": "supported", **verdicts}.items()
    ]
    return CapabilityReport.objects.create(
        provider=row.provider, model=row.name, state=state, results={"findings": findings}
    )


def demo() -> Model:
    return model("demo-fast", provider("demo", "demo"))


def test_examinations_are_listed_and_read(api: Client) -> None:
    row = demo()
    pks = [report(row).pk for _ in range(3)]
    first = send(api, "GET", "capability-reports?model=demo/demo-fast&limit=2").json()
    second = send(api, "GET", f"capability-reports?limit=2&cursor={first['next']}").json()
    assert [item["id"] for item in first["items"] + second["items"]] == pks[::-1]
    assert send(api, "GET", "capability-reports?model=demo/none").json()["items"] == []
    body = send(api, "GET", f"capability-reports/{pks[0]}").json()
    assert (body["model"], body["probes_done"], body["probe_count"]) == (
        "demo/demo-fast",
        1,
        len(PROBES),
    )


def test_advised_traits_are_written_only_on_apply(api: Client) -> None:
    row = demo()
    saved_report = report(row, tool="refused")
    advised = send(api, "GET", f"capability-reports/{saved_report.pk}").json()["advice"]
    traits = [item["trait"] for item in advised]
    assert traits, "the verdicts should speak against a trait"
    path = f"capability-reports/{saved_report.pk}/apply"
    refused_response = send(api, "POST", path, {"traits": [*traits, "none"]})
    assert (refused_response.status_code, refused_response.json()["field"]) == (
        422,
        f"traits[{len(traits)}]",
    )
    assert Model.objects.get().learned == {}
    assert send(api, "POST", path, {"traits": traits}).json()["traits"] == traits
    assert set(Model.objects.get().learned) == set(traits)
    Model.objects.update(source=RowSource.FILE, source_ref="x.yaml:1", learned={})
    assert send(api, "POST", path, {"traits": traits}).status_code == 409


@pytest.mark.parametrize(
    ("name", "status"), [("demo/none", 404), ("demo/demo-*", 422), ("demo/demo-fast", 409)]
)
def test_a_report_that_cannot_start_returns_its_status(api: Client, name: str, status: int) -> None:
    row = demo()
    model("demo-*", row.provider)
    report(row, state="running")
    assert send(api, "POST", "capability-reports", {"model": name}).status_code == status


@pytest.mark.django_db(transaction=True)
async def test_an_examination_runs_on_when_the_response_is_sent(settings: Any) -> None:
    settings.MASTER_KEY = MASTER
    await sync_to_async(demo)()
    client, headers = AsyncClient(), {"authorization": f"Bearer {MASTER}"}
    response = await client.post(
        "/api/capability-reports",
        {"model": "demo/demo-fast"},
        content_type="application/json",
        headers=headers,
    )
    assert response.status_code == 201, response.content
    number = response.json()["id"]
    body = {"running": True}
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while body["running"]:
            await asyncio.sleep(0.05)
            body = (await client.get(f"/api/capability-reports/{number}", headers=headers)).json()
    assert (body["state"], body["probes_done"]) == ("done", len(PROBES))
    stop = await client.post(f"/api/capability-reports/{number}/stop", headers=headers)
    assert stop.json() == {"stop_requested": False}
    # The thread that Django's handler ran in; a database with guests can not be dropped.
    await sync_to_async(connections.close_all)()
