"""Accept this node's secrets as those of the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway import store


class Command(BaseCommand):
    """`manage.py accept_secrets`."""

    help = (
        "Seal all credentials with the newest encryption key, and take this node's secret key and "
        "encryption keys for those of the database: after a rotation, or where they were lost."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Accept them; idempotent."""
        renewed = store.accept_secrets()
        if options["verbosity"] > 0:
            self.stdout.write(f"credentials sealed anew: {renewed}")
            self.stdout.write(
                "Nodes with other secrets do not start any more. API keys that were made with "
                "another DRAGOMAN_SECRET_KEY are refused: make them anew."
            )
