"""The `console` application as Django sees it."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class ConsoleConfig(AppConfig):
    """The console's pages."""

    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        """Register the system checks of the parts that are installed."""
        if settings.SSO_INSTALLED:
            import_module("console.single_sign_on.checks")
