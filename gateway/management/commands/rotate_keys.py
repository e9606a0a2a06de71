"""`manage.py rotate_keys`: replace the encryption key of the stored credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import store
from gateway.config import environment
from gateway.config.environment import write_private
from gateway.models.sealed import key_id

_VARIABLE = "DRAGOMAN_ENCRYPTION_KEYS"


class Command(BaseCommand):
    """Rotate the encryption key in two steps, with running nodes, or in one without."""

    help = (
        "Replace the key that provider credentials are encrypted with. Run it without options to "
        "add a new key, and restart all nodes so that they load the key. Then run it with --finish "
        "to encrypt everything with the new key and remove the old one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `rotate_keys`."""
        actions = parser.add_mutually_exclusive_group()
        actions.add_argument("--finish", action="store_true", help="the second step")
        actions.add_argument(
            "--stopped", action="store_true", help="both steps at once: no node is running"
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="print what would be done, without changing anything",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one step, or both."""
        try:
            store.check_program()
            if not options["dry_run"]:
                store.check_secrets()
        except (store.NewerDatabase, store.WrongSecrets) as error:
            raise CommandError(str(error), returncode=2) from None
        keys = list(settings.ENCRYPTION_KEYS)
        if options["finish"]:
            if len(keys) == 1:
                raise CommandError("there is one key: run `rotate_keys` without --finish first")
            self._finish_rotation(keys, dry_run=options["dry_run"])
            return
        if len(keys) > 1:
            raise CommandError(
                f"there are {len(keys)} keys: a rotation is in progress. Restart all nodes and run "
                "`rotate_keys --finish`"
            )
        self._add_key(keys, stopped=options["stopped"], dry_run=options["dry_run"])

    def _add_key(self, keys: list[str], *, stopped: bool, dry_run: bool) -> None:
        in_environment = bool(environment.text(_VARIABLE))
        if in_environment and stopped:
            raise CommandError(
                f"{_VARIABLE} is set in the environment, which this command cannot change: run "
                "it without --stopped, set what it prints, then run it with --finish"
            )
        if dry_run:
            location = _VARIABLE if in_environment else str(_key_file_path())
            self.stdout.write(f"would add a new key to {location}")
            if stopped:
                self._finish_rotation(keys, dry_run=True)
            return
        new_key = Fernet.generate_key().decode()
        if in_environment:
            self.stdout.write(
                f"Put this key first in {_VARIABLE} of every node, followed by a comma and the "
                f"current key; it is shown once:\n{new_key}"
            )
        else:
            write_private(_key_file_path(), ",".join([new_key, *keys]))
            self.stdout.write(f"added the key {key_id(new_key)} to {_key_file_path()}")
        if stopped:
            settings.ENCRYPTION_KEYS = [new_key, *keys]
            self._finish_rotation(settings.ENCRYPTION_KEYS, dry_run=False)
            return
        self.stdout.write(
            "Nodes with data directories of their own need the same file. Restart all nodes, one "
            "after the other, and change no provider's credential until all have restarted. Then "
            "run `rotate_keys --finish`."
        )

    def _finish_rotation(self, keys: list[str], *, dry_run: bool) -> None:
        newest_key_id = key_id(keys[0])
        counts = store.sealed_counts()
        if dry_run:
            for name, count in sorted(counts.items()):
                self.stdout.write(f"{count} encrypted with {name}")
            pending = sum(counts.values()) - (0 if len(keys) == 1 else counts.get(newest_key_id, 0))
            self.stdout.write(f"would encrypt {pending} with the new key, and remove the old one")
            return
        store.accept_secrets()
        counts_by_old_key = {
            name: count for name, count in store.sealed_counts().items() if name != newest_key_id
        }
        if set(counts_by_old_key) & {key_id(key) for key in keys}:
            raise CommandError(
                "credentials were saved with the old key meanwhile: restart the nodes that did "
                "not know the new one, and run `rotate_keys --finish` again"
            )
        if (Path(settings.DATA_DIR) / store.STORED_SNAPSHOT).exists():
            store.store_snapshot(store.load_snapshot())
        self.stdout.write(
            f"encrypted with {newest_key_id}: {store.sealed_counts().get(newest_key_id, 0)}"
        )
        for name, count in sorted(counts_by_old_key.items()):
            self.stderr.write(
                f"{count} are encrypted with {name}, a key that is not here: enter them again"
            )
        if environment.text(_VARIABLE):
            self.stdout.write(f"Remove all keys but the first from {_VARIABLE} of every node.")
            return
        write_private(_key_file_path(), keys[0])
        self.stdout.write(f"removed the old key from {_key_file_path()}")


def _key_file_path() -> Path:
    return Path(settings.DATA_DIR) / "encryption_key"
