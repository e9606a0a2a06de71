"""A member's own keys and requests, within the limits set by an admin."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import accounts
from console.pages.personal.limits import limits_of_user, unassigned_usd
from gateway import store
from gateway.client_spans.span import ClientSpan as ClientSpanValue
from gateway.client_spans.span import ClientTrace, SpanBatch
from gateway.models import ApiKey, Change, ClientSpan, RequestLog, Team
from tests.store.factories import add_usage, model, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]


@pytest.fixture
def member_client(client: Client, member_user: User) -> Client:
    client.force_login(member_user)
    return client


def create(client: Client, **values: Any) -> Any:
    body = {"name": "laptop", "month_usd": "4", "days": "30", **values}
    return client.post(reverse("personal-key-add"), body)


def spend(key: ApiKey, usd: int) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    add_usage(hour, usd, key_id=key.pk, requests=1)


def log_row(key: ApiKey | None, **values: Any) -> RequestLog:
    now = timezone.now()
    row = RequestLog(request_id=f"req_{key.pk if key else 0}", started_at=now, status=200, **values)
    row.outcome, row.key_id = "ok", key.pk if key else None
    row.save()
    return row


def test_a_key_is_created_within_the_limits_and_works(
    member_client: Client, member_user: User
) -> None:
    team = Team.objects.create(name="search")
    accounts.set_limits(member_user, team=team)
    target = model()
    route("alpha", target)
    route("beta", target)
    response = create(member_client)
    assert response.status_code == 200
    (secret,) = set(re.findall(r"sk-dgm-\w{54}", response.content.decode()))
    row = ApiKey.objects.get()
    assert (row.owner, row.user, row.team) == (member_user, "mia", team)
    assert (row.routes, row.budget_month_usd) == (["a*"], Decimal(4))
    assert row.expires_at is not None
    assert (row.expires_at - timezone.now()).days in {29, 30}
    assert store.load_snapshot().keys[store.digest(secret)].id == row.pk
    assert create(member_client, routes=["alpha"]).status_code == 200
    assert ApiKey.objects.latest("pk").routes == ["alpha"]
    assert secret not in member_client.get(reverse("personal-keys")).content.decode()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"month_usd": "11"}, "month_usd"),
        ({"month_usd": ""}, "month_usd"),
        ({"days": "31"}, "days"),
        ({"days": ""}, "days"),
        ({"routes": ["beta"]}, "routes"),
        ({"name": ""}, "name"),
    ],
)
def test_a_key_beyond_the_limits_is_refused(
    member_client: Client, values: dict[str, Any], field: str
) -> None:
    target = model()
    route("alpha", target)
    route("beta", target)
    response = create(member_client, **values)
    assert (response.status_code, list(response.context["form"].errors)) == (422, [field])
    assert not ApiKey.objects.exists()


def test_active_keys_are_limited_in_number(member_client: Client) -> None:
    create(member_client)
    create(member_client)
    assert create(member_client).status_code == 422
    member_client.post(reverse("personal-key-revoke", args=[ApiKey.objects.first().pk]))
    assert create(member_client, month_usd="1").status_code == 200


def test_revoking_a_key_does_not_refund_its_spend(member_client: Client, member_user: User) -> None:
    create(member_client, month_usd="6")
    row = ApiKey.objects.get()
    spend(row, 5)
    limits, now = limits_of_user(member_user), timezone.now()
    assert unassigned_usd(member_user, limits, now) == 4
    member_client.post(reverse("personal-key-revoke", args=[row.pk]))
    assert unassigned_usd(member_user, limits, now) == 5
    assert create(member_client, month_usd="6").status_code == 422


def test_rotating_keeps_the_old_secret_for_a_while(member_client: Client) -> None:
    create(member_client)
    row = ApiKey.objects.get()
    response = member_client.post(reverse("personal-key-rotate", args=[row.pk]), {"grace": "hour"})
    assert response.status_code == 200
    fresh = ApiKey.objects.get()
    assert fresh.previous_secret_expires_at is not None
    assert fresh.expires_at == row.expires_at
    assert member_client.post(reverse("personal-key-rotate", args=[row.pk]), {}).status_code == 422


def test_keys_and_requests_of_others_are_out_of_reach(member_client: Client) -> None:
    other, _secret = store.create_key("ci")
    theirs = log_row(other, requested_model="their-model")
    create(member_client)
    own_row = log_row(ApiKey.objects.get(name="laptop"), requested_model="my-model")
    for name in ("personal-key-rotate", "personal-key-revoke"):
        assert (
            member_client.post(reverse(name, args=[other.pk]), {"grace": "none"}).status_code == 404
        )
    assert member_client.get(reverse("personal-request", args=[theirs.pk])).status_code == 404
    assert member_client.get(reverse("request-media", args=[theirs.pk, 0])).status_code == 403
    assert member_client.get(reverse("personal-request", args=[own_row.pk])).status_code == 200
    for name in ("personal-keys", "personal-requests"):
        page = member_client.get(reverse(name)).content.decode()
        assert "my-model" in page
        assert "their-model" not in page
    other.refresh_from_db()
    assert other.revoked_at is None


def test_a_member_starts_at_their_keys(member_client: Client) -> None:
    assert member_client.get("/").headers["Location"] == reverse("personal-keys")
    page = member_client.get(reverse("personal-keys")).content.decode()
    assert reverse("keys") not in page.replace(reverse("personal-key-add"), "")
    assert reverse("settings") not in page


def test_a_deactivated_or_demoted_account_loses_its_keys(
    member_client: Client, member_user: User
) -> None:
    create(member_client)
    accounts.set_active(member_user, active=False)
    assert not ApiKey.objects.live().exists()
    accounts.set_active(member_user, active=True)
    create(member_client, month_usd="1")
    accounts.set_role(member_user, role="viewer", bodies=False)
    assert not ApiKey.objects.live().exists()
    count = ApiKey.objects.count()
    accounts.delete(member_user)
    assert ApiKey.objects.filter(owner=None).count() == count


def test_an_admin_sets_the_limits(client: Client, member_user: User) -> None:
    client.force_login(accounts.create_account("ada", None, role="admin"))
    page = reverse("user-limits", args=[member_user.pk])
    values = {"max_keys": "5", "month_usd": "20", "key_days": "", "routes": "a*, b"}
    assert client.post(page, values).status_code == 302
    account = User.objects.get(pk=member_user.pk).account
    assert (account.max_keys, account.month_usd) == (5, 20)
    assert (account.key_days, account.routes) == (None, ["a*", "b"])
    assert account.role == "member"
    assert client.post(page, {**values, "max_keys": "101"}).status_code == 422
    assert "max_keys" in str(Change.objects.filter(kind="user").latest("pk").__dict__)


def test_members_see_only_traces_of_their_personal_keys(
    member_client: Client, member_user: User
) -> None:
    key, _plain = store.create_key("mine", owner=member_user)
    other, _plain = store.create_key("other")
    for number, owner in enumerate((key, other)):
        span = ClientSpanValue(
            trace_id="shared", span_id=f"s{number}", started_at=time.time(), name=f"of {owner.name}"
        )
        store.write_spans(
            SpanBatch(
                traces=[ClientTrace(trace_id="shared", name=f"flow of {owner.name}")],
                spans=[span],
                packed=[b'{"input": "content of %d"}' % number],
                key_id=owner.pk,
                key_prefix=owner.prefix,
            )
        )
    page = member_client.get(reverse("personal-traces")).content.decode()
    assert "flow of mine" in page
    assert "flow of other" not in page
    page = member_client.get(reverse("personal-trace", args=["shared"])).content.decode()
    assert "of mine" in page
    assert "of other" not in page
    own_span, foreign = (
        ClientSpan.objects.get(key_id=key.pk),
        ClientSpan.objects.get(key_id=other.pk),
    )
    page = member_client.get(reverse("personal-trace-span", args=[own_span.pk])).content.decode()
    assert "content of 0" in page
    assert member_client.get(reverse("personal-trace-span", args=[foreign.pk])).status_code == 404
    assert member_client.get(reverse("trace", args=["shared"])).status_code == 403


def test_the_pages_of_a_new_member_lead_to_a_key_and_a_client(member_client: Client) -> None:
    page = member_client.get(reverse("personal-keys")).content.decode()
    url = reverse("personal-key-add")
    assert page.count(f'href="{url}"') == 2, "in the header, and where the keys would be"
    page = member_client.get(reverse("personal-requests")).content.decode()
    assert f'<a class="btn primary" href="{reverse("connect")}">' in page
