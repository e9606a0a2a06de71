"""Session storage and expiry."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from django.utils import timezone

from console.pages.session.views import SESSION_S
from console.sessions import SessionStore, stored_key
from gateway import store

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_client(client: Client) -> Client:
    get_user_model().objects.create_superuser("ada", password="correct-horse-1")
    response = client.post("/console/sign-in", {"username": "ada", "password": "correct-horse-1"})
    assert response.status_code == 302
    return client


def signed_in(client: Client) -> bool:
    return client.get("/console/requests").status_code == 200


def test_a_stored_session_key_cannot_sign_in(admin_client: Client) -> None:
    key = admin_client.cookies["sessionid"].value
    row = Session.objects.get()
    assert row.session_key != key
    thief = Client()
    thief.cookies["sessionid"] = row.session_key
    assert not signed_in(thief)
    assert signed_in(admin_client)


def test_an_idle_session_expires(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    for hours in (20, 40, 60):  # each within a day of the last
        monkeypatch.setattr(timezone, "now", lambda hours=hours: now + dt.timedelta(hours=hours))
        assert signed_in(admin_client)
    monkeypatch.setattr(timezone, "now", lambda: now + dt.timedelta(hours=85))
    assert not signed_in(admin_client)


def test_anonymous_sessions_end_within_an_hour_and_are_deleted(
    client: Client, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone can start one, as by asking for a passkey's challenge, a hundred in a second."""
    own_row = Session.objects.get()
    for _ in range(3):
        client.cookies.clear()
        response = client.get("/console/sign-in/passkey", headers={"accept": "application/json"})
        assert response.status_code == 200
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + dt.timedelta(hours=1, minutes=1))
    store.prune()
    assert list(Session.objects.all()) == [own_row]


def test_a_session_in_use_ends_at_its_maximum_age(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    days = SESSION_S // 86_400
    for hours in range(12, days * 24, 12):
        monkeypatch.setattr(timezone, "now", lambda hours=hours: now + dt.timedelta(hours=hours))
        assert signed_in(admin_client)
    monkeypatch.setattr(timezone, "now", lambda: now + dt.timedelta(days=days, minutes=1))
    assert not signed_in(admin_client)


def test_signing_out_deletes_the_row(admin_client: Client) -> None:
    admin_client.post("/console/sign-out")
    assert not Session.objects.exists()


def test_a_session_can_be_changed_and_renewed() -> None:
    store = SessionStore()
    store["a"] = 1
    store.create()
    old = store.session_key or ""
    store["a"] = 2
    store.save()
    assert SessionStore(old)["a"] == 2
    store.cycle_key()
    assert not SessionStore().exists(old)
    assert SessionStore(store.session_key)["a"] == 2
    assert [row.session_key for row in Session.objects.all()] == [stored_key(store.session_key)]


@pytest.mark.django_db(transaction=True)
async def test_the_async_session_methods_behave_the_same(async_client: AsyncClient) -> None:
    store = SessionStore()
    await store.aset("a", 1)
    await store.acreate()
    key = store.session_key or ""
    assert await SessionStore(key).aget("a") == 1
    assert await SessionStore().aexists(key)
    await store.adelete()
    assert not await SessionStore().aexists(key)
    assert await SessionStore(key).aget("a") is None
