"""The Django application `gateway`."""

from __future__ import annotations

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Registers the models and the system checks."""

    name = "gateway"
    verbose_name = "Dragoman"

    def ready(self) -> None:
        """Register the system checks."""
        from gateway import checks  # noqa: F401 - needs the loaded app registry
