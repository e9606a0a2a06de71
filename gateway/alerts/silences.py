"""Creates and removes silences of alerts."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from gateway import audit
from gateway.models.alert import AlertEvent, AlertSilence
from gateway.models.registry import is_single_line

MAX_HOURS = 24 * 365
# Silences that ended this long ago are deleted.
ENDED_RETENTION = timedelta(days=30)


def create_silence(
    *, hours: float, event: str = "", subject: str = "", comment: str = ""
) -> AlertSilence:
    """Silence matching alerts from now on; an empty event or subject matches all.

    Raises:
        ValueError: a value is not allowed; the text names it.
    """
    if event and event not in AlertEvent.values:
        raise ValueError(f"event must be one of {', '.join(AlertEvent.values)}")
    if not 0 < hours <= MAX_HOURS:
        raise ValueError(f"hours must be above 0 and at most {MAX_HOURS}")
    for name, text in (("subject", subject), ("comment", comment)):
        if len(text) > 300 or not is_single_line(text):
            raise ValueError(f"{name} must be text of at most 300 characters in one line")
    now = timezone.now()
    AlertSilence.objects.ended_before(now - ENDED_RETENTION).delete()
    silence: AlertSilence = AlertSilence.objects.create(
        event=event,
        subject=subject,
        comment=comment,
        ends_at=(now + timedelta(hours=hours)).replace(microsecond=0),
        created_by=audit.actor()[0],
    )
    _record_change(silence, created=True)
    return silence


def remove_silence(silence: AlertSilence) -> None:
    """End a silence; alerts that it suppressed and that are still active are sent."""
    _record_change(silence, created=False)
    silence.delete()


def _record_change(silence: AlertSilence, *, created: bool) -> None:
    values = {**audit.row_values(silence), "ends_at": silence.ends_at.isoformat()}
    before, after = (None, values) if created else (values, None)
    audit.record_change("alertsilence", silence.pk, str(silence), before, after)
