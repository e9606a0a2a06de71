"""The `console` application as Django sees it."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console's pages."""

    name = "console"
    verbose_name = "Console"
