"""Accept this node's secrets as those of the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway import store


class Command(BaseCommand):
    """`manage.py accept_secrets`."""

    help = (
        "Re-encrypt all credentials with the newest encryption key, and register this node's "
        "secret key and encryption keys as those of the database. Run it after a key rotation "
        "or after keys were lost."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Accept them; idempotent."""
        renewed_count = store.accept_secrets()
        if options["verbosity"] > 0:
            self.stdout.write(f"credentials re-encrypted: {renewed_count}")
            self.stdout.write(
                "Nodes with other secrets no longer start. API keys created with another "
                "DRAGOMAN_SECRET_KEY are rejected; create them again."
            )
