"""Alerts over the API: list them, test their channels, silence them."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from gateway.alerts.delivery import deliver, sample_notification
from gateway.alerts.silences import MAX_HOURS, create_silence, remove_silence
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_PAGE, page
from gateway.api.request_schema import RequestSchema
from gateway.api.resources import reply
from gateway.models.alert import Alert, AlertChannel, AlertSilence

router = Router(tags=["alerts"])
# An offset beyond all alerts.
_MAX_ROWS = 2**31


class AlertOut(Schema):
    """An alert.

    Attributes:
        event: kind of event, such as `budget`.
        subject: the budget, provider, target or key that it is about.
        node: the machine that observes it; empty if all do.
        resolved_at: when the condition ended; null while it holds.
        is_silenced: whether its start was not sent, because of a silence.
    """

    id: int
    event: str
    subject: str
    node: str
    message: str
    started_at: dt.datetime
    seen_at: dt.datetime
    resolved_at: dt.datetime | None
    is_silenced: bool


class AlertPage(Schema):
    """Alerts, newest first, and the cursor of the next page; null at the end."""

    items: list[AlertOut]
    next: int | None


class ChannelOut(Schema):
    """A channel, without its URL or address.

    Attributes:
        events: the events that are sent; empty means all.
        sent_at: when the last message was sent; null if none was.
        error: why the last message was not delivered; empty if it was.
    """

    name: str
    kind: str
    events: list[str]
    enabled: bool
    sent_at: dt.datetime | None
    error: str


class ChannelPage(Schema):
    """Channels, and the cursor of the next page; null at the end."""

    items: list[ChannelOut]
    next: int | None


class DeliveryOut(Schema):
    """The result of a test message; `error` is empty if it was delivered."""

    delivered: bool
    error: str


class SilenceIn(RequestSchema):
    """A silence to create.

    Attributes:
        hours: how long it lasts.
        event: the event that it matches; empty matches all.
        subject: the subject that it matches; empty matches all.
    """

    hours: float = Field(gt=0, le=MAX_HOURS)
    event: str = ""
    subject: str = ""
    comment: str = ""


class SilenceOut(Schema):
    """A silence: alerts that match are listed, but not sent until `ends_at`."""

    id: int
    event: str
    subject: str
    comment: str
    ends_at: dt.datetime
    created_at: dt.datetime
    created_by: str


class SilencePage(Schema):
    """Silences that have not ended, and the cursor of the next page; null at the end."""

    items: list[SilenceOut]
    next: int | None


@router.get("/alerts", response=AlertPage)
def list_alerts(
    request: HttpRequest,
    state: Literal["active", "resolved"] = "active",
    cursor: int = 0,
    limit: int = 50,
) -> Any:
    """Active or past alerts, newest first."""
    alerts = Alert.objects.firing() if state == "active" else Alert.objects.resolved()
    start, size = min(max(cursor, 0), _MAX_ROWS), min(max(limit, 1), MAX_PAGE)
    rows = list(alerts[start : start + size + 1])
    return {"items": rows[:size], "next": start + size if len(rows) > size else None}


@router.get("/alerts/channels", response=ChannelPage)
def list_alert_channels(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """The channels that alerts are sent to, without their URLs and addresses."""
    channels = AlertChannel.objects.select_related("delivery")
    return page([_channel_out(row) for row in channels], cursor, limit)


def _channel_out(row: AlertChannel) -> dict[str, Any]:
    delivery = getattr(row, "delivery", None)
    return {
        "name": row.name,
        "kind": row.kind,
        "events": row.events,
        "enabled": row.enabled,
        "sent_at": delivery.sent_at if delivery is not None else None,
        "error": delivery.error if delivery is not None else "",
    }


@router.post("/alerts/channels/{name}/test", response=DeliveryOut)
def test_alert_channel(request: HttpRequest, name: str) -> Any:
    """Send a test message to a channel."""
    row = AlertChannel.objects.filter(name=name).first() if "\0" not in name else None
    if row is None:
        return failure(404, f"there is no channel `{name[:200]}`")
    error = deliver(row, sample_notification(), attempts=1)
    return {"delivered": not error, "error": error}


@router.get("/alerts/silences", response=SilencePage)
def list_alert_silences(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """Silences that have not ended."""
    return page(list(AlertSilence.objects.current()), cursor, limit)


@router.post("/alerts/silences", response={201: SilenceOut})
def create_alert_silence(request: HttpRequest, silence: SilenceIn) -> Any:
    """Silence matching alerts: they are listed, but their start is not sent."""
    return run_once(request, lambda: _create_silence(silence))


def _create_silence(silence: SilenceIn) -> HttpResponse:
    try:
        row = create_silence(**silence.model_dump())
    except ValueError as error:
        return failure(422, str(error), str(error).partition(" ")[0])
    return reply(201, SilenceOut.from_orm(row).model_dump(mode="json"))


@router.delete("/alerts/silences/{int:number}", response={204: None})
def delete_alert_silence(request: HttpRequest, number: int) -> Any:
    """End a silence; alerts that it suppressed and that are still active are sent."""
    row = AlertSilence.objects.filter(pk=min(number, 2**63 - 1)).first()
    if row is None:
        return failure(404, f"there is no silence {number}")
    remove_silence(row)
    return HttpResponse(status=204)
