"""Examinations of the doctor <-> their rows, and what is learned from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from gateway import models
from gateway.canon.traits import Traits
from gateway.doctor import Advice, Examination, Finding, advice, examine
from gateway.routing.snapshot import Snapshot, Target, model_of
from gateway.store.compile import is_pattern

Result = TypeVar("Result")
Report = models.CapabilityReport

# How often findings are written, and whether somebody wants it stopped is asked.
BEAT_S = 0.5
# Sources whose rows only their file may change.
_FIXED = frozenset({models.Source.FILE.value, models.Source.ENVIRONMENT.value})


class Busy(Exception):
    """This model is being examined already."""


class Fixed(Exception):
    """A file or the environment owns the model, so nothing can be learned of it here."""


def target_of(snapshot: Snapshot, provider: str, model: str) -> Target | None:
    """The target to examine, with or without a row of the model; None without its provider."""
    known = snapshot.models.get(f"{provider}/{model}")
    if known is None:
        value = snapshot.providers.get(provider)
        known = model_of(value, model) if value is not None else None
    return Target(id=0, model=known) if known is not None else None


def models_of(provider: models.Provider) -> list[str]:
    """The models of a provider that can be examined: those in use, by real names."""
    names = models.Model.objects.live().filter(provider=provider).values_list("name", flat=True)
    return sorted(name for name in names if not is_pattern(name))


def begin(provider: models.Provider, model: str, *, by: int | None = None) -> Report:
    """The row of an examination that is about to run. Raises Busy."""
    with transaction.atomic():
        models.Provider.objects.select_for_update().get(pk=provider.pk)
        if Report.objects.of(provider, model).running().exists():
            raise Busy
        row = Report.objects.create(provider=provider, model=model, started_by_id=by)
    Report.objects.prune(provider, model)
    return row


class _Stopped(Exception):
    """Somebody asked for the end."""


async def run(
    report: Report, target: Target, *, told: Callable[[Finding], None] = lambda finding: None
) -> Examination:
    """Examine, writing findings down as they come. It ends when the row asks for it.

    Raises CancelledError, once the row says that it was stopped.
    """
    found: list[Finding] = []
    dialect = target.model.provider.dialect

    def heard(finding: Finding) -> None:
        found.append(finding)
        told(finding)

    beating = asyncio.create_task(_beat(report.pk, dialect, found))
    asking = asyncio.create_task(examine(target, on_finding=heard))
    partly = Examination(target=target.model.label, dialect=dialect, ended="stopped")
    result = partly
    try:
        await asyncio.wait({beating, asking}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            result = asking.result()
        return result
    finally:
        await _over(beating, asking)
        if result is partly:
            result = msgspec.structs.replace(partly, findings=tuple(found))
        # Shielded: a process that goes down should still leave the row as it is.
        await asyncio.shield(asyncio.to_thread(_alone, lambda: _end(report.pk, result)))


async def _over(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _beat(pk: int, dialect: str, found: list[Finding]) -> None:
    """Write the findings so far, until the row asks for the end or is gone."""
    while True:
        await asyncio.sleep(BEAT_S)
        document = _document(dialect, found)
        if await asyncio.to_thread(_alone, lambda document=document: _told(pk, document)):
            return


def _told(pk: int, document: dict[str, Any]) -> bool:
    """Keep the findings; whether that is to be the end."""
    rows = Report.objects.filter(pk=pk)
    rows.update(document=document, heartbeat_at=timezone.now())
    return rows.values_list("stop_requested", flat=True).first() is not False


def _end(pk: int, result: Examination) -> None:
    document = _document(result.dialect, result.findings) | {"ms": result.ms}
    Report.objects.filter(pk=pk).update(
        state=result.ended, document=document, heartbeat_at=timezone.now(), stop_requested=False
    )


def _document(dialect: str, findings: Iterable[Finding]) -> dict[str, Any]:
    return {"dialect": dialect, "findings": [msgspec.to_builtins(f) for f in findings]}


def _alone(work: Callable[[], Result]) -> Result:
    """Work in a thread that Django does not know, and so nobody else ends its connection."""
    try:
        return work()
    finally:
        if not connection.in_atomic_block:
            connection.close()


# --- what is learned --------------------------------------------------------------------


def fixed(row: models.Model) -> bool:
    """Whether a file or the environment owns it, so that nothing can be learned of it."""
    return row.source in _FIXED


def differences(report: Report, traits: Traits) -> list[Advice]:
    """The traits that the findings of a report speak against."""
    return advice(report.verdicts, traits)


def learn(provider: models.Provider, model: str, advised: Iterable[Advice]) -> models.Model:
    """Write traits into the model's row, made if there is none. Raises Fixed.

    They are learned ones: what an operator has set by hand stays above them.
    """
    learned = {item.trait: msgspec.to_builtins(item.proposed) for item in advised}
    with transaction.atomic():
        rows = models.Model.objects.select_for_update()
        row = rows.filter(provider=provider, name=model).first()
        if row is None:
            return models.Model.objects.create(provider=provider, name=model, learned=learned)
        if fixed(row):
            raise Fixed
        held = row.learned if isinstance(row.learned, dict) else {}
        row.learned = {**held, **learned}
        row.save()
    return row
