"""The registry's version, by which every process detects changes."""

from __future__ import annotations

from gateway.database.deadline import deadline
from gateway.models import Registry
from gateway.store import thread

# Timeout of the version query in seconds; it detects dead connections.
POLL_TIMEOUT_S = 3.0


def current_version() -> int:
    """The number of changes of the registry so far."""
    thread.refresh()
    with deadline(POLL_TIMEOUT_S):
        return Registry.objects.version()


def bump_version() -> None:
    """Make every process reload the registry, within a second.

    Rows do this in the transaction that changes them; call it for inputs of the snapshot that
    are not rows, such as an environment variable.
    """
    Registry.objects.bump()
