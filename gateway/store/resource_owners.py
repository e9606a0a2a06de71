"""Which API key owns the files and batches at a provider; called from the relay in a thread."""

from __future__ import annotations

from gateway.models import ProviderResource
from gateway.store import thread


def remember_owner(provider: str, owner: int, ids: list[str]) -> None:
    """Record a key as the owner of these ids of a provider; recorded owners do not change."""
    thread.refresh()
    ProviderResource.objects.record_owner(provider, owner, ids)


def owned_ids(provider: str, owner: int, ids: list[str]) -> set[str]:
    """The subset of these ids of a provider that the key owns."""
    thread.refresh()
    return ProviderResource.objects.of_key(provider, owner, ids)
