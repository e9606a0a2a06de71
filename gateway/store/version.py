"""The registry's version, by which every process sees that there was a change."""

from __future__ import annotations

from gateway.database import deadline
from gateway.models import Registry
from gateway.store import thread

# The look by which a process finds out that its connection is dead, in seconds.
POLL_TIMEOUT_S = 3.0


def current_version() -> int:
    """The number of changes of the registry so far."""
    thread.refresh()
    with deadline.within(POLL_TIMEOUT_S):
        return Registry.objects.version()


def bump() -> None:
    """Make every process read the registry again, within a second.

    Rows do this themselves in the transaction that changes them; call it for what the
    snapshot takes from elsewhere, such as a variable of the environment.
    """
    Registry.objects.bump()
