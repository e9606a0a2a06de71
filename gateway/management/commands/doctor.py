"""Examine a model, or all models of a provider, with live requests."""

from __future__ import annotations

import asyncio
import json
import signal
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from gateway import store
from gateway.doctor import BY_NAME, Advice, Estimate, Examination, Finding, estimate
from gateway.models import Provider
from gateway.routing.snapshot import Snapshot, Target
from gateway.store import doctor
from gateway.terminal_text import printable_line

VERDICT_LABELS = {
    "supported": "yes    ",
    "refused": "refused",
    "wrong": "wrong  ",
    "unclear": "?      ",
}


class Command(BaseCommand):
    """`manage.py doctor`."""

    help = "Check with live requests what a model supports, and print a report."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `doctor`."""
        parser.add_argument("name", help="PROVIDER/MODEL, or PROVIDER for all its models")
        parser.add_argument("--json", action="store_true", help="print the results as JSON")
        parser.add_argument("--apply", action="store_true", help="apply the verified results")
        parser.add_argument(
            "--estimate",
            action="store_true",
            help="print the estimated cost without sending requests",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine the models and print the findings."""
        snapshot = store.load_snapshot()
        provider, targets = _select_targets(snapshot, options["name"])
        for target in targets:
            self.stderr.write(f"{target.model.label}: {describe_cost(estimate(target.model))}")
        if options["estimate"]:
            return
        results = [self._examine_target(provider, target, options) for target in targets]
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2, ensure_ascii=False))
        if any(row["ended"] != "done" for row in results):
            raise CommandError("the checks of some models did not complete")

    def _examine_target(
        self, provider: Provider, target: Target, options: dict[str, Any]
    ) -> dict[str, Any]:
        name = target.model.name
        try:
            report = doctor.create_running_report(provider, name)
        except doctor.AlreadyRunning:
            raise CommandError(f"{target.model.label} is already being checked") from None
        print_text = not options["json"]
        examination = asyncio.run(
            _run_examination(
                report, target, self._print_finding if print_text else _discard_finding
            )
        )
        report.refresh_from_db()
        advice = doctor.differences(report, target.model.traits)
        if print_text:
            self._print_summary(examination, advice, applied=options["apply"])
        if options["apply"]:
            self._apply_advice(provider, name, [item for item in advice if item.is_verified])
        return {**msgspec.to_builtins(examination), "advice": msgspec.to_builtins(advice)}

    def _print_finding(self, finding: Finding) -> None:
        message = printable_line(" ".join(finding.message.split()))
        title = BY_NAME[finding.name].title
        self.stdout.write(f"{VERDICT_LABELS[finding.verdict]}  {title:<34} {message}")

    def _print_summary(
        self, examination: Examination, advice: list[Advice], *, applied: bool
    ) -> None:
        cost = "unknown" if examination.cost_usd is None else f"${examination.cost_usd:.4f}"
        seconds = examination.ms / 1000
        outcome = f"{examination.ended}, {seconds:.1f} s, cost {cost}"
        self.stdout.write(f"{examination.target}: {outcome}")
        for item in advice:
            remark = "" if item.is_verified else "  (not verified; review it first)"
            probe_names = ", ".join(item.probes)
            change = f"{item.trait} is {item.current}, should be {item.proposed}"
            self.stdout.write(f"differs: {change} by {probe_names}{remark}")
        if advice and not applied:
            self.stdout.write("--apply writes the verified results; in the console you can choose")

    def _apply_advice(self, provider: Provider, model: str, verified_advice: list[Advice]) -> None:
        if not verified_advice:
            return
        try:
            doctor.write_traits(provider, model, verified_advice)
        except doctor.ReadOnlyModel:
            message = (
                "this model is managed by a file or the environment; copy it to the database first"
            )
            raise CommandError(message) from None
        names = ", ".join(item.trait for item in verified_advice)
        self.stderr.write(f"written: {names}")


async def _run_examination(report: Any, target: Target, on_finding: Any) -> Examination:
    """Run the examination; Ctrl-C cancels it cleanly."""
    running = asyncio.ensure_future(doctor.run(report, target, on_finding=on_finding))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        raise CommandError("stopped") from None


def _discard_finding(finding: Finding) -> None:
    """Discard a finding: JSON output is printed at the end."""


def _select_targets(snapshot: Snapshot, name: str) -> tuple[Provider, list[Target]]:
    """Return the provider's row and the targets to examine. Raises CommandError."""
    provider_name, _, model = name.partition("/")
    row = Provider.objects.filter(name=provider_name).first()
    if row is None or provider_name not in snapshot.providers:
        raise CommandError(f"there is no provider `{provider_name}` that can be used")
    names = [model] if model else doctor.models_of(row)
    if not names:
        raise CommandError(
            f"`{provider_name}` has no models yet; specify one: {provider_name}/MODEL"
        )
    targets = (doctor.target_of(snapshot, provider_name, each) for each in names)
    return row, [target for target in targets if target is not None]


def describe_cost(cost_estimate: Estimate) -> str:
    """Format the expected cost of an examination."""
    volume = f"{cost_estimate.requests} requests, about {cost_estimate.input:,} tokens in"
    if cost_estimate.usd is None or cost_estimate.max_usd is None:
        return f"{volume}; price unknown"
    usd, max_usd = _format_usd(cost_estimate.usd), _format_usd(cost_estimate.max_usd)
    return f"{volume}; about {usd}, at most {max_usd}"


def _format_usd(amount: Decimal) -> str:
    return f"${amount:.4f}"
