"""Environments of clients: packages installed once, separately from the project's.

Installing uses the environment variables of the test run (registries, certificates);
running a client does not.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE_FOLDER = Path.home() / ".cache" / "dragoman-tests"
# What installing may take on a slow line.
GET_S = 900.0


class Unavailable(Exception):
    """The packages of a client are not available; the message says why and how to fix it."""


def python_with(packages: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with these packages from PyPI."""
    version = "{}.{}".format(*sys.version_info)
    folder = _cached_folder(
        "python", (version, *packages), lambda build_directory: _python(build_directory, packages)
    )
    return folder / "bin" / "python"


def node_modules(modules: tuple[str, ...]) -> Path:
    """Return a folder with these npm packages (`name@bounds`) below its `node_modules`."""
    return _cached_folder("npm", modules, lambda build_directory: _npm(build_directory, modules))


def _python(build_directory: Path, packages: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    newest = project["tool"]["uv"]["exclude-newer"]
    _get(
        ["uv", "venv", "--quiet", "--relocatable", "--python", sys.executable, str(build_directory)]
    )
    python = str(build_directory / "bin" / "python")
    _get(["uv", "pip", "install", "--exclude-newer", newest, "--python", python, *packages])


def _npm(build_directory: Path, named: tuple[str, ...]) -> None:
    build_directory.mkdir()
    (build_directory / "package.json").write_text(
        '{"private": true, "type": "module"}', encoding="utf-8"
    )
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts"]
    _get(["npm", "install", *quiet, "--prefix", str(build_directory), *named])


def _cached_folder(kind: str, texts: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """Return a folder that is created once for the same inputs."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    folder = CACHE_FOLDER / f"{kind}-{digest}"
    if not folder.exists():
        # Made aside and moved, as two test processes may do this at once.
        build_directory = CACHE_FOLDER / f"{kind}-{digest}-{os.getpid()}"
        CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            make(build_directory)
            build_directory.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(build_directory, ignore_errors=True)
    return folder


def _get(command: list[str]) -> None:
    try:
        completed = subprocess.run(
            command, cwd=CACHE_FOLDER, capture_output=True, text=True, timeout=GET_S, check=False
        )
    except FileNotFoundError as error:
        raise Unavailable(f"`{command[0]}` is not installed") from error
    if completed.returncode != 0:
        text = completed.stderr.strip()[-600:]
        raise Unavailable(f"`{' '.join(command)}` needs a package registry: {text}")
