"""Examines one model: runs all probes, several in parallel, each with a deadline.

The probe of a plain response runs first; unless it is supported, no other runs. Cancel the task to
stop it: every open call is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from decimal import Decimal

from msgspec.structs import replace

from gateway.canon.response import Usage
from gateway.doctor.judges import judge
from gateway.doctor.probe_call import ProbeClient
from gateway.doctor.probes import PROBES
from gateway.doctor.text_probes import PLAIN_RESPONSE
from gateway.doctor.values import Examination, Finding, Probe, ProbeReply
from gateway.relay.upstream.client import Upstreams
from gateway.routing.pricing import cost
from gateway.routing.snapshot import Model, Target

log = logging.getLogger(__name__)

MAX_PARALLEL_PROBES = 4
TOTAL_S = 300.0
MAX_DETAIL_CHARS = 400
# The longest `retry_after` for which a rate-limited probe is repeated.
MAX_RETRY_WAIT_S = 8.0

OnFinding = Callable[[Finding], None]


async def examine(
    target: Target,
    *,
    upstreams: Upstreams | None = None,
    on_finding: OnFinding = lambda finding: None,
    probes: Iterable[Probe] = PROBES,
    max_parallel: int = MAX_PARALLEL_PROBES,
    total_s: float = TOTAL_S,
) -> Examination:
    """Run the probes; `on_finding` is called with each finding."""
    connections = upstreams or Upstreams()
    try:
        doctor = _Examiner(ProbeClient(connections, target), target.model, on_finding, max_parallel)
        return await doctor.run(tuple(probes), total_s)
    finally:
        if upstreams is None:
            await connections.close()


class _Examiner:
    def __init__(
        self, client: ProbeClient, model: Model, on_finding: OnFinding, max_parallel: int
    ) -> None:
        self._client = client
        self._model = model
        self._on_finding = on_finding
        self._slots = asyncio.Semaphore(max_parallel)
        self._findings: dict[str, Finding] = {}

    async def run(self, probes: tuple[Probe, ...], total_s: float) -> Examination:
        start_time = time.perf_counter()
        outcome = "done"
        try:
            async with asyncio.timeout(total_s):
                first_finding = await self._run_probe(PLAIN_RESPONSE)
                if first_finding.verdict != "supported":
                    outcome = "no_response"
                else:
                    async with asyncio.TaskGroup() as group:
                        for probe in probes:
                            if probe.name != PLAIN_RESPONSE.name:
                                group.create_task(self._probe_in_slot(probe))
        except TimeoutError:
            outcome = "timed_out"
        return Examination(
            target=self._model.label,
            dialect=self._model.provider.dialect,
            findings=self._ordered_findings(probes, outcome),
            ms=_elapsed_ms(start_time),
            ended=outcome,  # type: ignore[arg-type]
        )

    def _ordered_findings(self, probes: tuple[Probe, ...], outcome: str) -> tuple[Finding, ...]:
        detail = _NOT_ASKED_REASONS.get(outcome, "")
        names = dict.fromkeys([PLAIN_RESPONSE.name, *(probe.name for probe in probes)])
        return tuple(
            self._findings.get(name) or Finding(name=name, verdict="unclear", message=detail)
            for name in names
        )

    async def _probe_in_slot(self, probe: Probe) -> None:
        async with self._slots:
            await self._run_probe(probe)

    async def _run_probe(self, probe: Probe) -> Finding:
        start_time = time.perf_counter()
        try:
            finding = await self._judge_probe(probe)
        except TimeoutError:
            detail = f"no response within {probe.deadline_s:g} s"
            finding = Finding(name=probe.name, verdict="unclear", message=detail)
        except Exception as error:
            # An error of ours must not discard the other findings.
            log.exception("a capability check failed", extra={"probe": probe.name})
            detail = f"internal error of the gateway: {type(error).__name__}; see its log"
            finding = Finding(name=probe.name, verdict="unclear", message=detail)
        finding = replace(finding, ms=_elapsed_ms(start_time))
        self._findings[probe.name] = finding
        self._on_finding(finding)
        return finding

    async def _judge_probe(self, probe: Probe) -> Finding:
        async with asyncio.timeout(probe.deadline_s):
            reply = await self._ask_with_retry(probe)
        judgment = judge(probe, reply)
        detail = self._client.scrub(judgment.message)[:MAX_DETAIL_CHARS]
        finding = Finding(name=probe.name, verdict=judgment.verdict, message=detail)
        return self._with_usage(finding, reply.usages)

    async def _ask_with_retry(self, probe: Probe) -> ProbeReply:
        """Return the reply; repeat the probe once after a rate limit."""
        reply = await self._client.ask(probe)
        if reply.error is None or reply.error.kind not in {"rate_limit", "overloaded"}:
            return reply
        wait_s = reply.error.retry_after_s if reply.error.retry_after_s is not None else 1
        if wait_s > MAX_RETRY_WAIT_S:
            return reply
        await asyncio.sleep(wait_s)
        return await self._client.ask(probe)

    def _with_usage(self, finding: Finding, usages: tuple[Usage, ...]) -> Finding:
        costs = [cost(usage, self._model.price) for usage in usages]
        costs_usd = [c for c in costs if c is not None]
        return replace(
            finding,
            input=sum(usage.prompt_tokens or 0 for usage in usages),
            output=sum(usage.output or 0 for usage in usages),
            cost_usd=float(sum(costs_usd, Decimal(0))) if costs_usd else None,
        )


_NOT_ASKED_REASONS = {
    "no_response": "not checked: the plain response check failed",
    "timed_out": "not checked: the time limit for all checks was reached",
    "done": "not checked",
}


def _elapsed_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
