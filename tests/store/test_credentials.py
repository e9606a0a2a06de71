"""Provider credentials: encrypted, bound to their row, and never readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from gateway import store
from gateway.models import Provider
from tests.store.factories import provider

pytestmark = pytest.mark.django_db

SECRET = "sk-canary-0123456789abcdef"


def stored_credential(name: str = "openai") -> Provider:
    row = provider(name)
    store.set_credential(row, SECRET)
    return Provider.objects.get(pk=row.pk)


def test_a_credential_reaches_the_snapshot_but_no_repr() -> None:
    stored_credential()
    snapshot = store.load_snapshot()
    assert snapshot.providers["openai"].credential.reveal() == SECRET
    assert SECRET not in repr(snapshot)


def test_a_dump_of_the_database_contains_no_secret(dump: Callable[[], str]) -> None:
    stored_credential()
    _, plain = store.create_key("a key")
    everything = dump()
    assert "openai" in everything
    for secret in (SECRET, SECRET[:12], plain, plain[15:], plain[20:40]):
        assert secret not in everything


def test_a_credential_copied_to_another_row_cannot_be_decrypted() -> None:
    theirs = stored_credential("theirs")
    copied_row = provider("mine", "custom", base_url="http://127.0.0.1:1")
    Provider.objects.filter(pk=copied_row.pk).update(credential=theirs.credential)
    snapshot = store.load_snapshot()
    assert set(snapshot.providers) == {"theirs"}
    assert "another row" in snapshot.warnings[0].reason


def test_a_lost_encryption_key_is_named_by_its_id(settings: Any) -> None:
    row = stored_credential()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(store.UndecryptableError, match=row.credential.split(":")[0]):
        store.credential_of(row)


def test_an_older_encryption_key_still_opens_and_is_replaced(settings: Any) -> None:
    row = stored_credential()
    fresh, old = Fernet.generate_key().decode(), settings.ENCRYPTION_KEYS[0]
    settings.ENCRYPTION_KEYS = [fresh, old]
    assert store.credential_of(row) == SECRET
    assert store.rotate_credentials() == 1
    assert store.rotate_credentials() == 0
    settings.ENCRYPTION_KEYS = [fresh]
    assert store.credential_of(Provider.objects.get()) == SECRET


def test_rotation_skips_undecryptable_values() -> None:
    row = stored_credential()
    Provider.objects.update(credential="00000000:nonsense")
    assert store.rotate_credentials() == 0
    assert Provider.objects.get(pk=row.pk).credential == "00000000:nonsense"


def test_an_empty_credential_removes_it() -> None:
    row = stored_credential()
    store.set_credential(row, "")
    assert Provider.objects.get().credential == ""
    assert store.credential_of(row) == ""


def test_a_row_that_is_not_saved_yet_is_saved() -> None:
    row = Provider(name="new", preset="openai")
    store.set_credential(row, SECRET)
    assert store.credential_of(Provider.objects.get()) == SECRET


@pytest.mark.parametrize(
    ("secret", "hint"),
    [(SECRET, "...cdef"), ("short", "set"), ("", "")],
    ids=["long", "short", "none"],
)
def test_only_the_end_of_a_credential_is_shown(secret: str, hint: str) -> None:
    row = provider()
    store.set_credential(row, secret)
    assert store.credential_hint(row) == hint


def test_a_variable_may_name_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("SOME_KEY_FILE", str(file))
    row = provider(credential_env="SOME_KEY")
    assert store.credential_of(row) == SECRET
    file.unlink()
    with pytest.raises(LookupError, match="SOME_KEY_FILE"):
        store.credential_of(row)


@pytest.mark.parametrize("name", ["DRAGOMAN_SECRET_KEY", "DATABASE_URL", "dragoman_master_key"])
def test_dragoman_variables_cannot_be_provider_credentials(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, SECRET)
    row = provider(credential_env=name)
    with pytest.raises(LookupError, match="Dragoman"):
        store.credential_of(row)
    assert not store.load_snapshot().providers["openai"].credential


@pytest.mark.parametrize("secret", ["p@ss-word", "redis-pass-word"])
def test_passwords_of_the_databases_are_never_credentials(
    secret: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Compose files often set POSTGRES_PASSWORD for each container."""
    settings.DATABASE_URL = "postgres://dragoman:p%40ss-word@postgres/dragoman"
    settings.REDIS_URL = "redis://:redis-pass-word@redis:6379/0"
    monkeypatch.setenv("POSTGRES_PASSWORD", secret)
    row = provider("openai", credential_env="POSTGRES_PASSWORD")
    with pytest.raises(LookupError, match="a secret of Dragoman itself"):
        store.credential_of(row)


def test_a_credential_invalid_in_a_header_is_omitted_and_not_logged() -> None:
    row = provider()
    store.set_credential(row, "sk-with\r\nbreak")
    snapshot = store.load_snapshot()
    assert snapshot.providers == {}
    assert "sk-with" not in str(snapshot.warnings)
