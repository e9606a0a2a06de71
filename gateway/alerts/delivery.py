"""Sends messages to alert channels."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any, NamedTuple

import httpx
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from gateway.models.alert import AlertChannel, AlertDelivery
from gateway.models.sealed import UndecryptableError
from gateway.relay.upstream.connect import describe_connect_failure

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
ATTEMPTS = 3


class Notification(NamedTuple):
    """One message: `status` is `firing`, `resolved` or `test`."""

    status: str
    event: str
    subject: str
    message: str
    started_at: datetime

    @property
    def text(self) -> str:
        """The message on one line: names in it may have line breaks, and subjects have none."""
        label = {"firing": "Alert", "resolved": "Resolved", "test": "Test"}[self.status]
        return " ".join(f"[Dragoman] {label}: {self.message}".split())


class DeliveryError(Exception):
    """A message that was not accepted; the text has no secrets."""


def sample_notification() -> Notification:
    """The message of the test button."""
    text = "This is a test message. Alerts of this gateway arrive here."
    return Notification("test", "test", "test", text, timezone.now())


def deliver(channel: AlertChannel, notification: Notification, attempts: int = ATTEMPTS) -> str:
    """Send a message, again if it fails, and record the outcome. Return the error, or empty."""
    error = ""
    for _ in range(attempts):
        try:
            _send_notification(channel, notification)
        except DeliveryError as failure:
            error = str(failure)
            continue
        error = ""
        break
    if error:
        log.warning("an alert was not delivered", extra={"channel": channel.name, "error": error})
    AlertDelivery.objects.update_or_create(
        channel=channel, defaults={"sent_at": timezone.now(), "error": error[:500]}
    )
    return error


def _send_notification(channel: AlertChannel, notification: Notification) -> None:
    try:
        destination = channel.destination
    except UndecryptableError as error:
        raise DeliveryError(str(error)) from None
    if channel.kind == AlertChannel.Kind.EMAIL:
        _send_email(destination, notification)
        return
    payload = _notification_payload(notification)
    if channel.kind == AlertChannel.Kind.SLACK:
        payload = {"text": notification.text}
    asyncio.run(_post_json(destination, payload))


def _notification_payload(notification: Notification) -> dict[str, Any]:
    return {
        "source": "dragoman",
        "status": notification.status,
        "event": notification.event,
        "subject": notification.subject,
        "message": notification.message,
        "started_at": notification.started_at.isoformat(),
    }


async def _post_json(url: str, payload: dict[str, Any]) -> None:
    try:
        # A server that sends its headers slowly would reset the client's own timeout each time.
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream("POST", url, json=payload) as response,
        ):
            status = response.status_code
    except (TimeoutError, httpx.TimeoutException):
        raise DeliveryError(f"no response within {TIMEOUT_S:.0f} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeliveryError(_describe_failure(error)) from None
    if not 200 <= status < 300:
        raise DeliveryError(f"HTTP {status}")


def _describe_failure(error: Exception) -> str:
    """What failed; not the error's own text, which may contain the URL, a secret."""
    cause: BaseException | None = error
    # An error without a number is one around those of the addresses that were tried.
    while cause is not None and not (isinstance(cause, OSError) and cause.errno is not None):
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__  # httpcore removes the `__cause__`
    if not isinstance(cause, OSError):
        return f"the connection failed ({type(error).__name__})"
    return f"the server could not be reached: {describe_connect_failure(cause)}"


def _send_email(address: str, notification: Notification) -> None:
    if not settings.EMAIL_HOST:
        raise DeliveryError("no mail server is configured: set DRAGOMAN_SMTP_HOST")
    body = f"{notification.message}\n\nSince {notification.started_at:%Y-%m-%d %H:%M} UTC."
    try:
        EmailMessage(notification.text, body, settings.DEFAULT_FROM_EMAIL, [address]).send()
    except OSError as error:
        # smtplib's exceptions are OSErrors; their texts may contain credentials.
        raise DeliveryError(f"the mail server failed ({type(error).__name__})") from None
