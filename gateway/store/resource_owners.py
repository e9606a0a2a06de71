"""Whose the files and batches are that providers keep; called from the relay in a thread."""

from __future__ import annotations

from gateway.models import ProviderResource
from gateway.store import thread


def remember_owner(provider: str, owner: int, ids: list[str]) -> None:
    """Remember that these ids of a provider are a key's; known ones stay as they are."""
    thread.refresh()
    ProviderResource.objects.remember(provider, owner, ids)


def owned_ids(provider: str, owner: int, ids: list[str]) -> set[str]:
    """Those of these ids of a provider that are the key's."""
    thread.refresh()
    return ProviderResource.objects.of_key(provider, owner, ids)
