"""The doctor's pages and command: probes, progress, findings, and applying them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from collections.abc import Callable
from io import StringIO
from threading import Event
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from gateway import store
from gateway.doctor import PROBES, Examination, examine
from gateway.models import CapabilityReport, Model, Provider, RowSource
from gateway.models.capability import MAX_REPORTS, STALE_AFTER
from gateway.store import doctor
from gateway.store.thread import with_own_connection
from tests.fakes import ScriptedResponse, StrictOpenAI
from tests.store.factories import model, provider
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

pytestmark = pytest.mark.django_db


def demo(name: str = "demo-fast", **values: Any) -> Model:
    row = Provider.objects.filter(name="demo").first() or provider("demo", "demo")
    return model(name, row, **values)


def report(row: Model, **verdicts: str) -> CapabilityReport:
    """Return a finished doctor report with these verdicts."""
    findings = [
        {"name": name, "verdict": verdict, "message": f"message of {name}", "ms": 12.0}
        for name, verdict in {"plain": "supported", **verdicts}.items()
    ]
    return CapabilityReport.objects.create(
        provider=row.provider,
        model=row.name,
        state="done",
        results={"dialect": "openai_chat", "findings": findings, "ms": 800},
    )


def url_for_row(row: Model, name: str = "model-doctor") -> str:
    return reverse(name, args=[row.pk])


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


# The page of a model


def test_before_the_first_run_probes_and_cost_are_shown(admin_client: Client) -> None:
    page = text(admin_client.get(url_for_row(demo())))
    for probe in PROBES:
        assert probe.title in page
    assert "requests, about" in page
    assert "$0" in page
    assert "not run yet" in page


def test_a_model_without_a_price_is_marked(admin_client: Client) -> None:
    row = model("own-model", provider("mine", "custom", base_url="http://127.0.0.1:9"))
    assert "the model has no price" in text(admin_client.get(url_for_row(row)))


def test_findings_are_shown_beside_catalog_values(admin_client: Client) -> None:
    row = demo()
    report(row, image="refused", seed="supported")
    page = text(admin_client.get(url_for_row(row)))
    assert "message of image" in page
    assert "Refused 1" in page
    assert "differs" in page
    assert "expected yes, got no" in page


def test_upstream_text_is_escaped(admin_client: Client) -> None:
    row = demo()
    saved_report = report(row)
    saved_report.results["findings"][0]["message"] = "<script>alert(1)</script>"
    saved_report.save()
    assert "<script>alert(1)" not in text(admin_client.get(url_for_row(row)))


def test_any_stored_value_renders(admin_client: Client) -> None:
    row = demo(traits=["no", "object"])
    saved_report = report(row)
    for document in ([], {"findings": 7}, {"findings": [1, {"name": "plain"}]}):
        saved_report.results = document
        saved_report.save()
        assert admin_client.get(url_for_row(row)).status_code == 200


def test_a_disabled_provider_cannot_be_checked(admin_client: Client) -> None:
    row = demo()
    row.provider.enabled = False
    row.provider.save()
    assert "disabled or misconfigured" in text(admin_client.get(url_for_row(row)))
    admin_client.post(url_for_row(row, "doctor-start"))
    assert not CapabilityReport.objects.exists()


def test_a_wildcard_is_not_examined(admin_client: Client) -> None:
    row = demo("demo-*")
    assert "entry is a wildcard" in text(admin_client.get(url_for_row(row)))
    admin_client.post(url_for_row(row, "doctor-start"))
    assert not CapabilityReport.objects.exists()


def test_while_it_runs_only_the_progress_is_renewed_and_then_the_page(admin_client: Client) -> None:
    row = demo()
    running = report(row)
    CapabilityReport.objects.update(state="running")
    headers = {"HX-Request": "true"}
    part = admin_client.get(url_for_row(row), headers=headers)
    assert f"1 of {len(PROBES)} checks done" in text(part)
    assert "<html" not in text(part)
    assert 'hx-trigger="every 1s"' in text(admin_client.get(url_for_row(row)))
    running.state = "done"
    running.save()
    assert admin_client.get(url_for_row(row), headers=headers)["HX-Refresh"] == "true"
    assert "every 1s" not in text(admin_client.get(url_for_row(row)))


def test_a_run_of_a_dead_process_ends(admin_client: Client) -> None:
    row = demo()
    report(row)
    CapabilityReport.objects.update(state="running", heartbeat_at=timezone.now() - STALE_AFTER * 2)
    page = text(admin_client.get(url_for_row(row)))
    assert "Interrupted" in page
    assert "every 1s" not in page
    assert doctor.create_running_report(row.provider, row.name).running


def test_viewers_read_and_change_nothing(viewer_client: Client) -> None:
    row = demo()
    report(row, image="refused")
    page = text(viewer_client.get(url_for_row(row)))
    assert "message of image" in page
    assert "Run checks again" not in page
    assert "Apply selected" not in page
    for name in ("doctor-start", "doctor-stop", "doctor-apply"):
        assert viewer_client.post(url_for_row(row, name)).status_code == 403
    assert Model.objects.get().learned == {}


# Writing


def test_nothing_is_written_without_a_click(admin_client: Client) -> None:
    row = demo()
    report(row, image="refused", tool="supported", forced_tool="refused")
    admin_client.get(url_for_row(row))
    row.refresh_from_db()
    assert row.learned == {}


def test_only_selected_values_are_saved_and_used(admin_client: Client) -> None:
    row = demo(learned={"context_window": 9000})
    saved_report = report(row, image="refused", tool="supported", forced_tool="refused")
    body = {"report": saved_report.pk, "trait": ["images", "reasoning", "no_such"]}
    assert admin_client.post(url_for_row(row, "doctor-apply"), body).status_code == 302
    row.refresh_from_db()
    assert row.learned == {"context_window": 9000, "images": False}
    traits = store.load_snapshot().models["demo/demo-fast"].traits
    assert traits.images is False
    assert traits.forced_tools is True
    assert "learned from the provider" in text(
        admin_client.get(reverse("model-edit", args=[row.pk]))
    )
    page = text(admin_client.get(url_for_row(row)))
    assert 'value="images"' not in page
    assert 'value="forced_tools"' in page


def test_an_empty_selection_shows_an_error(admin_client: Client) -> None:
    row = demo()
    saved_report = report(row, image="refused")
    response = admin_client.post(url_for_row(row, "doctor-apply"), {"report": saved_report.pk})
    assert response.status_code == 422
    assert "Select at least one" in text(response)
    assert admin_client.post(url_for_row(row, "doctor-apply"), {"report": "x"}).status_code == 404


def test_manually_set_values_are_not_suggested(admin_client: Client) -> None:
    row = demo(traits={"images": True})
    saved_report = report(row, image="refused")
    assert "custom value, kept" in text(admin_client.get(url_for_row(row)))
    body = {"report": saved_report.pk, "trait": "images"}
    assert admin_client.post(url_for_row(row, "doctor-apply"), body).status_code == 422
    row.refresh_from_db()
    assert row.learned == {}


@pytest.mark.parametrize("source", [RowSource.FILE, RowSource.ENVIRONMENT, RowSource.CODE])
def test_a_model_of_a_file_is_not_written(admin_client: Client, source: RowSource) -> None:
    row = demo(source=source, source_ref="models.yaml:3")
    saved_report = report(row, image="refused")
    assert "managed by a" in text(admin_client.get(url_for_row(row)))
    body = {"report": saved_report.pk, "trait": "images"}
    assert admin_client.post(url_for_row(row, "doctor-apply"), body).status_code == 409
    row.refresh_from_db()
    assert row.learned == {}


# A provider


def test_all_models_of_a_provider_are_compared(viewer_client: Client) -> None:
    first, second = demo("demo-fast"), demo("demo-bad-schema")
    demo("demo-*")
    report(first, schema="supported")
    report(second, schema="wrong")
    response = viewer_client.get(reverse("provider-doctor", args=[first.provider_id]))
    assert [line["row"].name for line in response.context["lines"]] == [
        "demo-bad-schema",
        "demo-fast",
    ]
    cells = {probe.name: cells for probe, cells in response.context["matrix"]}
    assert [cell["verdict"] for cell in cells["schema"]] == ["wrong", "supported"]
    assert [cell["verdict"] for cell in cells["image"]] == ["", ""]


def test_a_provider_without_models_shows_a_notice(admin_client: Client) -> None:
    row = provider("empty", "openai")
    assert "no models yet" in text(admin_client.get(reverse("provider-doctor", args=[row.pk])))


@pytest.mark.parametrize("name", ["model-edit", "provider-edit"])
def test_the_button_is_on_both_pages(admin_client: Client, name: str) -> None:
    row = demo()
    pk = row.pk if name == "model-edit" else row.provider_id
    page_text = url_for_row(row) if name == "model-edit" else reverse("provider-doctor", args=[pk])
    assert f'href="{page_text}"' in text(admin_client.get(reverse(name, args=[pk])))


# Rows


def test_only_the_newest_reports_are_stored() -> None:
    row = demo()
    other = report(demo("demo-slow"))
    for _ in range(MAX_REPORTS + 3):
        report(row)
    doctor.create_running_report(row.provider, row.name)
    assert CapabilityReport.objects.of_model(row.provider, row.name).count() == MAX_REPORTS
    assert CapabilityReport.objects.filter(pk=other.pk).exists()


def test_a_model_is_examined_once_at_a_time() -> None:
    row = demo()
    first = doctor.create_running_report(row.provider, row.name)
    with pytest.raises(doctor.AlreadyRunning):
        doctor.create_running_report(row.provider, row.name)
    CapabilityReport.objects.filter(pk=first.pk).update(
        heartbeat_at=timezone.now() - STALE_AFTER - dt.timedelta(seconds=1)
    )
    second = doctor.create_running_report(row.provider, row.name)
    # Its process was killed, and then the clock was set back.
    CapabilityReport.objects.filter(pk=second.pk).update(
        heartbeat_at=timezone.now() + dt.timedelta(hours=1)
    )
    second.refresh_from_db()
    assert not second.running
    doctor.create_running_report(row.provider, row.name)


# Running


async def until_over(pk: int) -> CapabilityReport:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while (row := await CapabilityReport.objects.aget(pk=pk)).state == "running":
            await asyncio.sleep(0.05)
    return row


async def signed_in() -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(await sync_to_async(User.objects.create_superuser)("ada"))
    return client


@pytest.mark.django_db(transaction=True)
async def test_the_button_examines_and_the_page_shows_it() -> None:
    row = await sync_to_async(demo)()
    client = await signed_in()
    assert (await client.post(url_for_row(row, "doctor-start"))).status_code == 302
    first = await CapabilityReport.objects.afirst()
    assert first is not None
    saved_report = await until_over(first.pk)
    assert saved_report.state == "done"
    assert set(saved_report.verdicts) == {probe.name for probe in PROBES}
    assert saved_report.verdicts["tool"] == "supported"
    page = text(await client.get(url_for_row(row)))
    assert "ada" in page
    assert "Supported" in page
    assert (await Model.objects.aget(pk=row.pk)).learned == {}


@pytest.mark.django_db(transaction=True)
async def test_nul_characters_of_a_model_are_not_stored() -> None:
    """PostgreSQL rejects them, and the report would never end."""
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="zero \0 byte")
        upstream.script.on("Say the word hello", ScriptedResponse(text="hello"))
        row = await sync_to_async(openai_at)(f"{upstream.url}/v1", upstream.key)
        client = await signed_in()
        await client.post(url_for_row(row, "doctor-start"))
        first = await CapabilityReport.objects.afirst()
        assert first is not None
        saved_report = await until_over(first.pk)
    messages = [finding["message"] for finding in saved_report.results["findings"]]
    assert any("zero  byte" in message for message in messages)
    assert "\0" not in "".join(messages)


@pytest.mark.django_db(transaction=True)
async def test_stop_ends_the_run_and_stores_its_findings() -> None:
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="slow", first_s=20)
        upstream.script.on("Say the word hello", ScriptedResponse(text="hello"))
        base = f"{upstream.url}/v1"
        row = await sync_to_async(openai_at)(base, upstream.key)
        client = await signed_in()
        await client.post(url_for_row(row, "doctor-start"))
        second_response = await client.post(url_for_row(row, "doctor-start"))
        assert second_response.status_code == 302
        assert await CapabilityReport.objects.acount() == 1
        first = await CapabilityReport.objects.afirst()
        assert first is not None
        await wait_until_async(
            lambda: any(not request.finished for request in upstream.requests[1:])
        )
        assert (await client.post(url_for_row(row, "doctor-stop"))).status_code == 302
        saved_report = await until_over(first.pk)
        assert saved_report.state == "stopped"
        assert saved_report.verdicts["plain"] == "supported"
        assert len(saved_report.verdicts) < len(PROBES)
        await wait_until_async(
            lambda: all(request.finished or request.left_at for request in upstream.requests),
            within_s=15,
        )


@pytest.mark.django_db(transaction=True)
async def test_progress_that_cannot_be_written_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doctor, "BEAT_S", 0.05)
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="hello", first_s=0.2)
        row = await sync_to_async(openai_at)(f"{upstream.url}/v1", upstream.key)
        client = await signed_in()
        await sync_to_async(refuse_progress)()
        try:
            await client.post(url_for_row(row, "doctor-start"))
            first = await CapabilityReport.objects.afirst()
            assert first is not None
            saved_report = await until_over(first.pk)
        finally:
            await sync_to_async(accept_progress)()
    assert saved_report.state == "done"
    assert set(saved_report.verdicts) == {probe.name for probe in PROBES}
    assert "progress of capability checks not written: refused" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_progress_that_is_written_late_keeps_the_final_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined, is_finished, is_late_written = Event(), Event(), Event()

    async def examine_and_tell(*arguments: Any, **options: Any) -> Examination:
        result = await examine(*arguments, **options)
        examined.set()
        return result

    def write_progress_last(work: Callable[[], Any]) -> Any:
        is_progress = not examined.is_set()
        if is_progress:
            assert is_finished.wait(WAIT_TIMEOUT_S)
        result = with_own_connection(work)
        (is_late_written if is_progress else is_finished).set()
        return result

    monkeypatch.setattr(doctor, "BEAT_S", 0)
    monkeypatch.setattr(doctor, "examine", examine_and_tell)
    monkeypatch.setattr(doctor, "with_own_connection", write_progress_last)
    row = await sync_to_async(demo)()
    client = await signed_in()
    await client.post(url_for_row(row, "doctor-start"))
    await wait_until_async(is_late_written.is_set)
    saved_report = await CapabilityReport.objects.aget()
    assert saved_report.state == "done"
    assert set(saved_report.verdicts) == {probe.name for probe in PROBES}


def refuse_progress() -> None:
    """Let each update that leaves a report running fail."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER refuse_progress BEFORE UPDATE ON gateway_capabilityreport"
            " WHEN NEW.state = 'running' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )


def accept_progress() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse_progress")


def openai_at(base: str, key: str) -> Model:
    provider_row = provider("openai", "openai", base_url=base)
    store.set_credential(provider_row, key)
    return model("gpt-4o", provider_row)


# The command


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("doctor", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db(transaction=True)
def test_the_command_examines_a_model_and_stores_the_report() -> None:
    demo()
    out, err = run("demo/demo-fast")
    assert "requests, about" in err
    assert re.search(r"^yes +Tool call +read_gauge", out, re.MULTILINE)
    assert "--apply" in out
    assert CapabilityReport.objects.get().state == "done"
    assert Model.objects.get().learned == {}


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_json_and_saves_proven_values() -> None:
    with StrictOpenAI() as upstream:
        row = openai_at(f"{upstream.url}/v1", upstream.key)
        row.name = "o4-mini"
        row.learned = {"sampling": True, "stop_max": 4, "images": True}
        row.save()
        out, err = run("openai/o4-mini", "--json", "--apply")
    [result] = json.loads(out)
    assert result["target"] == "openai/o4-mini"
    assert {"sampling", "stop_max"} <= {
        item["trait"] for item in result["advice"] if item["is_verified"]
    }
    row.refresh_from_db()
    assert row.learned == {"sampling": False, "stop_max": 0, "images": True}
    assert "written: sampling, stop_max" in err


@pytest.mark.django_db(transaction=True)
def test_the_command_examines_all_models_of_a_provider() -> None:
    demo("demo-fast")
    demo("demo-quota")
    demo("demo-off", enabled=False)
    with pytest.raises(CommandError, match="the checks of some models did not complete"):
        run("demo", "--json")
    assert set(CapabilityReport.objects.values_list("model", "state")) == {
        ("demo-fast", "done"),
        ("demo-quota", "no_response"),
    }


def test_the_estimate_sends_no_request() -> None:
    demo()
    _, err = run("demo/demo-fast", "--estimate")
    assert "demo/demo-fast: " in err
    assert not CapabilityReport.objects.exists()


@pytest.mark.parametrize(
    ("name", "message"), [("nobody/x", "no provider `nobody`"), ("demo", "specify one: demo/MODEL")]
)
def test_the_command_names_missing_arguments(name: str, message: str) -> None:
    provider("demo", "demo")
    with pytest.raises(CommandError, match=message):
        run(name)
