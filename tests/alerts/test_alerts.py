"""Alerts: the conditions that raise them, one delivery per alert, and the channels."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.contrib.auth.models import User
from django.core import mail
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway import store
from gateway.alerts import monitor
from gateway.alerts.conditions import Condition, ProcessFigures, current_conditions
from gateway.alerts.delivery import deliver, sample_notification
from gateway.alerts.monitor import AlertTracker
from gateway.alerts.silences import create_silence, remove_silence
from gateway.models import Alert, AlertChannel, AlertSilence, Change
from gateway.models.alert import AlertEvent
from gateway.relay.runtime import Runtime
from tests.store import factories
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_database_that_is_away_is_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checked_again = threading.Event()
    errors = [OperationalError("no response\nIs the server running?")]

    def read_process_figures(_: object) -> None:
        if errors:
            raise errors.pop()
        checked_again.set()
        raise OperationalError("away again")

    monkeypatch.setattr(monitor, "read_process_figures", read_process_figures)
    runtime = SimpleNamespace(config=SimpleNamespace(data_dir=tmp_path))
    alert_monitor = monitor.AlertMonitor(cast("Runtime", runtime), 0.01)
    assert checked_again.wait(10)
    asyncio.run(alert_monitor.stop())
    assert caplog.text.splitlines()[0].endswith("alerts cannot be checked; retrying: no response")
    assert "Traceback" not in caplog.text


def test_alerts_are_checked_if_the_data_directory_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checked = threading.Event()

    def read_process_figures(_: object) -> None:
        checked.set()
        raise OperationalError("no figures here")

    monkeypatch.setattr(monitor, "read_process_figures", read_process_figures)
    runtime = SimpleNamespace(config=SimpleNamespace(data_dir=tmp_path / "missing"))
    alert_monitor = monitor.AlertMonitor(cast("Runtime", runtime), 0.01)
    assert checked.wait(10)
    asyncio.run(alert_monitor.stop())
    assert "each process of this node checks the alerts: " in caplog.text.splitlines()[0]
    assert "Traceback" not in caplog.text


class WebhookReceiver:
    """A webhook server that answers with `status` after `delay_s` seconds."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.status = 200
        self.hang = threading.Event()
        self.hangs = False
        self.sends_slowly = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.hangs:
                    receiver.hang.wait(30)
                receiver.received.append(json.loads(body))
                for _ in range(20 if receiver.sends_slowly else 0):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    receiver.hang.wait(0.1)
                self.send_response(receiver.status)
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret-token"


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield receiver
    receiver.hang.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def channel(url: str, **values: Any) -> AlertChannel:
    row = AlertChannel(name=values.pop("name", "hook"), **{"kind": "webhook", **values})
    row.destination = url
    row.save()
    return row


def process_figures(**changes: Any) -> ProcessFigures:
    base = ProcessFigures(
        snapshot=store.load_snapshot(), budgets={}, cooldowns=(), lost_rows=0, waiting_rows=0
    )
    return base._replace(**changes)


class Node:
    """The alert checks of one node, run by a process."""

    def __init__(self, name: str = "node-1") -> None:
        self.now = 0.0
        self.tracker = AlertTracker(name, clock=lambda: self.now)

    def check(self, **changes: Any) -> None:
        self.tracker.update(open_conditions(**changes))
        self.now += 30


def open_conditions(**changes: Any) -> list[Condition]:
    thresholds = store.load_options().alert_thresholds
    return current_conditions(process_figures(**changes), timezone.now(), thresholds)


def conditions(**changes: Any) -> list[tuple[AlertEvent, str]]:
    return [(c.event, c.subject) for c in open_conditions(**changes)]


def test_no_conditions_raise_no_alerts() -> None:
    assert conditions() == []


@pytest.mark.parametrize(
    ("spent", "share"), [(7.99, None), (8.0, "80%"), (9.99, "80%"), (10.0, "100%"), (12.0, "100%")]
)
def test_spent_budgets_raise_alerts(spent: float, share: str | None) -> None:
    key, _ = store.create_key("ci")
    raised_conditions = conditions(budgets={(f"key:{key.pk}", "day"): (10.0, spent)})
    assert raised_conditions == (
        [(AlertEvent.BUDGET, f"API key ci, day: {share}")] if share else []
    )


