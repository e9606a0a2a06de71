"""Nodes with different secrets do not start; secrets can be rotated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from gateway import store
from gateway.config.asgi import lifespan
from gateway.models import ApiKey, Fingerprint, Provider
from tests.store.factories import provider

pytestmark = pytest.mark.django_db


def test_the_first_node_stores_fingerprints_and_matching_nodes_start() -> None:
    store.check_secrets()
    store.check_secrets()
    assert Fingerprint.objects.count() == 2


def test_fingerprints_reveal_no_secret(dump: Callable[[], str], settings: Any) -> None:
    store.check_secrets()
    assert settings.SECRET_KEY not in dump()
    assert settings.ENCRYPTION_KEYS[0] not in dump()


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEYS"])
def test_a_node_with_other_secrets_is_refused_with_the_remedy(name: str, settings: Any) -> None:
    store.check_secrets()
    other = Fernet.generate_key().decode()
    setattr(settings, name, other if name == "SECRET_KEY" else [other])
    with pytest.raises(store.WrongSecrets, match=f"DRAGOMAN_{name}.*accept_secrets"):
        store.check_secrets()
    with pytest.raises(CommandError, match=f"DRAGOMAN_{name}"):
        call_command("create_key", "x")
    assert not ApiKey.objects.exists()


def test_the_encryption_key_can_be_rotated(settings: Any) -> None:
    """All nodes know the new key before one encrypts with it; each step is one restart."""
    old, new = settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    row = provider("p", "custom", base_url="http://x.test", headers={"x-a": "hush-header"})
    store.set_credential(row, "sk-0123456789abcdef")
    store.check_secrets()
    for keys in ([old, new], [new, old], [old, new], [new, old]):
        settings.ENCRYPTION_KEYS = keys
        store.check_secrets()
    call_command("accept_secrets", verbosity=0)
    settings.ENCRYPTION_KEYS = [new]
    store.check_secrets()
    row = Provider.objects.get()
    assert store.credential_of(row) == "sk-0123456789abcdef"
    assert row.headers == {"x-a": "hush-header"}
    settings.ENCRYPTION_KEYS = [old]
    with pytest.raises(store.WrongSecrets):
        store.check_secrets()


def test_lost_secrets_can_be_replaced(settings: Any) -> None:
    store.check_secrets()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    settings.SECRET_KEY = "another-secret-key"
    call_command("accept_secrets", verbosity=0)
    store.check_secrets()


@pytest.mark.django_db(transaction=True)
def test_a_worker_with_other_secrets_does_not_start(settings: Any) -> None:
    store.check_secrets()
    settings.SECRET_KEY = "another-secret-key"
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            raise EOFError
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    asyncio.run(lifespan({}, receive, send))
    assert messages[0]["type"] == "lifespan.startup.failed"
    assert "DRAGOMAN_SECRET_KEY" in messages[0]["message"]
