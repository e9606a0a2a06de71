"""The examination of one model: all probes, some at a time, each with its deadline.

A plain answer is asked for first; where there is none, nothing else is asked. To stop it,
cancel the task: every open call is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from decimal import Decimal

from msgspec.structs import replace

from gateway.canon.response import Usage
from gateway.relay.doctor.ask import Asker
from gateway.relay.doctor.judges import judge
from gateway.relay.doctor.sayings import PLAIN
from gateway.relay.doctor.table import PROBES
from gateway.relay.doctor.values import Examination, Finding, Heard, Probe
from gateway.relay.upstream import Upstreams
from gateway.routing.pricing import cost
from gateway.routing.snapshot import Model, Target

log = logging.getLogger(__name__)

AT_ONCE = 4
TOTAL_S = 300.0
WORDS = 400
# A rate limit is waited for once, if it is no longer than this.
PATIENCE_S = 8.0

Told = Callable[[Finding], None]


async def examine(
    target: Target,
    *,
    upstreams: Upstreams | None = None,
    told: Told = lambda finding: None,
    probes: Iterable[Probe] = PROBES,
    at_once: int = AT_ONCE,
    total_s: float = TOTAL_S,
) -> Examination:
    """Ask everything; `told` hears of each finding as it is made."""
    ways = upstreams or Upstreams()
    try:
        doctor = _Doctor(Asker(ways, target), target.model, told, at_once)
        return await doctor.run(tuple(probes), total_s)
    finally:
        if upstreams is None:
            await ways.close()


class _Doctor:
    def __init__(self, asker: Asker, model: Model, told: Told, at_once: int) -> None:
        self._asker = asker
        self._model = model
        self._told = told
        self._places = asyncio.Semaphore(at_once)
        self._found: dict[str, Finding] = {}

    async def run(self, probes: tuple[Probe, ...], total_s: float) -> Examination:
        started = time.perf_counter()
        ended = "done"
        try:
            async with asyncio.timeout(total_s):
                plain = await self._probe(PLAIN)
                if plain.verdict != "supported":
                    ended = "silent"
                else:
                    async with asyncio.TaskGroup() as group:
                        for probe in probes:
                            if probe.name != PLAIN.name:
                                group.create_task(self._in_turn(probe))
        except TimeoutError:
            ended = "late"
        return Examination(
            target=self._model.label,
            dialect=self._model.provider.dialect,
            findings=self._in_order(probes, ended),
            ms=_since(started),
            ended=ended,  # type: ignore[arg-type]
        )

    def _in_order(self, probes: tuple[Probe, ...], ended: str) -> tuple[Finding, ...]:
        words = _UNASKED.get(ended, "")
        names = dict.fromkeys([PLAIN.name, *(probe.name for probe in probes)])
        return tuple(
            self._found.get(name) or Finding(name=name, verdict="unclear", words=words)
            for name in names
        )

    async def _in_turn(self, probe: Probe) -> None:
        async with self._places:
            await self._probe(probe)

    async def _probe(self, probe: Probe) -> Finding:
        started = time.perf_counter()
        try:
            finding = await self._judged(probe)
        except TimeoutError:
            words = f"no answer within {probe.deadline_s:g} s"
            finding = Finding(name=probe.name, verdict="unclear", words=words)
        except Exception as error:
            # A fault of ours must not take the other findings with it.
            log.exception("a probe of the doctor failed", extra={"probe": probe.name})
            words = f"the gateway itself failed: {type(error).__name__}; see its log"
            finding = Finding(name=probe.name, verdict="unclear", words=words)
        finding = replace(finding, ms=_since(started))
        self._found[probe.name] = finding
        self._told(finding)
        return finding

    async def _judged(self, probe: Probe) -> Finding:
        async with asyncio.timeout(probe.deadline_s):
            heard = await self._patiently(probe)
        judged = judge(probe, heard)
        words = self._asker.scrubbed(judged.words)[:WORDS]
        finding = Finding(name=probe.name, verdict=judged.verdict, words=words)
        return self._counted(finding, heard.spent)

    async def _patiently(self, probe: Probe) -> Heard:
        """What is heard; after a rate limit, once more."""
        heard = await self._asker.ask(probe)
        if heard.error is None or heard.error.kind not in {"rate_limit", "overloaded"}:
            return heard
        wait_s = heard.error.retry_after_s if heard.error.retry_after_s is not None else 1
        if wait_s > PATIENCE_S:
            return heard
        await asyncio.sleep(wait_s)
        return await self._asker.ask(probe)

    def _counted(self, finding: Finding, spent: tuple[Usage, ...]) -> Finding:
        costs = [cost(usage, self._model.price) for usage in spent]
        known = [c for c in costs if c is not None]
        return replace(
            finding,
            input=sum(usage.prompt or 0 for usage in spent),
            output=sum(usage.output or 0 for usage in spent),
            cost_usd=float(sum(known, Decimal(0))) if known else None,
        )


_UNASKED = {
    "silent": "not asked: there was not even a plain answer",
    "late": "not asked: the time for all probes was over",
    "done": "not asked",
}


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
