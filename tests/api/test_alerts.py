"""Alerts in the API: list, test delivery and silence."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.models import Alert, AlertChannel, AlertSilence
from tests.api.test_resources import send


def alert(**values: Any) -> Alert:
    now = timezone.now()
    base = {"event": "budget", "subject": "API key ci, day: 80%", "message": "It is nearly used."}
    return Alert.objects.create(**base | {"started_at": now, "seen_at": now} | values)


def test_alerts_are_listed(api: Client) -> None:
    alert()
    alert(subject="old", resolved_at=timezone.now())
    (active,) = send(api, "GET", "alerts").json()["items"]
    assert (active["event"], active["subject"]) == ("budget", "API key ci, day: 80%")
    assert active["resolved_at"] is None
    (past,) = send(api, "GET", "alerts?state=resolved").json()["items"]
    assert past["subject"] == "old"
    assert send(api, "GET", "alerts?state=none").status_code == 422


def test_alerts_have_pages(api: Client) -> None:
    for number in range(3):
        alert(subject=str(number))
    first = send(api, "GET", "alerts?limit=2").json()
    assert len(first["items"]) == 2
    next_page = send(api, "GET", f"alerts?limit=2&cursor={first['next']}").json()
    assert (len(next_page["items"]), next_page["next"]) == (1, None)


def test_a_channel_is_tested_and_shows_no_url(api: Client) -> None:
    row = AlertChannel(name="pager", kind="webhook")
    row.destination = "http://127.0.0.1:1/secret-token"
    row.save()
    reply = send(api, "POST", "alerts/channels/pager/test")
    assert reply.json() == {
        "delivered": False,
        "error": "the server could not be reached: connection refused",
    }
    response = send(api, "GET", "alerts/channels")
    (channel,) = response.json()["items"]
    assert channel["error"] == "the server could not be reached: connection refused"
    assert "secret-token" not in response.content.decode()
    assert send(api, "POST", "alerts/channels/none/test").status_code == 404


def test_a_silence_is_created_and_ended(api: Client) -> None:
    body = {"hours": 2, "event": "budget", "comment": "known"}
    created = send(api, "POST", "alerts/silences", body)
    assert created.status_code == 201, created.content
    (silence,) = send(api, "GET", "alerts/silences").json()["items"]
    assert silence.keys() == created.json().keys()
    assert silence["id"] == created.json()["id"]
    assert (silence["event"], silence["subject"], silence["comment"]) == ("budget", "", "known")
    assert send(api, "DELETE", f"alerts/silences/{silence['id']}").status_code == 204
    assert not AlertSilence.objects.exists()
    assert send(api, "DELETE", f"alerts/silences/{silence['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": 1, "event": "nothing"}, "event"),
        ({"hours": 1, "subject": "x" * 301}, "subject"),
        ({"event": "budget"}, "hours"),
        ({"hours": 1, "evnt": "budget"}, "evnt"),
    ],
    ids=["no time", "unknown event", "long subject", "no hours", "unknown field"],
)
def test_an_invalid_silence_is_refused_with_the_field(
    api: Client, body: dict[str, Any], field: str
) -> None:
    response = send(api, "POST", "alerts/silences", body)
    assert response.status_code == 422
    assert field in response.content.decode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"error_rate": 3}, "there is no `error_rate`"),
        ({"error_rate_percent": 0}, "error_rate_percent must be a whole number from 1 to 100"),
        ({"error_rate_percent": "5"}, "error_rate_percent must be"),
        ({"error_rate_percent": True}, "error_rate_percent must be"),
        ([], "must be an object of budget_percent"),
    ],
    ids=["name", "range", "text", "flag", "list"],
)
def test_thresholds_over_the_api(api: Client, value: Any, reason: str) -> None:
    response = send(api, "PATCH", "settings", {"alert_thresholds": value})
    assert response.status_code == 422
    assert reason in response.json()["detail"]
    change = {"alert_thresholds": {"error_rate_percent": 40, "cooldown_s": None}}
    assert send(api, "PATCH", "settings", change).status_code == 200
    assert store.load_options().alert_thresholds.error_rate_percent == 40


@pytest.mark.parametrize("cursor", [2**31, 10**19])
def test_a_page_beyond_all_alerts_is_empty(api: Client, cursor: int) -> None:
    reply = api.get(f"/api/alerts?cursor={cursor}")
    assert (reply.status_code, reply.json()["items"]) == (200, [])
