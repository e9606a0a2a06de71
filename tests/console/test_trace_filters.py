"""The filters of the trace list: text, service, status and time range."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from gateway.models import ClientTrace

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rows() -> None:
    """Three traces, the oldest of which failed two days ago."""
    now = timezone.now()
    for number, name, service, is_failed, hours in (
        (1, "Weather 100%", "planner", True, 48),
        (2, "Invoice", "billing", False, 2),
        (3, "Weather", "planner", False, 0),
    ):
        ended = now - dt.timedelta(hours=hours)
        ClientTrace.objects.create(
            trace_id=f"trace_{number}",
            name=name,
            service=service,
            session=f"talk-{number}",
            failed=is_failed,
            started_at=ended,
            ended_at=ended,
        )


def listed_trace_ids(client: Client, query: str) -> list[str]:
    """Return the ids of the traces on the page, newest first."""
    reply = client.get(f"/console/traces?{query}")
    assert reply.status_code == 200
    return re.findall(r"href=\"/console/traces/trace_(\d)\"", reply.content.decode())


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", "321"),
        ("q=weather", "31"),
        ("q=100%25", "1"),
        ("q=TALK-2", "2"),
        ("q=trace_3", "3"),
        ("q=nothing", ""),
        ("service=planner", "31"),
        ("service=nobody", ""),
        ("status=error", "1"),
        ("status=ok", "32"),
        ("status=eaten", "321"),
        ("range=1h", "3"),
        ("range=24h", "32"),
        ("range=7d", "321"),
        ("range=eaten", "321"),
        ("service=planner&status=ok&q=wea&range=24h", "3"),
        ("q=%00", "321"),
    ],
)
def test_filters_select_traces(viewer_client: Client, query: str, numbers: str) -> None:
    assert "".join(listed_trace_ids(viewer_client, query)) == numbers


def test_further_pages_keep_the_filters(
    viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.pages.traces.views.PAGE_ROWS", 1)
    page = viewer_client.get("/console/traces?service=planner&range=7d").content.decode()
    (older,) = re.findall(r'href="\?(service=planner&amp;range=7d&amp;before=\d+)"', page)
    assert listed_trace_ids(viewer_client, older.replace("&amp;", "&")) == ["1"]


def test_the_menu_lists_services_and_keeps_the_choice(viewer_client: Client) -> None:
    page = viewer_client.get("/console/traces?service=planner").content.decode()
    assert re.findall(r'<option value="(\w+)"', page)[:2] == ["billing", "planner"]
    assert '<option value="planner" selected>' in page
    gone = viewer_client.get("/console/traces?service=gone").content.decode()
    assert '<option value="gone" selected>' in gone
    assert "No trace matches these filters." in gone


def test_personal_traces_have_the_filters_of_traces(client: Client, member_user: User) -> None:
    """Service names of other users' keys are not shown."""
    client.force_login(member_user)
    page = client.get("/console/personal/traces?q=weather").content.decode()
    assert "No trace matches these filters." in page
    assert "billing" not in page
