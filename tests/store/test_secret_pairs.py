"""A provider's headers and query parameters: encrypted, hidden, and bound to one server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.test import Client

from gateway import store
from gateway.models import Provider
from gateway.store.documents import Refused
from gateway.store.documents.provider import field_of, read_provider, write_provider
from gateway.store.field_values import InvalidField
from tests.store.factories import provider

pytestmark = pytest.mark.django_db

HEADERS = {"x-team": "hush-header-1", "x-env": "os.environ/PATH"}
QUERY = {"sig": "hush-query-2", "api-version": "2024-10-21"}


def create_provider(**values: Any) -> Provider:
    fields = {"base_url": "http://one.test", "headers": HEADERS, "query": QUERY, **values}
    return provider("mine", "custom", **fields)


def write_form(row: Provider, **change: Any) -> Provider:
    return write_provider({**read_provider(row), **change}, row)


def test_the_database_contains_no_value_in_plain_text(dump: Callable[[], str]) -> None:
    create_provider()
    everything = dump() + serializers.serialize("json", Provider.objects.all())
    assert "x-team" in everything
    assert "os.environ/PATH" in everything, "the name of a variable is no secret"
    for secret in ("hush-header-1", "hush-query-2", "hush-"):
        assert secret not in everything


def test_the_values_reach_the_snapshot() -> None:
    create_provider(headers={"x-team": "hush-header-1"})
    stored_provider = store.load_snapshot().providers["mine"]
    assert dict(stored_provider.headers)["x-team"] == "hush-header-1"
    assert dict(stored_provider.query) == QUERY


def test_a_provider_encrypted_with_another_key_is_omitted(settings: Any) -> None:
    create_provider()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    snapshot = store.load_snapshot()
    assert "mine" not in snapshot.providers
    assert "another key" in snapshot.warnings[0].reason


def test_an_older_encryption_key_still_opens_and_is_replaced(settings: Any) -> None:
    create_provider()
    fresh, old = Fernet.generate_key().decode(), settings.ENCRYPTION_KEYS[0]
    settings.ENCRYPTION_KEYS = [fresh, old]
    assert store.rotate_credentials() == 1
    assert store.rotate_credentials() == 0
    settings.ENCRYPTION_KEYS = [fresh]
    assert Provider.objects.get().headers == HEADERS


@pytest.mark.parametrize("field", ["headers", "query"])
def test_a_hidden_value_does_not_move_to_another_server(field: str) -> None:
    row = create_provider(headers={"x-team": "hush-header-1"})
    other = {"headers": {}, "query": {}} | {field: {"x-a": "***"}}
    row = write_form(row, **{field: {"x-a": "hush-3"}})
    with pytest.raises(Refused) as error:
        write_form(row, base_url="http://two.test", **other)
    assert error.value.field == f"{field}.x-a"
    assert "enter the value again" in error.value.reason
    moved = write_form(row, base_url="http://two.test", **{**other, field: {"x-a": "new"}})
    assert getattr(Provider.objects.get(pk=moved.pk), field) == {"x-a": "new"}


def test_a_hidden_value_stays_at_its_server() -> None:
    row = write_form(create_provider(), base_url="http://one.test/v2")
    assert (row.headers, row.query) == (HEADERS, QUERY)


@pytest.mark.parametrize(
    "name",
    [
        "DRAGOMAN_SECRET_KEY",
        "DRAGOMAN_ENCRYPTION_KEYS",
        "DRAGOMAN_MASTER_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "SOME_OTHER_NAME",
    ],
)
@pytest.mark.parametrize("field", ["headers", "query"])
def test_the_gateways_own_secrets_are_sent_to_no_provider(
    name: str, field: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setenv(name, settings.SECRET_KEY)
    row = Provider(name="p", preset="custom", base_url="http://one.test")
    setattr(row, field, {"x-a": f"os.environ/{name}"})
    with pytest.raises(InvalidField, match="Dragoman") as error:
        store.provider_value(row)
    assert error.value.field == field
    assert settings.SECRET_KEY not in str(error.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"preset": "nobody"}, "preset"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://x:port"}, "base_url"),
        ({"base_url": "http://u:p@x"}, "base_url"),
        ({"dialect": "klingon"}, "dialect"),
        ({"auth": "handshake"}, "auth"),
        ({"headers": {"host": "x"}}, "headers"),
        ({"headers": {"x": "os.environ/NOT_SET_AT_ALL"}}, "headers"),
        ({"query": {"x": "os.environ/NOT_SET_AT_ALL"}}, "query"),
        ({"paths": {"generate": "x"}}, "paths"),
        ({"timeouts": {"total_s": -1}}, "timeouts"),
        ({"edits": [{"op": "rename", "path": "a"}]}, "edits"),
        ({"credential": "bad\nkey"}, "credential"),
    ],
)
def test_a_refusal_carries_the_field_it_is_about(change: dict[str, Any], field: str) -> None:
    """The field is known without parsing the message."""
    with pytest.raises(Refused) as error:
        write_form(create_provider(headers={}, query=None), **change)
    assert error.value.field == field


def test_an_error_without_a_field_has_none() -> None:
    assert field_of(ValueError("the base URL, or so")) == ""


def test_the_form_requires_hidden_values_again(admin_client: Client) -> None:
    row = create_provider(headers={"x-auth-team": "hush-header-1"})
    address = f"/console/providers/{row.pk}"
    page = admin_client.get(address).content.decode()
    assert "hush" not in page
    fields = {
        "name": "mine",
        "base_url": "http://two.test",
        "mode": "none",
        "headers": "x-auth-team: ***",
        "query": "sig=***",
    }
    response = admin_client.post(address, fields)
    assert response.status_code == 422
    assert "Enter x-auth-team again" in response.content.decode()
    assert admin_client.post(address, {**fields, "base_url": "http://one.test"}).status_code == 302
    assert Provider.objects.get().headers == {"x-auth-team": "hush-header-1"}
