"""Writes and restores configuration files of clients."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from console.client_files.clients import FileEdit
from console.client_files.file_formats import UnreadableFile

_MAX_BYTES = 4 * 1024 * 1024


class Change(NamedTuple):
    """A file's text before (None: there is no file) and after."""

    path: Path
    before: str | None
    after: str

    @property
    def is_needed(self) -> bool:
        """Whether the file changes."""
        return self.before != self.after

    def diff(self, secret: str) -> str:
        """The change as a unified diff, without the key."""
        before = (self.before or "").splitlines(keepends=True)
        name = str(self.path)
        old_name = name if self.before is not None else "/dev/null"
        lines = difflib.unified_diff(before, self.after.splitlines(keepends=True), old_name, name)
        text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
        return text.replace(secret, "***") if secret else text


def plan(edits: list[FileEdit]) -> list[Change]:
    """Compute the changes; nothing is written. Raises UnreadableFile, which names the file."""
    changes = []
    for path, edit in edits:
        try:
            before = _read_text(path)
            changes.append(Change(path, before, edit(before or "")))
        except UnreadableFile as error:
            raise UnreadableFile(f"{path} is not changed: {error}") from None
    return changes


def _read_text(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise UnreadableFile(f"it has more than {_MAX_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableFile("it is not UTF-8 text") from None


class Backups:
    """The files as they were before the first change, in a JSON file per client."""

    def __init__(self, folder: Path, client: str) -> None:
        self._path = folder / f"{client}.json"

    def write(self, changes: list[Change]) -> None:
        """Write the changes; a backup is kept first. Raises OSError."""
        backups = self._read_backups()
        for path, before, after in changes:
            backups.setdefault(str(path), {"before": before})["written"] = _text_digest(after)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self._path, json.dumps(backups))
        for change in changes:
            write_file(change.path, change.after)

    def restore(self, *, force: bool) -> list[Path]:
        """Restore the files and forget the backup. Raises OSError, UnreadableFile.

        A file that was changed since is restored only with `force`.
        """
        backups = self._read_backups()
        if not force:
            for name, entry in backups.items():
                if (current_text := _read_text(Path(name))) is None or _text_digest(
                    current_text
                ) != entry["written"]:
                    raise UnreadableFile(
                        f"{name} was changed since; --yes restores the file as it was before"
                    )
        for name, entry in backups.items():
            if entry["before"] is None:
                Path(name).unlink(missing_ok=True)
            else:
                write_file(Path(name), entry["before"])
        self._path.unlink(missing_ok=True)
        return [Path(name) for name in backups]

    def _read_backups(self) -> dict[str, Any]:
        try:
            backups = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise UnreadableFile(f"the backup {self._path} is damaged") from None
        return dict(backups)


def write_file(path: Path, text: str) -> None:
    """Replace a file atomically, or create it, readable by its owner only. Raises OSError."""
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