@pytest.mark.parametrize(
    ("failed_count", "answered_count", "kind", "is_raised"),
    [
        (5, 15, "upstream_error", True),
        (4, 16, "upstream_error", False),
        (5, 10, "timeout", False),  # too few to tell
        (20, 0, "invalid_request", False),  # the clients' errors
    ],
)
def test_high_error_rates_raise_alerts(
    failed_count: int, answered_count: int, kind: str, is_raised: bool
) -> None:
    now = timezone.now().timestamp()
    rows = [
        make_record(id=f"f{n}", started_at=now, provider="acme", error_kind=kind, outcome="error")
        for n in range(failed_count)
    ]
    rows += [
        make_record(id=f"a{n}", started_at=now, provider="acme") for n in range(answered_count)
    ]
    rows += [
        make_record(
            id=f"o{n}", started_at=now - 600, provider="old", error_kind=kind, outcome="error"
        )
        for n in range(30)
    ]
    store.write(rows)
    assert conditions() == ([(AlertEvent.ERROR_RATE, "acme")] if is_raised else [])


def test_api_keys_that_expire_soon_raise_alerts() -> None:
    now = timezone.now()
    for name, days, revoked in (("soon", 6, False), ("later", 8, False), ("gone", 6, True)):
        key, _ = store.create_key(name)
        key.expires_at = now + dt.timedelta(days=days)
        key.revoked_at = now if revoked else None
        key.save()
    ((event, subject),) = conditions()
    assert event == AlertEvent.KEY_EXPIRY
    assert subject.startswith("soon (")


@pytest.mark.parametrize(
    ("name", "at_default", "below", "changes"),
    [
        ("budget_percent", False, 50, {"budgets": {("all", "day"): (10.0, 6.0)}}),
        ("waiting_rows", False, 10, {"waiting_rows": 10}),
        ("journal_percent", False, 30, {"journal_share": 0.3}),
        ("journal_percent", True, 90, {"journal_share": 0.85}),
    ],
)
def test_thresholds_are_settings(
    name: str, at_default: bool, below: int, changes: dict[str, Any]
) -> None:
    assert bool(conditions(**changes)) is at_default
    store.set_options({"alert_thresholds": {name: below}})
    assert bool(conditions(**changes)) is not at_default


def test_windows_and_days_are_settings() -> None:
    now = timezone.now()
    rows = [
        make_record(
            id=f"f{n}",
            started_at=now.timestamp() - 600,
            provider="acme",
            error_kind="timeout",
            outcome="error",
        )
        for n in range(3)
    ]
    store.write(rows)
    key, _ = store.create_key("late")
    key.expires_at = now + dt.timedelta(days=20)
    key.save()
    assert conditions() == []
    store.set_options(
        {
            "alert_thresholds": {
                "error_rate_minutes": 15,
                "error_rate_min_requests": 3,
                "key_expiry_days": 30,
            }
        }
    )
    assert [event for event, _ in conditions()] == [AlertEvent.ERROR_RATE, AlertEvent.KEY_EXPIRY]


