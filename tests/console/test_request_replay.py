"""Replay of a logged request."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from gateway.api.runtime import SCOPE_KEY
from tests.console.test_requests import logged, translated
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db


class UnstartedRuntime:
    """A stand-in for the runtime of a server; the replay itself is replaced."""

    async def get(self) -> None: ...


def test_a_replay_is_charged_to_the_users_budget(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
):
    user = get_user_model().objects.get(username="ada")
    row = translated()
    session = f"playground-{user.pk}-replay"
    asked_with: list[str] = []

    async def ask(runtime: Any, **values: Any) -> Any:
        asked_with.append(values["session"])
        return make_record("req_asked")

    monkeypatch.setattr("gateway.relay.run.playground_calls.run_playground_call", ask)
    monkeypatch.setattr("console.pages.requests.replays._WAIT_S", 0)
    admin_client.defaults[SCOPE_KEY] = UnstartedRuntime()
    url = reverse("request-replay", args=[row.pk])
    admin_client.post(url)
    assert asked_with == [session]
    logged(
        "req_again",
        key_prefix="replay",
        session=session,
        cost_usd=Decimal(7),
        started_at=time.time(),
    )
    response = admin_client.post(url, follow=True)
    assert "playground budget" in response.content.decode()
    assert len(asked_with) == 1
