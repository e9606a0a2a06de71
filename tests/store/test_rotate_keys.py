"""`rotate_keys` replaces the encryption key: no value stays encrypted with the old one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from gateway import store
from gateway.models import AlertChannel, IdempotentResponse, Provider, ReasoningState
from gateway.models.sealed import key_id, seal_for, unseal_for
from tests.store.factories import provider

pytestmark = pytest.mark.django_db

CREDENTIAL = "sk-0123456789abcdef"


@pytest.fixture
def key_file(settings: Any, tmp_path: Path) -> Path:
    """The file of the key, in a data directory with encrypted rows of each kind."""
    settings.DATA_DIR = tmp_path
    path = tmp_path / "encryption_key"
    path.write_text(settings.ENCRYPTION_KEYS[0])
    row = provider(
        "p", "custom", base_url="http://x.test", headers={"x-a": "hush"}, query={"k": "quiet"}
    )
    store.set_credential(row, CREDENTIAL)
    channel = AlertChannel(name="hook", kind="webhook")
    channel.destination = "https://hooks.test/secret"
    channel.save()
    cipher = Fernet(settings.ENCRYPTION_KEYS[0])
    ReasoningState.objects.create(ciphertext=cipher.encrypt(b"thought"))
    IdempotentResponse.objects.create(body=seal_for("context", "answer"))
    store.check_secrets()
    return path


def rotate(*options: str) -> str:
    out = io.StringIO()
    call_command("rotate_keys", *options, stdout=out)
    return out.getvalue()


def restart(settings: Any, key_file: Path) -> list[str]:
    """Restart a node and return its keys."""
    settings.ENCRYPTION_KEYS = key_file.read_text().split(",")
    store.check_secrets()
    return list(settings.ENCRYPTION_KEYS)


def assert_readable() -> None:
    row = Provider.objects.get(name="p")
    assert store.credential_of(row) == CREDENTIAL
    assert (row.headers, row.query) == ({"x-a": "hush"}, {"k": "quiet"})
    assert AlertChannel.objects.get().destination == "https://hooks.test/secret"
    assert unseal_for("context", IdempotentResponse.objects.get().body) == "answer"


def test_rotation_takes_two_steps_with_running_nodes(settings: Any, key_file: Path) -> None:
    (old,) = settings.ENCRYPTION_KEYS
    assert "rotate_keys --finish" in rotate()
    # A node that has not restarted still reads everything.
    assert_readable()
    new, second = restart(settings, key_file)
    assert second == old
    store.store_snapshot(store.load_snapshot())
    assert store.sealed_counts() == {key_id(old): 4}
    rotate("--finish")
    assert key_file.read_text() == new
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert restart(settings, key_file) == [new]
    assert store.sealed_counts() == {key_id(new): 4}
    assert_readable()
    assert IdempotentResponse.objects.get().body.startswith(key_id(new))
    assert Fernet(new).decrypt(bytes(ReasoningState.objects.get().ciphertext)) == b"thought"
    store.load_stored_snapshot()


def test_rotation_takes_one_step_while_no_node_runs(settings: Any, key_file: Path) -> None:
    old = settings.ENCRYPTION_KEYS[0]
    rotate("--stopped")
    (new,) = restart(settings, key_file)
    assert new != old
    assert store.sealed_counts() == {key_id(new): 4}
    assert_readable()


@pytest.mark.parametrize("options", [(), ("--stopped",)])
def test_a_dry_run_changes_nothing(settings: Any, key_file: Path, options: tuple[str, ...]) -> None:
    before = key_file.read_text(), store.sealed_counts()
    assert "would" in rotate("--dry-run", *options)
    assert (key_file.read_text(), store.sealed_counts()) == before
    assert "would encrypt 4" in rotate("--dry-run", "--stopped")


def test_steps_out_of_order_are_refused_with_advice(settings: Any, key_file: Path) -> None:
    with pytest.raises(CommandError, match="without --finish first"):
        rotate("--finish")
    rotate()
    restart(settings, key_file)
    for options in ((), ("--stopped",)):
        with pytest.raises(CommandError, match="rotate_keys --finish"):
            rotate(*options)


def test_keys_in_the_environment_are_left_to_the_operator(
    settings: Any, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = settings.ENCRYPTION_KEYS
    before = key_file.read_text()
    monkeypatch.setenv("DRAGOMAN_ENCRYPTION_KEYS", old)
    with pytest.raises(CommandError, match="without --stopped"):
        rotate("--stopped")
    new = rotate().splitlines()[1]
    monkeypatch.setenv("DRAGOMAN_ENCRYPTION_KEYS", f"{new},{old}")
    settings.ENCRYPTION_KEYS = [new, old]
    assert "Remove all keys but the first" in rotate("--finish")
    assert store.sealed_counts() == {key_id(new): 4}
    assert key_file.read_text() == before


def test_another_nodes_key_is_not_accepted(settings: Any, key_file: Path) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="DRAGOMAN_ENCRYPTION_KEYS of this node"):
        rotate("--finish")


def test_a_proxy_and_a_client_key_are_counted(settings: Any, key_file: Path) -> None:
    before = sum(store.sealed_counts().values())
    provider("q", "custom", base_url="http://x.test", proxy="http://u:pw@proxy:1", client_key="pem")
    counts = store.sealed_counts()
    assert sum(counts.values()) == before + 2
    assert set(counts) == {key_id(settings.ENCRYPTION_KEYS[0])}
