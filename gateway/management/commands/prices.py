"""`manage.py prices`: compare a newer price list with the prices in use, and accept it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import audit
from gateway.models import PriceUpdate
from gateway.providers.prices import PriceBook
from gateway.store.price_updates import (
    EFFECT_DAYS,
    Change,
    CostEffect,
    apply_accepted_updates,
    changes_of,
    compare_prices,
    effects,
    rate_changes,
    read_book,
    store_proposal,
)


class Command(BaseCommand):
    """A thin wrapper around `store.price_updates`."""

    help = (
        "Compare a price list (as written by build_prices) with the prices in use, and accept it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `prices`."""
        parser.add_argument("--diff", metavar="FILE", help="print what the list would change")
        parser.add_argument("--accept", metavar="FILE", help="use its prices")
        parser.add_argument(
            "--only",
            metavar="LIST/MODEL",
            action="append",
            help="accept this model only; repeatable",
        )
        parser.add_argument("--used", action="store_true", help="show only models in use")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the differences, accept a price list, or print the accepted lists."""
        apply_accepted_updates()
        if options["diff"]:
            self._print_diff(_read_price_book(options["diff"]), used=options["used"])
        elif options["accept"]:
            self._accept_changes(Path(options["accept"]), options["only"])
        else:
            self._list_updates()

    def _print_diff(self, price_book: PriceBook, *, used: bool) -> None:
        changes = compare_prices(price_book)
        in_use = effects(changes)
        for index, change in enumerate(changes):
            if not used or index in in_use:
                self._print_change(change, in_use.get(index, []))
        self.stdout.write(f"{len(changes)} changes, {len(in_use)} of models in use")

    def _print_change(self, change: Change, cost_effects: list[CostEffect]) -> None:
        self.stdout.write(f"{change.kind} {change.list}/{change.name}")
        for line in rate_changes(change):
            percent = "" if line.percent is None else f" ({line.percent:+}%)"
            self.stdout.write(
                f"  {line.name}: {_format_usd(line.old)} -> {_format_usd(line.new)}{percent}"
            )
        for effect in cost_effects:
            suffix = "; has custom prices" if effect.has_row_prices else ""
            old, new = _format_usd(effect.old), _format_usd(effect.new)
            text = f"{old} -> {new} for the last {EFFECT_DAYS} days"
            if effect.old is None and effect.new is None:
                text = f"no usage in the last {EFFECT_DAYS} days"
            self.stdout.write(f"  in use: {effect.model}: {text}{suffix}")

    def _accept_changes(self, path: Path, targets: list[str] | None) -> None:
        with audit.acting_as("prices", "command"):
            try:
                row = store_proposal(_read_price_book(str(path)), path.name)
            except ValueError as error:
                raise CommandError(str(error)) from None
            changes = changes_of(row)
            names = set(targets or ())
            indexes = [
                index
                for index, change in enumerate(changes)
                if change.new and (not names or f"{change.list}/{change.name}" in names)
            ]
            unknown_names = names - {f"{c.list}/{c.name}" for c in changes}
            if unknown_names:
                row.delete()
                raise CommandError(f"the list does not change {', '.join(sorted(unknown_names))}")
            row.accept(indexes, "prices")
        self.stdout.write(f"accepted: {len(indexes)}; they take effect immediately")

    def _list_updates(self) -> None:
        for row in PriceUpdate.objects.order_by("pk"):
            summary = f"{len(row.accepted)} of {len(row.changes)} accepted"
            self.stdout.write(f"{row.name}: {row.origin} of {row.list_date}, {summary}")


def _read_price_book(name: str) -> PriceBook:
    try:
        return read_book(Path(name).read_bytes())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None


def _format_usd(value: Any) -> str:
    return "unknown" if value is None else f"${value.normalize():f}"
