"""Run the gateway and the console; make what is missing first."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway import store
from gateway.management.start import master_key
from gateway.management.start.banner import banner
from gateway.management.start.bootstrap import prepare
from gateway.management.start.serve import listen, serve


class Command(BaseCommand):
    """`manage.py up`."""

    help = "Run the gateway and the console; on the first start make database and keys."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of `up`."""
        parser.add_argument("--config", help="a LiteLLM configuration file")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=4000)
        parser.add_argument("--workers", type=int, default=1)
        parser.add_argument("--data-dir", help="where everything is kept (default: var)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start."""
        host, port, workers = options["host"], options["port"], options["workers"]
        if workers < 1:
            raise CommandError("--workers must be at least 1")
        notes = self._configure(options["config"], host)
        try:
            listener = listen(host, port)
        except OSError as error:
            raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        started = prepare()
        notes += self._apply()
        notes += [f"left out: {w.row}: {w.why}" for w in store.load_snapshot().warnings]
        for note in notes:
            self.stderr.write(note)
        shown = "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host  # noqa: S104
        base = f"http://{shown}:{listener.getsockname()[1]}"
        self.stdout.write(banner(started, base, open_mode=settings.OPEN))
        self.stdout.flush()
        serve(listener, workers=workers, drain_s=settings.DRAIN_S)

    def _configure(self, path: str | None, host: str) -> list[str]:
        """Read the configuration file's settings before anything is made."""
        self.config = None
        if path is not None:
            from gateway import litellm

            try:
                self.config = litellm.read(path)
            except litellm.Mistake as mistake:
                raise CommandError(str(mistake), returncode=2) from None
            os.environ.update(
                {k: v for k, v in self.config.environment.items() if k not in os.environ}
            )
        given = settings.MASTER_KEY or (self.config.master_key if self.config else "")
        chosen = master_key.choose(given, host, has_config=self.config is not None)
        if chosen.refusal:
            raise CommandError(chosen.refusal, returncode=2)
        settings.MASTER_KEY, settings.OPEN = given, chosen.open or settings.OPEN
        # Workers are processes of their own: they read these at their start.
        if given:
            os.environ["DRAGOMAN_MASTER_KEY"] = given
            os.environ.pop("DRAGOMAN_MASTER_KEY_FILE", None)
        os.environ["DRAGOMAN_OPEN"] = "true" if settings.OPEN else "false"
        return list(chosen.warnings)

    def _apply(self) -> list[str]:
        if self.config is None:
            return []
        from gateway import litellm
        from gateway.litellm.apply import apply

        return [*litellm.report(self.config), *apply(self.config)]