def certificate(days: int) -> bytes:
    """Return a certificate that expires in `days` days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.test")])
    now = timezone.now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=90))
    signed = builder.not_valid_after(now + dt.timedelta(days=days)).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("days", "verb"), [(13, "expires on"), (15, None), (-1, "expired on")], ids=str
)
def test_certificates_that_expire_soon_raise_alerts(
    settings: Any, tmp_path: Path, days: int, verb: str | None
) -> None:
    file = tmp_path / "gateway.pem"
    file.write_bytes(certificate(days))
    settings.WATCH_CERTIFICATE = str(file)
    factories.provider("acme", ca_certificates=certificate(days).decode())
    messages = [condition.message for condition in open_conditions()]
    if verb is None:
        assert messages == []
        return
    assert [message.partition(f" {verb} ")[0] for message in messages] == [
        "The authority of provider acme",
        "The certificate gateway.pem",
    ]


def test_a_certificate_that_cannot_be_read_is_no_alert(settings: Any, tmp_path: Path) -> None:
    settings.WATCH_CERTIFICATE = str(tmp_path / "missing.pem")
    assert conditions() == []


def test_a_silenced_alert_is_sent_when_the_silence_ends(receiver: WebhookReceiver) -> None:
    channel(receiver.url)
    silence = create_silence(hours=1, event="request_log", subject="rows lost")
    check = Node().check
    check(lost_rows=1)
    check(lost_rows=1)
    assert receiver.received == []
    assert Alert.objects.get().is_silenced
    # Other alerts are sent.
    check(lost_rows=1, waiting_rows=10_000)
    assert [m["subject"] for m in receiver.received] == ["rows waiting"]
    AlertSilence.objects.filter(pk=silence.pk).update(ends_at=timezone.now())
    check(lost_rows=1, waiting_rows=10_000)
    check(lost_rows=1, waiting_rows=10_000)
    assert [m["subject"] for m in receiver.received] == ["rows waiting", "rows lost"]


def test_the_end_of_a_silenced_alert_is_not_sent(receiver: WebhookReceiver) -> None:
    channel(receiver.url)
    create_silence(hours=1)
    check = Node().check
    check(lost_rows=1)
    check()
    assert receiver.received == []
    assert Alert.objects.resolved().count() == 1


def test_the_end_of_a_sent_alert_is_sent_even_if_it_is_silenced_now(
    receiver: WebhookReceiver,
) -> None:
    channel(receiver.url)
    check = Node().check
    check(lost_rows=1)
    create_silence(hours=1)
    check()
    assert [m["status"] for m in receiver.received] == ["firing", "resolved"]


def test_silences_are_in_the_audit_log() -> None:
    remove_silence(create_silence(hours=1, comment="maintenance"))
    changes = Change.objects.filter(kind="alertsilence").order_by("pk")
    assert [change.action for change in changes] == ["created", "deleted"]


def test_an_alert_and_its_end_are_sent_once(receiver: WebhookReceiver) -> None:
    channel(receiver.url)
    check = Node().check
    for _ in range(3):
        check(lost_rows=7)
    assert [m["status"] for m in receiver.received] == ["firing"]
    assert receiver.received[0]["message"] == "Rows of the request log lost since the start: 7."
    check()
    check()
    assert [m["status"] for m in receiver.received] == ["firing", "resolved"]
    assert Alert.objects.firing().count() == 0
    assert Alert.objects.resolved().count() == 1


def test_a_short_cooldown_is_not_sent(receiver: WebhookReceiver) -> None:
    channel(receiver.url)
    check = Node().check
    for cooldowns in ((), ("a/b",), ("a/b",), (), ("a/b",), ("a/b",)):
        check(cooldowns=cooldowns)
    assert receiver.received == []
    check(cooldowns=("a/b",))
    assert [m["subject"] for m in receiver.received] == ["a/b"]


def test_nodes_do_not_end_each_others_alerts(receiver: WebhookReceiver) -> None:
    channel(receiver.url)
    first, second = Node("node-1"), Node("node-2")
    first.check(lost_rows=1)
    second.check()
    assert Alert.objects.firing().count() == 1
    # A node that was shut down does not report any more.
    Alert.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=11))
    second.check()
    assert [m["status"] for m in receiver.received] == ["firing", "resolved"]


def test_an_alert_seen_by_all_nodes_is_sent_once(receiver: WebhookReceiver) -> None:
    key, _ = store.create_key("ci")
    spent = {(f"key:{key.pk}", "day"): (10.0, 10.0)}
    channel(receiver.url)
    for name in ("node-1", "node-2"):
        Node(name).check(budgets=spent)
    assert len(receiver.received) == 1


def test_a_budget_that_is_used_up_does_not_resolve_its_first_alert(
    receiver: WebhookReceiver,
) -> None:
    """The first alert ends, but nothing is resolved: the budget is worse than before."""
    key, _ = store.create_key("ci")
    channel(receiver.url)
    node = Node()
    for spent in (8.0, 10.0, 10.0, 0.0):
        node.check(budgets={(f"key:{key.pk}", "day"): (10.0, spent)})
    assert [(m["status"], m["subject"]) for m in receiver.received] == [
        ("firing", "API key ci, day: 80%"),
        ("firing", "API key ci, day: 100%"),
        ("resolved", "API key ci, day: 100%"),
    ]
    assert not Alert.objects.firing()


def test_a_node_that_learns_of_spending_later_does_not_end_an_alert(
    receiver: WebhookReceiver,
) -> None:
    """Without Redis, a node learns what others spend from the database, seconds later."""
    key, _ = store.create_key("ci")
    spent = {(f"key:{key.pk}", "day"): (10.0, 10.0)}
    channel(receiver.url)
    first, second = Node("node-1"), Node("node-2")
    first.check(budgets=spent)
    second.check()
    first.check(budgets=spent)
    second.check(budgets=spent)
    assert [m["status"] for m in receiver.received] == ["firing"]
    for node in (first, second, first, second):
        node.check()
    assert [m["status"] for m in receiver.received] == ["firing", "resolved"]


def test_an_alert_that_ends_while_its_node_restarts_is_resolved(receiver: WebhookReceiver) -> None:
    key, _ = store.create_key("ci")
    channel(receiver.url)
    Node().check(budgets={(f"key:{key.pk}", "day"): (10.0, 10.0)})
    Node().check()
    assert len(receiver.received) == 1
    Alert.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=11))
    Node().check()
    assert [m["status"] for m in receiver.received] == ["firing", "resolved"]


def test_channels_get_the_events_they_subscribe_to(receiver: WebhookReceiver) -> None:
    channel(receiver.url, name="budgets", events=["budget"])
    channel(receiver.url, name="off", enabled=False)
    channel(receiver.url, name="slack", kind="slack")
    Node().check(lost_rows=1)
    text = "[Dragoman] Alert: Rows of the request log lost since the start: 1."
    assert receiver.received == [{"text": text}]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 404}, "HTTP 404"),
        ({"status": 302}, "HTTP 302"),  # never followed
        ({"hangs": True}, "no response within"),
        ({"sends_slowly": True}, "no response within"),
    ],
)
def test_a_failed_delivery_is_recorded(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], error: str
) -> None:
    if error == "no response within":
        monkeypatch.setattr("gateway.alerts.delivery.TIMEOUT_S", 0.2)
    for name, value in fault.items():
        setattr(receiver, name, value)
    row = channel(receiver.url)
    assert deliver(row, sample_notification(), attempts=1).startswith(error)
    row.refresh_from_db()
    assert row.delivery.error.startswith(error)
    assert "secret-token" not in row.delivery.error


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1:1", "connection refused"),
        ("secret-host.invalid", "its host name cannot be resolved"),
    ],
)
def test_an_unreachable_webhook_names_the_reason_and_no_url(host: str, reason: str) -> None:
    row = channel(f"http://{host}/secret-token")
    error = deliver(row, sample_notification(), attempts=1)
    assert error == f"the server could not be reached: {reason}"


def test_alerts_are_sent_by_email(settings: Any) -> None:
    row = channel("ops@example.org", kind="email")
    settings.EMAIL_HOST = ""
    assert "DRAGOMAN_SMTP_HOST" in deliver(row, sample_notification(), attempts=1)
    settings.EMAIL_HOST = "mail.example.org"
    assert deliver(row, sample_notification(), attempts=1) == ""
    (message,) = mail.outbox
    assert message.to == ["ops@example.org"]
    assert message.subject.startswith("[Dragoman] Test")


def test_a_name_with_line_breaks_does_not_stop_emails(settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    channel("ops@example.org", kind="email")
    key, _ = store.create_key("ci\r\nBcc: eve@example.org")
    Node().check(budgets={(f"key:{key.pk}", "day"): (10.0, 10.0)})
    (message,) = mail.outbox
    assert message.subject.startswith("[Dragoman] Alert: API key ci Bcc: eve@example.org has used")
    assert message.recipients() == ["ops@example.org"]


def test_the_alerts_page_lists_alerts_and_channels(
    client: Client, receiver: WebhookReceiver
) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    fields = {"name": "hook", "kind": "webhook", "destination": receiver.url, "enabled": "on"}
    refused_response = client.post(
        reverse("alert-channel-add"), {**fields, "destination": "javascript:1"}
    )
    assert refused_response.status_code == 422
    assert client.post(reverse("alert-channel-add"), fields).status_code == 302
    row = AlertChannel.objects.get()
    assert row.destination == receiver.url
    assert receiver.url not in row.credential
    # An empty field keeps the stored URL, unless it would become an address.
    edit = reverse("alert-channel", args=[row.pk])
    assert client.post(edit, {**fields, "name": "pager", "destination": ""}).status_code == 302
    assert client.post(edit, {**fields, "kind": "email", "destination": ""}).status_code == 422
    row.refresh_from_db()
    assert (row.name, row.destination) == ("pager", receiver.url)
    page = client.post(reverse("alert-channel-test", args=[row.pk]), follow=True)
    assert "Test message sent to pager." in page.content.decode()
    assert receiver.received[0]["status"] == "test"
    receiver.status = 500
    page = client.post(reverse("alert-channel-test", args=[row.pk]), follow=True)
    assert "not delivered: HTTP 500" in page.content.decode()
    for url in (reverse("alerts"), edit):
        assert "secret-token" not in client.get(url).content.decode()
    assert client.post(reverse("alert-channel-delete", args=[row.pk])).status_code == 302
    assert AlertChannel.objects.count() == 0


def test_alert_thresholds_are_changed_in_a_form(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    url = reverse("alert-thresholds")
    refused_response = client.post(url, {"error_rate_percent": "0"})
    assert refused_response.status_code == 422
    assert client.post(url, {"error_rate_percent": "50", "cooldown_s": "0"}).status_code == 302
    thresholds = store.load_options().alert_thresholds
    assert (thresholds.error_rate_percent, thresholds.cooldown_s) == (50, 0)
    assert thresholds.key_expiry_days == 7
    page = client.get(url).content.decode()
    assert 'value="50"' in page
    assert "Leave empty for the default, which is shown in gray." in page
    # Empty fields are the defaults.
    assert client.post(url, {}).status_code == 302
    assert store.load_options().values["alert_thresholds"].origin == "default"


def test_an_alert_is_silenced_on_its_page(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    Node().check(lost_rows=1)
    page = client.get(reverse("alerts")).content.decode()
    link = "/console/alerts/silences/add?event=request_log&amp;subject=rows%20lost"
    assert link in page
    form = client.get(link.replace("&amp;", "&")).content.decode()
    assert 'value="rows lost"' in form
    assert client.post(reverse("alert-silence-add"), {"hours": "0"}).status_code == 422
    fields = {"hours": "2", "event": "request_log", "subject": "rows lost", "comment": "known"}
    assert client.post(reverse("alert-silence-add"), fields).status_code == 302
    row = AlertSilence.objects.get()
    assert (row.created_by, row.comment) == ("ada", "known")
    assert "known" in client.get(reverse("alerts")).content.decode()
    assert client.post(reverse("alert-silence-delete", args=[row.pk])).status_code == 302
    assert not AlertSilence.objects.exists()


def test_only_admins_see_alerts(client: Client) -> None:
    row = channel("http://127.0.0.1:1/")
    client.force_login(User.objects.create_user("vic"))
    for url in (
        reverse("alerts"),
        reverse("alert-channel-add"),
        reverse("alert-thresholds"),
        reverse("alert-silence-add"),
        reverse("alert-channel", args=[row.pk]),
    ):
        assert client.get(url).status_code == 403
    for name in ("alert-channel-test", "alert-channel-delete", "alert-silence-delete"):
        assert client.post(reverse(name, args=[row.pk])).status_code == 403
