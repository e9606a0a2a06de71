"""The pages of teams and of limits: made, filled with keys, limited, deleted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.keys.spend import team_gauges
from gateway import store
from gateway.models import ApiKey, Provider, Route, Source, Team
from gateway.routing.limits import UNITS, calendar
from tests.store.factories import entry, model, provider, route

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def text(response: Any) -> str:
    return response.content.decode()


def value_of(plain: str) -> Any:
    return store.load_snapshot().keys[store.digest(plain)]


def test_only_admins_see_teams() -> None:
    client = Client()
    assert client.get(reverse("teams")).status_code == 302
    client.force_login(User.objects.create_user("vic"))
    for name, args in (("teams", []), ("team-add", []), ("limits", ["route", 1])):
        assert client.get(reverse(name, args=args)).status_code == 403


def test_a_team_is_made_with_its_keys_and_the_hot_path_knows_it(admin: Client) -> None:
    key, plain = store.make_key("one")
    made = admin.post(
        reverse("team-add"),
        {"name": "blue", "members": [key.pk], "budget_week_usd": "2.5", "limit_tph": "9000",
         "budget_soft_percent": "80"},
    )  # fmt: skip
    assert made.status_code == 302
    team = value_of(plain).team
    assert (team.name, team.limits.tokens_per_hour) == ("blue", 9000)
    assert (team.budget.week_usd, team.budget.soft_percent) == (Decimal("2.5"), 80)
    page = text(admin.get(reverse("teams")))
    assert "blue" in page
    assert "9k tokens/h" in page.replace(".0", "")


def test_a_key_leaves_its_team_and_is_free_for_another(admin: Client) -> None:
    key, plain = store.make_key("solo key")
    other, _ = store.make_key("two")
    team = Team.objects.create(name="blue")
    ApiKey.objects.join(team.pk, [key.pk, other.pk])
    assert "solo key" not in text(admin.get(reverse("team-add")))
    admin.post(reverse("team-edit", args=[team.pk]), {"name": "blue", "members": [other.pk]})
    assert value_of(plain).team is None
    assert "solo key" in text(admin.get(reverse("team-add")))


def test_what_is_wrong_is_said_beside_the_field_and_kept(admin: Client) -> None:
    Team.objects.create(name="blue")
    found = admin.post(
        reverse("team-add"), {"name": "blue", "limit_rpm": "0", "budget_day_usd": "7"}
    )
    assert found.status_code == 422
    page = text(found)
    assert "already exists" in page
    assert "greater than or equal to 1" in page
    assert 'value="7"' in page
    assert Team.objects.count() == 1


def test_a_deleted_team_leaves_its_keys(admin: Client) -> None:
    key, plain = store.make_key("one")
    gone, _ = store.make_key("two")
    team = Team.objects.create(name="blue")
    ApiKey.objects.join(team.pk, [key.pk, gone.pk])
    ApiKey.objects.only_row(gone.pk).revoke()
    admin.post(reverse("team-delete", args=[team.pk]))
    assert not Team.objects.exists()
    assert value_of(plain).team is None


def test_a_key_chooses_its_team_and_all_its_limits(admin: Client) -> None:
    key, plain = store.make_key("one")
    team = Team.objects.create(name="blue")
    form = {"name": "one", "scope": "all", "bodies": "", "team": team.pk, "limit_rpd": "5"}
    page = text(admin.get(reverse("key-edit", args=[key.pk])))
    assert all(f'name="{name}"' in page for name in (*form, "budget_week_usd", "limit_tph"))
    assert admin.post(reverse("key-edit", args=[key.pk]), form).status_code == 302
    assert value_of(plain).limits.requests_per_day == 5
    assert value_of(plain).team.name == "blue"


@pytest.mark.parametrize("kind", ["route", "provider"])
def test_routes_and_providers_have_limits_of_their_own(admin: Client, kind: str) -> None:
    made = route("r", model("m", provider("p")))
    row: Any = made if kind == "route" else Provider.objects.get()
    url = reverse("limits", args=[kind, row.pk])
    assert admin.post(url, {"limit_rpm": "x"}).status_code == 422
    assert admin.post(url, {"limit_rpm": "30", "limit_concurrency": "2"}).status_code == 302
    snapshot = store.load_snapshot()
    value: Any = snapshot.routes["r"] if kind == "route" else snapshot.providers["p"]
    assert (value.limits.requests_per_minute, value.limits.concurrency) == (30, 2)
    assert 'value="30"' in text(admin.get(url))


def test_limits_of_a_row_that_a_file_owns_are_read_only(admin: Client) -> None:
    made = route("r", model("m", provider("p")))
    Route.objects.filter(pk=made.pk).update(source=Source.FILE)
    url = reverse("limits", args=["route", made.pk])
    assert admin.post(url, {"limit_rpm": "30"}).status_code == 409
    assert Route.objects.get().limit_rpm is None
    assert admin.get(reverse("limits", args=["nothing", 1])).status_code == 404


def test_a_team_has_spent_what_its_keys_have(admin: Client) -> None:
    now = timezone.now()
    keys = [store.make_key(name)[0] for name in ("one", "two", "three")]
    team = Team.objects.create(name="blue", budget_total_usd=Decimal(10))
    ApiKey.objects.join(team.pk, [key.pk for key in keys[:2]])
    store.write(
        [
            entry(f"r{n}", key_id=key.pk, cost_usd=Decimal(n), started_at=now.timestamp())
            for n, key in enumerate(keys, 1)
        ]
    )
    total = team_gauges([team], now)[team.pk][-1]
    assert (total.spent, total.share) == (3, 30)
    assert "$3" in text(admin.get(reverse("team-edit", args=[team.pk])))


def test_the_limiter_begins_with_what_the_sums_say() -> None:
    now = timezone.now()
    key, _ = store.make_key("one", budget_day_usd=Decimal(5), budget_total_usd=Decimal(9))
    mate, _ = store.make_key("two")
    team = Team.objects.create(name="blue", budget_month_usd=Decimal(50))
    ApiKey.objects.join(team.pk, [key.pk, mate.pk])
    store.write(
        [
            entry("a", key_id=key.pk, cost_usd=Decimal("1.5"), started_at=now.timestamp()),
            entry("b", key_id=mate.pk, cost_usd=Decimal("0.25"), started_at=now.timestamp()),
        ]
    )
    found = store.spent(store.load_snapshot(), now)
    at = now.timestamp()
    assert sorted(found) == sorted(
        [
            (f"key:{key.pk}/usd/day", calendar(at, "day")[0], UNITS * 3 // 2),
            (f"key:{key.pk}/usd/total", 1, UNITS * 3 // 2),
            (f"team:{team.pk}/usd/month", calendar(at, "month")[0], UNITS * 7 // 4),
        ]
    )


def test_a_project_is_made_of_a_team_and_holds_with_it(admin: Client) -> None:
    team = Team.objects.create(name="blue", limit_rpm=9)
    key, plain = store.make_key("one")
    form = {"name": "app", "parent": team.pk, "members": [key.pk], "limit_rpm": "5"}
    admin.post(reverse("team-add"), form)
    value = value_of(plain).team
    assert [(t.name, t.limits.requests_per_minute) for t in value.line] == [("app", 5), ("blue", 9)]
    assert "project of blue" in text(admin.get(reverse("teams")))
    # There are no projects of projects, and no team is its own.
    app = Team.objects.get(name="app")
    assert admin.post(reverse("team-add"), {"name": "x", "parent": app.pk}).status_code == 422
    edit = reverse("team-edit", args=[team.pk])
    other = Team.objects.create(name="red")
    assert admin.post(edit, {"name": "blue", "parent": team.pk}).status_code == 422
    assert admin.post(edit, {"name": "blue", "parent": other.pk}).status_code == 422


def test_a_deleted_team_leaves_its_projects(admin: Client) -> None:
    team = Team.objects.create(name="blue")
    app = Team.objects.create(name="app", parent=team)
    admin.post(reverse("team-delete", args=[team.pk]))
    app.refresh_from_db()
    assert app.parent is None


def test_a_key_says_whom_it_was_given_to(admin: Client) -> None:
    key, _ = store.make_key("one")
    edit = reverse("key-edit", args=[key.pk])
    admin.post(edit, {"name": "one", "scope": "all", "bodies": "", "user": "mira"})
    assert "mira" in text(admin.get(reverse("keys")))
    key.refresh_from_db()
    assert key.user == "mira"
    assert 'value="mira"' in text(admin.get(edit))


def test_a_team_has_spent_what_its_projects_have() -> None:
    now = timezone.now()
    team = Team.objects.create(name="blue", budget_total_usd=Decimal(10))
    app = Team.objects.create(name="app", parent=team, budget_total_usd=Decimal(4))
    keys = [store.make_key(name, team=owner)[0] for name, owner in (("one", team), ("two", app))]
    store.write(
        [
            entry(f"p{n}", key_id=key.pk, cost_usd=Decimal(n), started_at=now.timestamp())
            for n, key in enumerate(keys, 1)
        ]
    )
    found = {pk: gauges[-1].spent for pk, gauges in team_gauges([team, app], now).items()}
    assert found == {team.pk: 3, app.pk: 2}
    assert sorted(store.spent(store.load_snapshot(), now)) == sorted(
        [(f"team:{team.pk}/usd/total", 1, 3 * UNITS), (f"team:{app.pk}/usd/total", 1, 2 * UNITS)]
    )
