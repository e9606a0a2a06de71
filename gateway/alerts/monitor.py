"""Watches the conditions of a node, records alerts, and sends each change once."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import threading
from datetime import timedelta
from pathlib import Path

from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from gateway.alerts.conditions import Condition, current_conditions, read_process_figures
from gateway.alerts.delivery import Notice, deliver
from gateway.models.alert import Alert, AlertChannel, AlertEvent
from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

# A short cooldown is not worth a message: checks in which the condition must hold.
MIN_CHECKS = {AlertEvent.COOLDOWN: 3}
# An alert of a node that no longer reports is closed after this time.
STALE_AFTER = timedelta(minutes=10)


class AlertTracker:
    """The alerts of one node: compares conditions with what is recorded."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._seen: dict[tuple[str, str], int] = {}

    def update(self, found: list[Condition]) -> None:
        """Record what has changed, and send it to the channels."""
        self._seen = {
            (c.event, c.subject): self._seen.get((c.event, c.subject), 0) + 1 for c in found
        }
        lasting = [c for c in found if self._seen[c.event, c.subject] >= MIN_CHECKS.get(c.event, 1)]
        notices = [*self._open(lasting), *self._resolve(found)]
        for channel in AlertChannel.objects.filter(enabled=True) if notices else ():
            for notice in notices:
                if not channel.events or notice.event in channel.events:
                    deliver(channel, notice)

    def _open(self, conditions: list[Condition]) -> list[Notice]:
        notices = []
        now = timezone.now()
        for condition in conditions:
            node = self._node if condition.per_node else ""
            where = {"event": condition.event, "subject": condition.subject[:300], "node": node}
            values = {"message": condition.message[:500], "seen_at": now}
            if Alert.objects.active().filter(**where).update(**values):
                continue
            try:
                with transaction.atomic():
                    Alert.objects.create(**where, **values, started_at=now)
            except IntegrityError:
                continue  # another node was faster
            notices.append(
                Notice("firing", condition.event, condition.subject, condition.message, now)
            )
        return notices

    def _resolve(self, conditions: list[Condition]) -> list[Notice]:
        holding = {(c.event, c.subject[:300], self._node if c.per_node else "") for c in conditions}
        notices = []
        now = timezone.now()
        for alert in Alert.objects.active():
            if (alert.event, alert.subject, alert.node) in holding:
                continue
            if alert.node not in {"", self._node} and alert.seen_at > now - STALE_AFTER:
                continue
            if Alert.objects.active().filter(pk=alert.pk).update(resolved_at=now):
                notices.append(
                    Notice("resolved", alert.event, alert.subject, alert.message, alert.started_at)
                )
        return notices


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
        with self._lock_path.open("w") as lock:
            while not self._stop.wait(self._interval_s):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # another process of this node checks
                try:
                    figures = read_process_figures(self._runtime)
                    self._tracker.update(current_conditions(figures, timezone.now()))
                finally:
                    connections.close_all()


def begin(runtime: Runtime, interval_s: float) -> None:
    """Start watching in this process."""
    runtime.services.append(AlertMonitor(runtime, interval_s))
