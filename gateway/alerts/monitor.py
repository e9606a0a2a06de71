"""Watches the conditions of a node, records alerts, and sends each change once."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.utils import timezone

from gateway.alerts.conditions import Condition, current_conditions, read_process_figures
from gateway.alerts.delivery import Notification, deliver
from gateway.models.alert import Alert, AlertChannel, AlertSilence
from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.runtime import Runtime
from gateway.store.options import load_options

log = logging.getLogger(__name__)

# An alert whose last observer no longer reports is closed after this time.
STALE_AFTER = timedelta(minutes=10)


class AlertTracker:
    """The alerts of one node: compares the current conditions with the recorded alerts."""

    def __init__(self, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock = clock
        # Since when each condition has been true, by event and subject.
        self._true_since: dict[tuple[str, str], float] = {}
        # When this node last observed each active alert that all nodes share, by primary key.
        self._seen_at: dict[int, datetime] = {}

    def update(self, conditions: list[Condition]) -> None:
        """Record changes of the conditions, and send them to the channels."""
        now = self._clock()
        self._true_since = {
            (c.event, c.subject): self._true_since.get((c.event, c.subject), now)
            for c in conditions
        }
        due_conditions = [
            c for c in conditions if now - self._true_since[c.event, c.subject] >= c.min_s
        ]
        silences = list(AlertSilence.objects.current())
        notifications = [
            *self._open_alerts(due_conditions, silences),
            *self._resolve_alerts(conditions),
            *self._end_silences(silences),
        ]
        for channel in AlertChannel.objects.filter(enabled=True) if notifications else ():
            for notification in notifications:
                if not channel.events or notification.event in channel.events:
                    deliver(channel, notification)

    def _open_alerts(
        self, conditions: list[Condition], silences: list[AlertSilence]
    ) -> list[Notification]:
        notifications = []
        now = timezone.now()
        for condition in conditions:
            node = self._node if condition.per_node else ""
            identity = {"event": condition.event, "subject": condition.subject[:300], "node": node}
            values = {"message": condition.message[:500], "seen_at": now}
            if Alert.objects.firing().filter(**identity).update(**values):
                continue
            try:
                with transaction.atomic():
                    alert = Alert.objects.create(
                        **identity,
                        **values,
                        started_at=now,
                        is_silenced=_is_silenced(identity, silences),
                    )
            except IntegrityError:
                continue  # another node was faster
            if not alert.is_silenced:
                notifications.append(
                    Notification(
                        "firing", condition.event, condition.subject, condition.message, now
                    )
                )
        return notifications

    def _resolve_alerts(self, conditions: list[Condition]) -> list[Notification]:
        current_identities = {
            (c.event, c.subject[:300], self._node if c.per_node else "") for c in conditions
        }
        replaced_alerts = {
            (c.event, c.replaced_subject[:300]) for c in conditions if c.replaced_subject
        }
        notifications = []
        now = timezone.now()
        seen_at: dict[int, datetime] = {}
        for alert in Alert.objects.firing():
            if (alert.event, alert.subject, alert.node) in current_identities:
                seen_at[alert.pk] = alert.seen_at
                continue
            if self._seen_elsewhere(alert) and alert.seen_at > now - STALE_AFTER:
                continue
            resolved_count = Alert.objects.firing().filter(pk=alert.pk).update(resolved_at=now)
            is_replaced = (alert.event, alert.subject) in replaced_alerts
            if resolved_count and not (alert.is_silenced or is_replaced):
                notifications.append(
                    Notification(
                        "resolved", alert.event, alert.subject, alert.message, alert.started_at
                    )
                )
        self._seen_at = seen_at
        return notifications

    def _seen_elsewhere(self, alert: Alert) -> bool:
        """Whether another node has observed the alert last; that node ends it.

        Nodes learn of spending at different times: one that does not know of it yet must not end
        the alert of another, which would be sent again.
        """
        if alert.node:
            return alert.node != self._node
        return alert.seen_at != self._seen_at.get(alert.pk)

    def _end_silences(self, silences: list[AlertSilence]) -> list[Notification]:
        """Notifications of active alerts whose silence has ended."""
        notifications = []
        for alert in Alert.objects.firing().filter(is_silenced=True):
            if any(silence.matches(alert.event, alert.subject) for silence in silences):
                continue
            rows = Alert.objects.firing().filter(pk=alert.pk, is_silenced=True)
            if rows.update(is_silenced=False):
                notifications.append(
                    Notification(
                        "firing", alert.event, alert.subject, alert.message, alert.started_at
                    )
                )
        return notifications


def _is_silenced(identity: Mapping[str, str], silences: Iterable[AlertSilence]) -> bool:
    return any(silence.matches(identity["event"], identity["subject"]) for silence in silences)


class AlertMonitor:
    """Checks conditions in a thread; in one process of each node."""

    def __init__(self, runtime: Runtime, interval_s: float) -> None:
        self._runtime = runtime
        self._interval_s = interval_s
        self._lock_path: Path = runtime.config.data_dir / "alerts.lock"
        self._tracker = AlertTracker(socket.gethostname()[:200])
        self._stop = threading.Event()
        self._thread = RestartingThread("alerts", self._run, self._stop)

    async def stop(self) -> None:
        """Stop the thread; a message that is being sent is waited for."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 15.0)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            lock = None
            try:
                lock = stack.enter_context(self._lock_path.open("w"))
            except OSError as error:  # as on a read-only disk; the database keeps alerts unique
                log.warning("each process of this node checks the alerts: %s", error)
            while not self._stop.wait(self._interval_s):
                try:
                    if lock is not None:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # another process of this node checks
                self._check()

    def _check(self) -> None:
        try:
            figures = read_process_figures(self._runtime)
            thresholds = load_options().alert_thresholds
            self._tracker.update(current_conditions(figures, timezone.now(), thresholds))
        except (InterfaceError, OperationalError) as error:
            reason = str(error).partition("\n")[0][:200]
            log.warning("alerts cannot be checked; retrying: %s", reason)
        finally:
            connections.close_all()


def start_monitor(runtime: Runtime, interval_s: float) -> None:
    """Start watching in this process."""
    runtime.services.append(AlertMonitor(runtime, interval_s))
