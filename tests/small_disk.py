"""A disk of a few megabytes, to test what happens when it is full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Use all remaining space."""
        with self._ballast.open("ab") as file:
            size = 1 << 20
            while size:
                try:
                    os.write(file.fileno(), b"x" * size)
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Free the space."""
        self._ballast.unlink()

    def make_read_only(self) -> None:
        """Refuse writes, as a disk with errors does after its kernel has seen them."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk at `path`. Skips the test if this user may not mount."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "dragoman-test"]
    try:
        done = subprocess.run([*mount, str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program to make a small disk with")
    if done.returncode:
        pytest.skip(f"no small disk can be mounted (run as root): {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
