"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """The installed version, such as `0.1.0`; `0.0.0` if the package is not installed."""
    try:
        return version("dragoman")
    except PackageNotFoundError:
        return "0.0.0"
