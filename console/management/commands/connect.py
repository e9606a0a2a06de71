"""`manage.py connect`: configure a client of this machine for the gateway."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from platformdirs import user_state_dir

from console.client_files.changes import Backups, Change, plan
from console.client_files.clients import CLIENTS, Client, Connection
from console.client_files.file_formats import UnreadableFile
from console.client_files.gateway_check import call_model, list_models
from console.gateway_client import GatewayError
from console.management.gateway_options import (
    BAD_INPUT,
    add_gateway_options,
    read_gateway_options,
)
from console.shell import quote

MAX_LISTED = 20
_MODEL = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class Command(BaseCommand):
    """Exit status: 0 on success, 1 if nothing could be done, 2 for bad input."""

    help = "Print or write the configuration that connects a client to the gateway."
    # Needs neither the database nor the server's settings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `connect`."""
        parser.add_argument("client", nargs="?", choices=CLIENTS, help="the client to connect")
        add_gateway_options(parser)
        parser.add_argument("--model", help="model or route (default: the key's only model)")
        parser.add_argument(
            "--write", action="store_true", help="write the client's configuration files"
        )
        parser.add_argument(
            "--undo", action="store_true", help="restore the previous files of the client"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        parser.add_argument("--no-check", action="store_true", help="skip the test request")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, write or restore the configuration."""
        name = options["client"]
        if name is None:
            for key, client in CLIENTS.items():
                self.stdout.write(f"{key.ljust(12)} {client.title.ljust(12)} {client.docs}")
            return
        backups = Backups(Path(user_state_dir("dragoman", appauthor=False)) / "connect", name)
        try:
            if options["undo"]:
                self._undo_changes(backups, confirmed=options["yes"])
            else:
                self._connect_client(CLIENTS[name], backups, options)
        except UnreadableFile as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None

    def _connect_client(self, client: Client, backups: Backups, options: dict[str, Any]) -> None:
        connection = _read_connection(options)
        changes = [change for change in plan(client.files(connection)) if change.is_needed]
        for change in changes:
            self.stdout.write(change.diff(connection.key))
        if changes and not options["write"]:
            self.stdout.write("Nothing was written. Add --write to change these files.")
        elif changes:
            self._write_changes(changes, backups, confirmed=options["yes"])
        elif client.files(connection):
            self.stdout.write(f"{client.title} is already configured.")
        variables = client.variables(connection)
        if variables:
            self.stdout.write(f"{client.title} reads these variables of its environment:\n")
            for name, value in variables.items():
                self.stdout.write(f"export {name}={quote(value)}")
        if not options["no_check"]:
            try:
                call_model(connection, client.dialect)
            except GatewayError as error:
                raise CommandError(f"the test request failed: {error}") from None
            self.stdout.write(f"Checked: {connection.model} answers at {connection.base_url}.")

    def _write_changes(self, changes: list[Change], backups: Backups, *, confirmed: bool) -> None:
        if not confirmed and not self._ask_confirmation("Write these files?"):
            raise CommandError("nothing was written")
        backups.write(changes)
        for change in changes:
            self.stdout.write(f"Wrote {change.path}")
        self.stdout.write("The same command with --undo instead of --write restores the files.")

    def _undo_changes(self, backups: Backups, *, confirmed: bool) -> None:
        restored_files = backups.restore(force=confirmed)
        if not restored_files:
            raise CommandError("there is nothing to undo: this command changed no file")
        for path in restored_files:
            self.stdout.write(f"Restored {path}")

    def _ask_confirmation(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("add --yes to write without a terminal", returncode=BAD_INPUT)
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _read_connection(options: dict[str, Any]) -> Connection:
    base_url, key = read_gateway_options(options)
    model = options["model"] or _only_model(Connection(base_url, key, ""))
    if not _MODEL.fullmatch(model):
        raise CommandError("--model must be a name of at most 200 characters", returncode=BAD_INPUT)
    return Connection(base_url, key, model)


def _only_model(connection: Connection) -> str:
    try:
        models = list_models(connection)
    except GatewayError as error:
        raise CommandError(str(error)) from None
    if len(models) == 1:
        return models[0]
    if not models:
        raise CommandError("the key has no models: add a provider or a route", returncode=BAD_INPUT)
    names = ", ".join(models[:MAX_LISTED]) + (", ..." if len(models) > MAX_LISTED else "")
    raise CommandError(f"choose a model with --model: {names}", returncode=BAD_INPUT)
