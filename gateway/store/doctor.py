"""Runs of the doctor <-> their rows, and the traits learned from their findings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
from django.db import DatabaseError, transaction
from django.utils import timezone

from gateway import models
from gateway.canon.traits import Traits
from gateway.doctor import Advice, Examination, Finding, advice, examine
from gateway.routing.snapshot import Snapshot, Target, model_of
from gateway.store.columns import json_text
from gateway.store.field_values import is_pattern
from gateway.store.thread import with_own_connection

log = logging.getLogger(__name__)
Report = models.CapabilityReport

# Interval at which findings are written and a stop request is checked.
BEAT_S = 0.5
# Runs of `start_run`; the event loop itself keeps weak references only.
_started_runs: set[asyncio.Task[Any]] = set()


class AlreadyRunning(Exception):
    """This model is being examined already."""


class ReadOnlyModel(Exception):
    """The model's row belongs to a file or the environment, so traits cannot be written to it."""


def target_of(snapshot: Snapshot, provider: str, model: str) -> Target | None:
    """The target to examine; the model needs no row. None if the provider is unknown."""
    model_value = snapshot.models.get(f"{provider}/{model}")
    if model_value is None:
        value = snapshot.providers.get(provider)
        model_value = model_of(value, model) if value is not None else None
    return Target(id=0, model=model_value) if model_value is not None else None


def models_of(provider: models.Provider) -> list[str]:
    """The models of a provider that can be examined: live rows that are not patterns."""
    names = models.Model.objects.live().filter(provider=provider).values_list("name", flat=True)
    return sorted(name for name in names if not is_pattern(name))


def create_running_report(
    provider: models.Provider, model: str, *, by: int | None = None
) -> Report:
    """Create the row of an examination that is about to run. Raises AlreadyRunning."""
    with transaction.atomic():
        models.Provider.objects.select_for_update().get(pk=provider.pk)
        if Report.objects.of_model(provider, model).running().exists():
            raise AlreadyRunning
        row = Report.objects.create(provider=provider, model=model, started_by_id=by)
    Report.objects.prune(provider, model)
    return row


async def run(
    report: Report, target: Target, *, on_finding: Callable[[Finding], None] = lambda finding: None
) -> Examination:
    """Examine a target and write its findings as they arrive, until done or a stop is requested.

    The final state of the row is written even if this task is cancelled.
    """
    findings: list[Finding] = []
    dialect = target.model.provider.dialect

    def record_finding(finding: Finding) -> None:
        findings.append(finding)
        on_finding(finding)

    heartbeat_task = asyncio.create_task(_write_progress(report.pk, dialect, findings))
    examine_task = asyncio.create_task(examine(target, on_finding=record_finding))
    partial_result = Examination(target=target.model.label, dialect=dialect, ended="stopped")
    result = partial_result
    try:
        await asyncio.wait({heartbeat_task, examine_task}, return_when=asyncio.FIRST_COMPLETED)
        if examine_task.done():
            result = examine_task.result()
        return result
    finally:
        await _cancel_tasks(heartbeat_task, examine_task)
        if result is partial_result:
            result = msgspec.structs.replace(partial_result, findings=tuple(findings))
        # Shielded: a process that shuts down still writes the final state.
        await asyncio.shield(
            asyncio.to_thread(with_own_connection, lambda: _finish_report(report.pk, result))
        )


async def start_run(report: Report, target: Target) -> None:
    """Run a report in the current event loop, beyond the response that starts it."""
    task = asyncio.create_task(run(report, target))
    _started_runs.add(task)
    task.add_done_callback(_end_started_run)


def _end_started_run(task: asyncio.Task[Any]) -> None:
    _started_runs.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("capability checks failed", exc_info=task.exception())


async def _cancel_tasks(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _write_progress(pk: int, dialect: str, findings: list[Finding]) -> None:
    """Write the findings so far, until a stop is requested or the row is deleted.

    A database that fails for a while does not end the run, whose requests are paid for.
    """
    while True:
        await asyncio.sleep(BEAT_S)
        document = _results_document(dialect, findings)
        try:
            if await asyncio.to_thread(
                with_own_connection, lambda document=document: _save_progress(pk, document)
            ):
                return
        except DatabaseError as error:
            log.warning("progress of capability checks not written: %s", error)


def _save_progress(pk: int, document: dict[str, Any]) -> bool:
    """Store the findings; whether the examination should stop.

    Its thread may be late: the results of a finished examination stay.
    """
    rows = Report.objects.filter(pk=pk, state=Report.State.RUNNING)
    rows.update(results=document, heartbeat_at=timezone.now())
    return rows.values_list("stop_requested", flat=True).first() is not False


def _finish_report(pk: int, result: Examination) -> None:
    document = _results_document(result.dialect, result.findings) | {"ms": result.ms}
    Report.objects.filter(pk=pk).update(
        state=result.ended, results=document, heartbeat_at=timezone.now(), stop_requested=False
    )


def _results_document(dialect: str, findings: Iterable[Finding]) -> dict[str, Any]:
    document = {"dialect": dialect, "findings": list(findings)}
    return cast("dict[str, Any]", msgspec.json.decode(json_text(document)))


# --- learned traits ---------------------------------------------------------------------


def differences(report: Report, traits: Traits) -> list[Advice]:
    """The traits that the findings of a report contradict."""
    return advice(report.verdicts, traits)


def write_traits(
    provider: models.Provider, model: str, accepted_advice: Iterable[Advice]
) -> models.Model:
    """Write traits into the model's row, created if missing. Raises ReadOnlyModel.

    They are stored as learned traits: those that an operator set take precedence.
    """
    learned_traits = {item.trait: msgspec.to_builtins(item.proposed) for item in accepted_advice}
    with transaction.atomic():
        rows = models.Model.objects.select_for_update()
        row = rows.filter(provider=provider, name=model).first()
        if row is None:
            return models.Model.objects.create(
                provider=provider, name=model, learned=learned_traits
            )
        if row.read_only:
            raise ReadOnlyModel
        learned_before = row.learned if isinstance(row.learned, dict) else {}
        row.learned = {**learned_before, **learned_traits}
        row.save()
    return row
