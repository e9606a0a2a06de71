"""`manage.py build_prices`: update the price snapshot from the installed genai-prices."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.management import unit_price_table
from gateway.management.price_table import table
from gateway.providers.catalog import PRESETS
from gateway.providers.prices import FILE
from gateway.providers.unit_prices import FILE as UNITS_FILE


class Command(BaseCommand):
    """A thin wrapper around `price_table.table`."""

    help = "Update gateway/providers/data/prices.json from the installed genai-prices package."

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, and print the size."""
        try:
            from genai_prices.data import providers
        except ImportError:
            raise CommandError("genai-prices is not installed: uv sync --group dev") from None
        names = {preset.prices for preset in PRESETS.values() if preset.prices}
        source = f"genai-prices {version('genai-prices')}"
        today = datetime.now(UTC).date()
        text = table(providers, names, source, today)
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text, encoding="utf-8")
        units = unit_price_table.table(providers, names, source, today)
        UNITS_FILE.write_text(units, encoding="utf-8")
        self.stdout.write(f"{FILE.name}: {len(text.encode()) // 1024} kB from {source}")
