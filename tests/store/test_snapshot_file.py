"""The snapshot file in the data directory: complete, encrypted, and of this version only."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as configured

from gateway import store
from gateway.providers.profile import Secret
from gateway.store import snapshot_file
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _data_directory(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


def registry() -> Any:
    provider_row = provider(
        name="openai", headers={"x-own": "secret-header"}, markup=Decimal("1.2")
    )
    store.set_credential(provider_row, "sk-upstream-credential")
    provider_row.save()
    route("fast", model("gpt-5", provider_row))
    store.create_key("mine", limit_rph=5, budget_total_usd="1.50")
    store.set_options({"masks": ["AB[0-9]{6}"]})
    return store.load_snapshot()


def as_text(value: Any) -> str:
    """Return a value of the registry for comparison, with its sets sorted."""
    return re.sub(
        r"frozenset\(\{(.*?)\}\)", lambda result: str(sorted(result[1].split(", "))), repr(value)
    )


def test_a_snapshot_is_loaded_complete() -> None:
    snapshot = registry()
    store.store_snapshot(snapshot)
    test_snapshot, loaded_at = store.load_stored_snapshot()
    assert loaded_at > 0
    assert {test_snapshot.providers["openai"].credential.reveal()} == {"sk-upstream-credential"}
    assert isinstance(test_snapshot.providers["openai"].credential, Secret)
    for name in snapshot.__struct_fields__:
        assert as_text(getattr(test_snapshot, name)) == as_text(getattr(snapshot, name)), name


def test_the_snapshot_file_is_encrypted(tmp_path: Path) -> None:
    store.store_snapshot(registry())
    (path,) = tmp_path.glob("last-registry*")
    content = path.read_bytes()
    assert b"sk-upstream" not in content
    assert b"openai" not in content
    assert path.stat().st_mode & 0o777 == 0o600


def test_access_without_a_key_is_decided_by_settings(settings: Any) -> None:
    settings.OPEN = True
    store.store_snapshot(store.load_snapshot())
    settings.OPEN = False
    assert not store.load_stored_snapshot()[0].open


def _of_another_version(path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(snapshot_file, "_current_format", lambda: "another")


def _with_another_key(path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]


def _cut_off(path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _remove_file(path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_of_another_version, "another version"),
        (_with_another_key, "another key"),
        (_cut_off, "another key"),
        (_remove_file, "no registry"),
    ],
)
def test_an_unusable_snapshot_file_is_refused_with_the_reason(
    spoil: Any, message: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    store.store_snapshot(store.load_snapshot())
    spoil(Path(configured.DATA_DIR) / "last-registry", monkeypatch, settings)
    with pytest.raises(store.UnusableRequest, match=message):
        store.load_stored_snapshot()
