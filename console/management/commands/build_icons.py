"""`manage.py build_icons`: write the icon and logo sprites from unpacked packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console import icons


class Command(BaseCommand):
    """For developers: run it when a page uses a new icon."""

    help = "Write static/vendor/icons and logos from unpacked lucide-static and lobehub packages."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the folders of the unpacked packages."""
        parser.add_argument("lucide", type=Path, help="the folder of lucide-static")
        parser.add_argument("logos", type=Path, help="the folder of @lobehub/icons-static-svg")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write both files."""
        base = Path(settings.BASE_DIR)
        names = icons.used_icons([base / "templates", base / "static", base / "console"])
        drawings = {name: options["lucide"] / "icons" / f"{name}.svg" for name in names}
        if missing_names := sorted(name for name, path in drawings.items() if not path.exists()):
            raise CommandError(f"Lucide has no {', '.join(missing_names)}")
        custom_logo = {"custom": options["lucide"] / "icons" / "plug.svg"}
        provider_logos = icons.logos(options["logos"] / "icons")
        vendor = base / "static" / "vendor"
        (vendor / "icons" / "icons.svg").write_text(icons.sprite(drawings), encoding="utf-8")
        (vendor / "logos" / "logos.svg").write_text(
            icons.sprite(provider_logos | custom_logo), encoding="utf-8"
        )
        self.stdout.write(f"{len(drawings)} icons, {len(provider_logos)} logos")
