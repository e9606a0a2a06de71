"""`manage.py prices`: compare a newer price list with the prices in use, and accept it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import audit
from gateway.models import PriceUpdate
from gateway.providers.prices import Book
from gateway.store.price_updates import (
    EFFECT_DAYS,
    Change,
    Effect,
    changes_of,
    compared,
    effects,
    lines_of,
    propose,
    read_book,
    use_updates,
)


class Command(BaseCommand):
    """A thin shell around `store.price_updates`."""

    help = "Compare a price list (as buildprices writes it) with the prices in use; accept it."

    def add_arguments(self, parser: CommandParser) -> None:
        """The options of `prices`."""
        parser.add_argument("--diff", metavar="FILE", help="say what the list would change")
        parser.add_argument("--accept", metavar="FILE", help="let its prices hold from now on")
        parser.add_argument(
            "--only",
            metavar="LIST/MODEL",
            action="append",
            help="accept this model only; repeatable",
        )
        parser.add_argument("--used", action="store_true", help="show models in use only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say it, or do it."""
        use_updates()
        if options["diff"]:
            self._diff(_read(options["diff"]), used=options["used"])
        elif options["accept"]:
            self._accept(Path(options["accept"]), options["only"])
        else:
            self._held()

    def _diff(self, found: Book, *, used: bool) -> None:
        changes = compared(found)
        in_use = effects(changes)
        for place, change in enumerate(changes):
            if not used or place in in_use:
                self._say(change, in_use.get(place, []))
        self.stdout.write(f"{len(changes)} changes, {len(in_use)} of models in use")

    def _say(self, change: Change, used: list[Effect]) -> None:
        self.stdout.write(f"{change.what} {change.list}/{change.name}")
        for line in lines_of(change):
            percent = "" if line.percent is None else f" ({line.percent:+}%)"
            self.stdout.write(f"  {line.name}: {_usd(line.old)} -> {_usd(line.new)}{percent}")
        for effect in used:
            own = "; has prices of its own" if effect.own else ""
            words = f"{_usd(effect.old)} -> {_usd(effect.new)} for the last {EFFECT_DAYS} days"
            if effect.old is None and effect.new is None:
                words = f"nothing known of its last {EFFECT_DAYS} days"
            self.stdout.write(f"  in use: {effect.model}: {words}{own}")

    def _accept(self, path: Path, only: list[str] | None) -> None:
        with audit.acting("prices", "command"):
            try:
                row = propose(_read(str(path)), path.name)
            except ValueError as error:
                raise CommandError(str(error)) from None
            changes = changes_of(row)
            wanted = set(only or ())
            places = [
                place
                for place, change in enumerate(changes)
                if change.new and (not wanted or f"{change.list}/{change.name}" in wanted)
            ]
            missing = wanted - {f"{c.list}/{c.name}" for c in changes}
            if missing:
                row.delete()
                raise CommandError(f"the list does not change {', '.join(sorted(missing))}")
            row.accept(places, "prices")
        self.stdout.write(f"accepted: {len(places)}; they hold from now on")

    def _held(self) -> None:
        for row in PriceUpdate.objects.order_by("pk"):
            words = f"{len(row.accepted)} of {len(row.changes)} accepted"
            self.stdout.write(f"{row.name}: {row.origin} of {row.list_date}, {words}")


def _read(name: str) -> Book:
    try:
        return read_book(Path(name).read_bytes())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None


def _usd(value: Any) -> str:
    return "unknown" if value is None else f"${value.normalize():f}"
